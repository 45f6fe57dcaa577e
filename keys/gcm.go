package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"

	"lockstep"
)

// Every ciphertext starts with one byte that names its form, so that another
// can come later.
const formGCM = 1

// seal encrypts with AES-256-GCM (NIST SP 800-38D) under a random 96-bit
// nonce: form byte, nonce, ciphertext with tag.
func seal(key, plaintext, associated []byte) ([]byte, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(plaintext)+aead.Overhead())
	out[0] = formGCM
	nonce := out[1:]
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	return aead.Seal(out, nonce, plaintext, associated), nil // #nosec G407 -- the nonce is drawn at random just before
}

func open(key, sealed, associated []byte) ([]byte, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 1+aead.NonceSize()+aead.Overhead() || sealed[0] != formGCM {
		return nil, fmt.Errorf("sealed form is not known: %w", lockstep.ErrDecrypt)
	}
	nonce, ciphertext := sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():]
	plaintext, err := aead.Open(nil, nonce, ciphertext, associated)
	if err != nil {
		return nil, lockstep.ErrDecrypt
	}
	return plaintext, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make GCM: %w", err)
	}
	return aead, nil
}

// associated joins parts with their lengths, so that no two different lists
// give the same bytes.
func associated(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.AppendUvarint(out, uint64(len(p)))
		out = append(out, p...)
	}
	return out
}

func masterAAD(id string, version int) []byte {
	return associated("lockstep-master-key", id, strconv.Itoa(version))
}

func dataKeyAAD(keyID string, to Binding) []byte {
	return associated("lockstep-data-key", keyID, to.ARN, to.Version)
}

// valueAAD binds the digest too: a changed one would make a repeated request
// look new, or a new one repeated.
func valueAAD(to Binding, binaryValue bool, digest []byte) []byte {
	return associated("lockstep-value", to.ARN, to.Version, strconv.FormatBool(binaryValue), string(digest))
}
