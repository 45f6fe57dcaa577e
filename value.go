package lockstep

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// MaxValueBytes is the largest Value a Version may hold.
const MaxValueBytes = 65536

const redacted = "[redacted]"

// Value is the clear bytes of a Version. It prints, logs and marshals as
// "[redacted]", so that a value can only leave the process through a call that
// asks for it by name ([Value.Bytes]). The zero Value means "no value". Copies
// share the bytes. Compare with [Value.Equal]; == does not compile.
type Value struct {
	_ [0]func()
	// The bytes stand behind two pointers, since fmt calls no methods on a
	// Value in an unexported field: it prints what it finds there, and follows
	// one pointer (where the verb does not fit it) but not two.
	clear **content
}

type content struct {
	bytes  []byte
	binary bool
}

// StringValue is the Value of a SecretString.
func StringValue(s string) Value { return newValue(content{bytes: []byte(s)}) }

// BinaryValue is the Value of a SecretBinary. It keeps its own copy of b.
func BinaryValue(b []byte) Value {
	return newValue(content{bytes: bytes.Clone(b), binary: true})
}

func newValue(c content) Value {
	p := &c
	return Value{clear: &p}
}

// Bytes returns the clear bytes; nil if there is no value. The caller must not
// change or keep them longer than it needs to.
func (v Value) Bytes() []byte {
	if v.clear == nil {
		return nil
	}
	return (*v.clear).bytes
}

// Reveal returns the clear bytes as a string.
func (v Value) Reveal() string { return string(v.Bytes()) }

// IsBinary tells whether the value was given as SecretBinary.
func (v Value) IsBinary() bool { return v.clear != nil && (*v.clear).binary }

// IsZero tells whether there is no value; an empty one is none.
func (v Value) IsZero() bool { return len(v.Bytes()) == 0 }

// Equal compares two values in time that depends on their lengths alone.
func (v Value) Equal(o Value) bool {
	return v.IsBinary() == o.IsBinary() && subtle.ConstantTimeCompare(v.Bytes(), o.Bytes()) == 1
}

// Wipe overwrites the clear bytes, those of every copy of this Value too. What
// Bytes returned goes with them; what Reveal returned is not reached.
func (v Value) Wipe() { clear(v.Bytes()) }

// String returns "[redacted]".
func (Value) String() string { return redacted }

// GoString returns "[redacted]".
func (Value) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue logs "[redacted]".
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes "[redacted]". An API that must send the value asks for
// its bytes.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText writes "[redacted]".
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
