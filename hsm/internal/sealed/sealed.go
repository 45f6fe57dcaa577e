// Package sealed is the form in which root keys wrap, shared by the drivers:
//
//	version 1 (1 byte) | length of id (1 byte) | id | nonce (12) | ciphertext and tag
//
// Everything before the nonce is authenticated together with the caller's
// associated data. The drivers contribute the cipher; this package chooses the
// nonce and checks every length, since a PKCS#11 token does neither.
package sealed

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/hsm"
)

// NonceSize is the length of the nonces given to a Cipher, in bytes.
const NonceSize = 12

const (
	version = 1
	tagSize = 16
	maxID   = 255
)

// Cipher is AES-256-GCM under a driver's key. Unlike a cipher.AEAD its Seal
// can fail, as a token can.
type Cipher interface {
	// Seal returns the ciphertext with its tag.
	Seal(nonce, plaintext, associated []byte) ([]byte, error)
	// Open is the reverse; it fails if anything does not authenticate.
	Open(nonce, ciphertext, associated []byte) ([]byte, error)
}

// Header returns what stands before the nonce. An id longer than 255 bytes is
// cut.
func Header(id string) []byte {
	id = id[:min(len(id), maxID)]
	return append([]byte{version, byte(len(id))}, id...) // #nosec G115 -- lengths are bounded before
}

// Seal wraps plaintext for the key named id. It fails with lockstep.ErrInvalid
// for a wrong length of plaintext, else with the cipher's error.
func Seal(c Cipher, id string, plaintext, associated []byte) ([]byte, error) {
	if len(plaintext) == 0 || len(plaintext) > hsm.MaxPlaintext {
		return nil, fmt.Errorf("%d bytes given: from 1 to %d are possible: %w", len(plaintext), hsm.MaxPlaintext, lockstep.ErrInvalid)
	}
	nonce := make([]byte, NonceSize)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	header := Header(id)
	ciphertext, err := c.Seal(nonce, plaintext, bind(header, associated))
	if err != nil {
		return nil, err
	}
	out := append(bytes.Clone(header), nonce...)
	return append(out, ciphertext...), nil
}

// ErrOpen marks that the cipher itself refused, so that a driver can tell a
// changed ciphertext from a token that failed.
var ErrOpen = errors.New("the key refused")

// Open unwraps what Seal made. It fails with lockstep.ErrDecrypt if the header
// is not that of id; if the cipher refuses, the error matches ErrOpen and the
// cipher's own error, and the driver decides what it means.
func Open(c Cipher, id string, wrapped, associated []byte) ([]byte, error) {
	header := Header(id)
	if !bytes.HasPrefix(wrapped, header) {
		return nil, fmt.Errorf("it was not wrapped by root key %s, or was changed: %w", id, lockstep.ErrDecrypt)
	}
	body := wrapped[len(header):]
	if len(body) <= NonceSize+tagSize || len(body) > NonceSize+tagSize+hsm.MaxPlaintext {
		return nil, fmt.Errorf("it is cut short or too long: %w", lockstep.ErrDecrypt)
	}
	plaintext, err := c.Open(body[:NonceSize], body[NonceSize:], bind(header, associated))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	return plaintext, nil
}

// bind joins header and associated data so that no two pairs look alike.
func bind(header, associated []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(header))) // #nosec G115 -- lengths are bounded before
	out = append(out, header...)
	return append(out, associated...)
}
