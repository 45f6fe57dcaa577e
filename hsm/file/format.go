package file

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/scrypt"

	"lockstep"
	"lockstep/hsm"
)

// The file, line by line:
//
//	lockstep root key, version 1
//	id: file-0123456789abcdef
//	protection: none | scrypt <salt>
//	key: <wrapping key and signing key, 32 bytes each; encrypted if protected>
//	checksum: <SHA-256 of all lines above>
//
// salt and key are base64. Under scrypt the key line is AES-256-GCM with a zero
// nonce: the salt is new for each file, so the derived key is used once.
const (
	title       = "lockstep root key, version 1"
	titlePrefix = "lockstep root key, version "
	keySize     = 32
	saltSize    = 16
	maxFileSize = 4096

	// scrypt's cost: 128 MiB and about half a second, once a start.
	scryptN, scryptR, scryptP = 1 << 17, 8, 1
)

// material is the clear content of a key file.
type material struct {
	wrapping []byte
	signing  *ecdsa.PrivateKey
}

func (m material) wipe() { clear(m.wrapping) }

func (m material) id() (string, error) { return hsm.KeyID(kind, &m.signing.PublicKey) }

func (m material) encode(passphrase []byte) ([]byte, error) {
	id, err := m.id()
	if err != nil {
		return nil, err
	}
	scalar, err := m.signing.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	defer clear(scalar)
	secret := append(bytes.Clone(m.wrapping), scalar...)
	defer clear(secret)

	head := title + "\nid: " + id + "\nprotection: "
	if len(passphrase) == 0 {
		return finish(head+"none\n", secret), nil
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("draw salt: %w", err)
	}
	head += "scrypt " + base64.StdEncoding.EncodeToString(salt) + "\n"
	aead, err := passphraseAEAD(passphrase, salt)
	if err != nil {
		return nil, err
	}
	return finish(head, aead.Seal(nil, make([]byte, aead.NonceSize()), secret, []byte(head))), nil // #nosec G407 -- the key is derived for this one use
}

func finish(head string, key []byte) []byte {
	text := []byte(head + "key: " + base64.StdEncoding.EncodeToString(key) + "\n")
	sum := sha256.Sum256(text)
	return append(text, "checksum: "+hex.EncodeToString(sum[:])+"\n"...)
}

func passphraseAEAD(passphrase, salt []byte) (cipher.AEAD, error) {
	derived, err := scrypt.Key(passphrase, salt, scryptN, scryptR, scryptP, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive key from passphrase: %w", err)
	}
	defer clear(derived)
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("use passphrase: %w", err)
	}
	return cipher.NewGCM(block)
}

// layout is a key file taken apart, its checksum right.
type layout struct {
	head string // all lines before the key, which the passphrase authenticates
	id   string
	salt []byte // nil without passphrase
	key  []byte
}

// decode reads a key file's text. Errors as Open's.
func decode(text, passphrase []byte) (material, error) {
	file, err := split(text)
	if err != nil {
		return material{}, err
	}
	secret := file.key
	defer clear(secret)
	if file.salt == nil && len(passphrase) > 0 {
		return material{}, fmt.Errorf("a passphrase was given, but the file has none; start without it, knowing that the file's mode alone protects the key: %w", lockstep.ErrInvalid)
	}
	if file.salt != nil {
		secret, err = file.unlock(passphrase)
		if err != nil {
			return material{}, err
		}
		defer clear(secret)
	}
	if len(secret) != 2*keySize {
		return material{}, damaged("the key has the wrong length")
	}
	signing, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret[keySize:])
	if err != nil {
		return material{}, damaged("the signing key is none")
	}
	m := material{wrapping: bytes.Clone(secret[:keySize]), signing: signing}
	if id, err := m.id(); err != nil || id != file.id {
		return material{}, damaged("the id does not belong to the key")
	}
	return m, nil
}

func split(text []byte) (layout, error) {
	lines := strings.Split(string(text), "\n")
	if version, ok := strings.CutPrefix(lines[0], titlePrefix); ok && lines[0] != title && len(version) < 10 {
		return layout{}, fmt.Errorf("it is of version %q, which this program does not know; use a newer one: %w", version, lockstep.ErrInvalid)
	}
	if lines[0] != title {
		return layout{}, fmt.Errorf("it is no root key file; restore the right one from its backup: %w", lockstep.ErrInvalid)
	}
	if len(lines) != 6 || lines[5] != "" {
		return layout{}, damaged("it is cut off or has extra lines")
	}
	sum := sha256.Sum256([]byte(strings.Join(lines[:4], "\n") + "\n"))
	if lines[4] != "checksum: "+hex.EncodeToString(sum[:]) {
		return layout{}, damaged("the checksum does not match")
	}
	id, okID := strings.CutPrefix(lines[1], "id: ")
	protection, okProtection := strings.CutPrefix(lines[2], "protection: ")
	keyText, okKey := strings.CutPrefix(lines[3], "key: ")
	key, err := base64.StdEncoding.Strict().DecodeString(keyText)
	if !okID || !okProtection || !okKey || err != nil {
		return layout{}, damaged("a line is malformed")
	}
	file := layout{head: strings.Join(lines[:3], "\n") + "\n", id: id, key: key}
	if protection == "none" {
		return file, nil
	}
	saltText, ok := strings.CutPrefix(protection, "scrypt ")
	file.salt, err = base64.StdEncoding.Strict().DecodeString(saltText)
	if !ok || err != nil || len(file.salt) != saltSize {
		return layout{}, damaged("the protection is unknown")
	}
	return file, nil
}

func (f layout) unlock(passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("it is protected by a passphrase; give the one it was made with: %w", lockstep.ErrSealed)
	}
	aead, err := passphraseAEAD(passphrase, f.salt)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, make([]byte, aead.NonceSize()), f.key, []byte(f.head))
	if err != nil {
		return nil, fmt.Errorf("the passphrase does not open it; give the one it was made with: %w", lockstep.ErrSealed)
	}
	return secret, nil
}

func damaged(how string) error {
	return fmt.Errorf("it is damaged (%s); restore it from its backup, since a new key cannot open what this one wrapped: %w", how, lockstep.ErrInvalid)
}
