// Package file keeps the root key in a file: the default of a single machine,
// for which the directory's permissions are the vault.
//
// The file is text that says what it is, holds both halves of the key, and
// ends in a checksum, so that damage is told from a wrong passphrase. It is
// made once, never changed, and never replaced: with the file lost, everything
// wrapped under it is lost, so [Open] does not make a new one when it finds
// none; the caller decides that, by whether its store is empty.
//
// With a passphrase the key is encrypted under a key that scrypt derives from
// it. Without one, whoever can read the file can read every secret.
package file

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"lockstep"
	"lockstep/hsm"
	"lockstep/hsm/internal/sealed"
)

const kind = "file"

// Config says where the key is.
type Config struct {
	// Path is the key file. Its directory must exist.
	Path string
	// Passphrase protects the file's content; empty means that the file's
	// permissions alone do. It is not kept.
	Passphrase []byte
}

// Key is a root key from a file; it is an hsm.Key.
type Key struct {
	id     string
	public *ecdsa.PublicKey

	mu   sync.RWMutex // guards the secret halves, which Close drops
	aead sealed.Cipher
	sign *ecdsa.PrivateKey
}

var _ hsm.Key = (*Key)(nil)

// Create makes a new root key and its file, mode 0600, and returns the key.
// The file appears whole or not at all, also over a crash, and an existing one
// is never overwritten: that is lockstep.ErrExists. Other errors are the file
// system's.
func Create(cfg Config) (*Key, error) {
	wrapping := make([]byte, keySize)
	if _, err := rand.Read(wrapping); err != nil {
		return nil, fmt.Errorf("create root key: %w", err)
	}
	signing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create root key: %w", err)
	}
	m := material{wrapping: wrapping, signing: signing}
	defer m.wipe()
	text, err := m.encode(cfg.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("create root key file %s: %w", cfg.Path, err)
	}
	if err := writeOnce(cfg.Path, text); err != nil {
		return nil, fmt.Errorf("create root key file %s: %w", cfg.Path, err)
	}
	return newKey(m)
}

// Open reads the key from its file. Errors: lockstep.ErrNotFound if there is
// none; lockstep.ErrInvalid if group or others may access it, or if it is
// damaged, or not protected though a passphrase is given; lockstep.ErrSealed
// if the passphrase is missing or wrong. Each says
// what to do.
func Open(cfg Config) (*Key, error) {
	text, err := readPrivate(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open root key file %s: %w", cfg.Path, err)
	}
	defer clear(text)
	m, err := decode(text, cfg.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("open root key file %s: %w", cfg.Path, err)
	}
	defer m.wipe()
	return newKey(m)
}

func newKey(m material) (*Key, error) {
	id, err := m.id()
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(m.wrapping)
	if err != nil {
		return nil, fmt.Errorf("use root key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("use root key: %w", err)
	}
	return &Key{id: id, public: &m.signing.PublicKey, aead: gcm{aead}, sign: m.signing}, nil
}

// gcm is the key in memory as a sealed.Cipher.
type gcm struct{ cipher.AEAD }

func (g gcm) Seal(nonce, plaintext, associated []byte) ([]byte, error) {
	return g.AEAD.Seal(nil, nonce, plaintext, associated), nil
}

func (g gcm) Open(nonce, ciphertext, associated []byte) ([]byte, error) {
	return g.AEAD.Open(nil, nonce, ciphertext, associated)
}

// ID returns "file-" and 16 hexadecimal digits; see hsm.Wrapper.
func (k *Key) ID() string { return k.id }

// Public returns the public half; see hsm.Signer.
func (k *Key) Public() *ecdsa.PublicKey { return k.public }

// Wrap is hsm.Wrapper's.
func (k *Key) Wrap(ctx context.Context, plaintext, associated []byte) ([]byte, error) {
	aead, _, err := k.secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	wrapped, err := sealed.Seal(aead, k.id, plaintext, associated)
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	return wrapped, nil
}

// Unwrap is hsm.Wrapper's.
func (k *Key) Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	aead, _, err := k.secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("unwrap: %w", err)
	}
	plaintext, err := sealed.Open(aead, k.id, wrapped, associated)
	if errors.Is(err, sealed.ErrOpen) {
		return nil, fmt.Errorf("unwrap: %w", lockstep.ErrDecrypt)
	}
	if err != nil {
		return nil, fmt.Errorf("unwrap: %w", err)
	}
	return plaintext, nil
}

// Sign is hsm.Signer's.
func (k *Key) Sign(ctx context.Context, message []byte) ([]byte, error) {
	_, private, err := k.secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	digest := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// Health returns nil until Close; see hsm.Key. The file is not read again.
func (k *Key) Health(ctx context.Context) error {
	_, _, err := k.secrets(ctx)
	return err
}

// Close drops the key from use; see hsm.Key. It always returns nil.
func (k *Key) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.aead, k.sign = nil, nil
	return nil
}

func (k *Key) secrets(ctx context.Context) (sealed.Cipher, *ecdsa.PrivateKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.aead == nil {
		return nil, nil, fmt.Errorf("the root key was closed: %w", lockstep.ErrSealed)
	}
	return k.aead, k.sign, nil
}
