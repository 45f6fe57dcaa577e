// Package hsm is the seam to the root key: the one key that is never stored
// beside what it protects. It wraps customer master keys and signs the audit
// log's checkpoints, and does nothing else; secrets themselves never reach it.
//
// Drivers: hsm/file keeps the key in a file of mode 0600, the default of a
// single machine; hsm/pkcs11 leaves it inside an HSM. Both pass hsm/hsmtest.
//
// A root key is a pair: an AES-256 key, used with GCM, and an ECDSA key on
// P-256, which every PKCS#11 token supports. Its [Wrapper.ID] is derived from
// the public half, so that it is the same on each node and after each restart,
// and a store can say which root key it needs.
//
// What is wrapped carries the driver's format version and the root key's id,
// both authenticated, so it is always known which key opens it. Nonces are 96
// random bits: one root key may wrap 2^32 times at most, which is far beyond
// what wrapping customer master keys needs.
package hsm

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"lockstep"
)

// MaxPlaintext is the longest input of Wrap, in bytes.
const MaxPlaintext = 64 * 1024

// Wrapper encrypts small things under the root key. It is safe for concurrent
// use.
type Wrapper interface {
	// ID names this root key for ever: the kind of driver, a dash, and 16
	// hexadecimal digits. It never fails, also while the key is away.
	ID() string
	// Wrap encrypts and authenticates plaintext, 1 to MaxPlaintext bytes, and
	// binds it to associated, which may be empty. Each call gives another
	// result. Errors: lockstep.ErrInvalid for a wrong length,
	// lockstep.ErrSealed while the key is away, the context's error.
	Wrap(ctx context.Context, plaintext, associated []byte) ([]byte, error)
	// Unwrap opens what Wrap returned, given the same associated. Errors:
	// lockstep.ErrDecrypt if anything was changed or another root key wrapped
	// it, lockstep.ErrSealed while the key is away, the context's error.
	Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error)
}

// Signer signs under the root key's ECDSA half. It is safe for concurrent use.
type Signer interface {
	// Sign signs the SHA-256 digest of message; the signature is ASN.1 DER, to
	// be checked with Verify. Errors: lockstep.ErrSealed while the key is
	// away, the context's error.
	Sign(ctx context.Context, message []byte) ([]byte, error)
	// Public returns the public key, also while the key is away.
	Public() *ecdsa.PublicKey
}

// Key is a root key.
type Key interface {
	Wrapper
	Signer
	// Health returns nil if the key can be used now, an error that matches
	// lockstep.ErrSealed if it is away, or the context's error. It may cost a
	// trip to the HSM. Like every call it may fail with lockstep.ErrBusy if the
	// HSM has no session free: back off.
	Health(ctx context.Context) error
	// Close lets go of the key; later calls fail with lockstep.ErrSealed. A
	// second Close does nothing.
	Close() error
}

// Verify tells whether signature is one of Signer.Sign for message. It returns
// nil, or an error that matches lockstep.ErrDecrypt.
func Verify(public *ecdsa.PublicKey, message, signature []byte) error {
	digest := sha256.Sum256(message)
	if public == nil || !ecdsa.VerifyASN1(public, digest[:], signature) {
		return fmt.Errorf("verify root key signature: %w", lockstep.ErrDecrypt)
	}
	return nil
}

// KeyID makes the id of a root key, for drivers: kind and the start of the
// public key's hash. It fails with lockstep.ErrInvalid for a key that is no
// ECDSA key on a named curve.
func KeyID(kind string, public *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("make root key id: %w: %w", err, lockstep.ErrInvalid)
	}
	sum := sha256.Sum256(der)
	return kind + "-" + hex.EncodeToString(sum[:8]), nil
}
