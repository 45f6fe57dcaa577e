//go:build !cgo

package pkcs11

import (
	"context"
	"fmt"

	"lockstep"
	"lockstep/hsm"
)

// Open fails with lockstep.ErrInvalid: this program was built without cgo,
// which PKCS#11 modules need.
func Open(context.Context, Config) (hsm.Key, error) {
	return nil, fmt.Errorf("open PKCS#11 root key: this program was built without cgo; build it with CGO_ENABLED=1 or use a root key file: %w", lockstep.ErrInvalid)
}
