package sqlstore

import (
	"encoding/json"
	"fmt"
	"time"

	"lockstep"
)

// micros is a time as it is stored; 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant is the reverse of micros.
func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// timeInto scans microseconds.
type timeInto struct{ t *time.Time }

// Scan implements sql.Scanner.
func (d timeInto) Scan(src any) error {
	switch n := src.(type) {
	case int64:
		*d.t = instant(n)
	case nil:
		*d.t = time.Time{}
	default:
		return fmt.Errorf("read time from a column of type %T: %w", src, lockstep.ErrInvalid)
	}
	return nil
}

// jsonInto scans a JSON column; NULL leaves the destination alone.
type jsonInto struct{ dest any }

// Scan implements sql.Scanner.
func (d jsonInto) Scan(src any) error {
	switch text := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(text), d.dest)
	case []byte:
		return json.Unmarshal(text, d.dest)
	default:
		return fmt.Errorf("read JSON from a column of type %T: %w", src, lockstep.ErrInvalid)
	}
}

// jsonText encodes v for a JSON column.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// nullable is NULL for a value that is not there.
func nullable[T any](v T, there bool) any {
	if !there {
		return nil
	}
	return v
}

// sealedColumns is the order in which sealedArgs and sealedInto use them.
const sealedColumns = "key_id, key_version, wrapped_key, ciphertext, is_binary, digest"

// sealedArgs are the columns of a Sealed; a NULL ciphertext means "none".
func sealedArgs(s *lockstep.Sealed) []any {
	if s == nil {
		return []any{"", 0, nil, nil, false, nil}
	}
	ciphertext := s.Ciphertext
	if ciphertext == nil {
		ciphertext = []byte{}
	}
	return []any{s.KeyID, s.KeyVersion, s.WrappedKey, ciphertext, s.Binary, s.Digest}
}

// sealedInto collects the columns of a Sealed from a row.
type sealedInto struct{ lockstep.Sealed }

func (d *sealedInto) dest() []any {
	return []any{&d.KeyID, &d.KeyVersion, &d.WrappedKey, &d.Ciphertext, &d.Binary, &d.Digest}
}

func (d *sealedInto) sealed() *lockstep.Sealed {
	if d.Ciphertext == nil {
		return nil
	}
	s := d.Sealed
	return &s
}
