package rootkey

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"lockstep/hsm/pkcs11"
)

// ReadSource reads a PIN or a passphrase, 1 to 256 bytes, from an absolute path
// or a descriptor ("fd:3"), without the line end after it. A descriptor is read
// to its end and closed, so it serves once. Errors: lockstep.ErrInvalid if group
// or others may access the file, if it is empty or too long; the system's own.
func ReadSource(source string) ([]byte, error) {
	n, ok := descriptor(source)
	if !ok {
		secret, err := pkcs11.ReadPINFile(strings.TrimPrefix(source, schemeFile))
		return []byte(secret), err
	}
	f := os.NewFile(n, source)
	if f == nil {
		return nil, invalid("%s is not open", source)
	}
	secret, err := pkcs11.ReadPIN(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return []byte(secret), nil
}

// descriptor reads "fd:3". The standard three are not for secrets.
func descriptor(source string) (uintptr, bool) {
	text, ok := strings.CutPrefix(source, schemeFD)
	n, err := strconv.ParseUint(text, 10, 10)
	return uintptr(n), ok && err == nil && n > 2
}
