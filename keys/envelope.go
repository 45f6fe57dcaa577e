package keys

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"lockstep"
	"lockstep/store"
)

// The ciphertexts that users get carry the key that opens them:
//
//	form (1 byte) | length of id (1) | id | key version (4) | what seal returns
//
// All of it is bound to the encryption context as associated data.
const (
	formUser = 0xc1
	maxKeyID = 64
)

// Context is an encryption context: it is not secret, and whoever decrypts must
// give the same.
type Context map[string]string

// userAAD is the same for the same context, in whatever order it came.
func userAAD(id string, version int, c Context) []byte {
	parts := []string{"lockstep-user-data", id, fmt.Sprint(version)}
	for _, k := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, k, c[k])
	}
	return associated(parts...)
}

// Encrypt encrypts a user's small plaintext under a key and tells which.
// Errors: a Refusal of kind ErrNotFound; ErrDisabled, ErrState; ErrSealed if
// the root key is away; ref.Allow's.
func (s *Service) Encrypt(ctx context.Context, ref Ref, plaintext []byte, c Context) (*store.MasterKey, []byte, error) {
	k, err := s.Find(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	mk, err := s.userKey(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	out := append([]byte{formUser, byte(len(mk.id))}, mk.id...)  // #nosec G115 -- an id is a UUID
	out = binary.BigEndian.AppendUint32(out, uint32(mk.current)) // #nosec G115 -- versions are counted from 1
	sealed, err := seal(mk.versions[mk.current].material, plaintext, userAAD(mk.id, mk.current, c))
	if err != nil {
		return nil, nil, fmt.Errorf("encrypt: %w", err)
	}
	return k, append(out, sealed...), nil
}

// userKey is the material of a key that was found, if it may be used.
func (s *Service) userKey(ctx context.Context, k *store.MasterKey) (*masterKey, error) {
	if err := rotatable(k); err != nil {
		return nil, err
	}
	return s.master(ctx, k.ID)
}

// Decrypt opens what Encrypt returned, in the same context, and tells under
// which key it is. ref.ID may be empty: the ciphertext says. Errors: as Encrypt;
// ErrDecrypt for anything that was changed or has another context;
// ErrIncorrectKey if ref names another key.
func (s *Service) Decrypt(ctx context.Context, ref Ref, ciphertext []byte, c Context) (*store.MasterKey, []byte, error) {
	id, version, sealed, err := splitUser(ciphertext)
	if err != nil {
		return nil, nil, err
	}
	if ref.ID != "" {
		named, err := s.look(ctx, ref)
		if err != nil {
			return nil, nil, err
		}
		if named.ID != id {
			return nil, nil, ErrIncorrectKey
		}
	}
	ref.ID = id
	k, err := s.Find(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	mk, err := s.userKey(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	material, err := mk.version(version)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := open(material, sealed, userAAD(id, version, c))
	if err != nil {
		return nil, nil, fmt.Errorf("decrypt: %w", err)
	}
	return k, plaintext, nil
}

// ErrIncorrectKey: the ciphertext is under another key than the one named. It
// is an ErrInvalid.
var ErrIncorrectKey = fmt.Errorf("the key does not belong to the ciphertext: %w", lockstep.ErrInvalid)

// KeyOf is the id of the key that a user's ciphertext is under, which may not
// exist. ErrDecrypt.
func KeyOf(ciphertext []byte) (string, error) {
	id, _, _, err := splitUser(ciphertext)
	return id, err
}

func splitUser(b []byte) (id string, version int, sealed []byte, err error) {
	foreign := fmt.Errorf("not a ciphertext of this system: %w", lockstep.ErrDecrypt)
	if len(b) < 2 || b[0] != formUser || b[1] == 0 || b[1] > maxKeyID {
		return "", 0, nil, foreign
	}
	n := int(b[1])
	b = b[2:]
	if len(b) < n+4 {
		return "", 0, nil, foreign
	}
	number := binary.BigEndian.Uint32(b[n:])
	if number == 0 || number > 1<<30 {
		return "", 0, nil, foreign
	}
	return string(b[:n]), int(number), b[n+4:], nil
}
