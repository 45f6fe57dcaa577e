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
// asks for it by name ([Value.Bytes]). The zero Value means "no value".
type Value struct {
	bytes  []byte
	binary bool
}

// StringValue is the Value of a SecretString.
func StringValue(s string) Value { return Value{bytes: []byte(s)} }

// BinaryValue is the Value of a SecretBinary. It keeps its own copy of b.
func BinaryValue(b []byte) Value { return Value{bytes: bytes.Clone(b), binary: true} }

// Bytes returns the clear bytes. The caller must not change or keep them
// longer than it needs to.
func (v Value) Bytes() []byte { return v.bytes }

// Reveal returns the clear bytes as a string.
func (v Value) Reveal() string { return string(v.bytes) }

// IsBinary tells whether the value was given as SecretBinary.
func (v Value) IsBinary() bool { return v.binary }

// IsZero tells whether there is no value.
func (v Value) IsZero() bool { return len(v.bytes) == 0 }

// Equal compares two values in time that depends on their lengths alone.
func (v Value) Equal(o Value) bool {
	return v.binary == o.binary && subtle.ConstantTimeCompare(v.bytes, o.bytes) == 1
}

// Wipe overwrites the clear bytes. Copies made before are not reached.
func (v Value) Wipe() { clear(v.bytes) }

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
