// Package keys stands between the root key and the values: the root key (an
// hsm.Key) wraps customer master keys, a master key wraps one data key for
// each Version, and the data key encrypts the value. Rotating a key above
// therefore re-wraps keys and never touches a value.
//
// Each ciphertext is AES-256-GCM with its place as associated data: a value
// that is copied to another row, or a data key to another value, no longer
// opens. Unwrapped master keys are kept in memory for a bounded time
// ([Config].CacheFor), so that a read does not cost a trip to the HSM, and no
// longer, so that a key that was disabled stops reads soon.
package keys

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"lockstep"
	"lockstep/store"
)

// RootKey wraps master keys; hsm.Key is one.
type RootKey interface {
	// ID names the key for ever.
	ID() string
	// Wrap and Unwrap encrypt small material under the root key, bound to
	// associated data.
	Wrap(ctx context.Context, plaintext, associated []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error)
}

// Config is what a Service needs.
type Config struct {
	Store store.Store
	Root  RootKey
	// CacheFor is how long an unwrapped master key may be used before its
	// state is read again; zero means 3 seconds.
	CacheFor time.Duration
	// Now is the clock of the cache; nil means time.Now.
	Now func() time.Time
}

// Service seals and opens values. It is safe for concurrent use.
type Service struct {
	store    store.Store
	root     RootKey
	cacheFor time.Duration
	now      func() time.Time
	digest   []byte

	mu    sync.Mutex
	cache map[string]*masterKey
}

// masterKey is a master key with its material in clear.
type masterKey struct {
	id       string
	current  int
	versions map[int][]byte
	checked  time.Time
	state    string
}

// Binding is the place that a ciphertext belongs to.
type Binding struct {
	ARN     string
	Version string
}

const (
	digestSetting  = "digest-key"
	purposeSecrets = "secrets"
	stateEnabled   = "Enabled"
)

// New opens the Service and makes the installation's digest key on first use.
// Errors: ErrSealed if the root key is away; ErrDecrypt if it is not the one
// that this store was made with.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CacheFor == 0 {
		cfg.CacheFor = 3 * time.Second
	}
	s := &Service{
		store: cfg.Store, root: cfg.Root, cacheFor: cfg.CacheFor, now: cfg.Now,
		cache: make(map[string]*masterKey),
	}
	wrapped, err := s.digestSetting(ctx)
	if err != nil {
		return nil, err
	}
	s.digest, err = s.root.Unwrap(ctx, wrapped, []byte(digestSetting))
	if err != nil {
		return nil, fmt.Errorf("open digest key (is this the root key that the store was made with?): %w", err)
	}
	return s, nil
}

// digestSetting reads the wrapped digest key, making it if there is none. Two
// nodes that start at once agree on the one whose insert came first.
func (s *Service) digestSetting(ctx context.Context) ([]byte, error) {
	fresh, err := randomKey()
	if err != nil {
		return nil, err
	}
	mine, err := s.root.Wrap(ctx, fresh, []byte(digestSetting))
	if err != nil {
		return nil, fmt.Errorf("wrap digest key: %w", err)
	}
	var wrapped []byte
	err = s.store.Update(ctx, func(tx store.Tx) error {
		var err error
		wrapped, err = tx.Setting(digestSetting)
		if errors.Is(err, lockstep.ErrNotFound) {
			wrapped = mine
			return tx.SaveSetting(digestSetting, mine)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read digest key: %w", err)
	}
	return wrapped, nil
}

// Seal encrypts a value under a new data key, wrapped by the master key that
// keyID names (empty: the owner's default key, made on first use).
// Errors: ErrNotFound for an unknown key, ErrState for one that is not
// enabled, ErrSealed if the root key is away.
func (s *Service) Seal(ctx context.Context, owner store.Owner, keyID string, v lockstep.Value, to Binding) (*lockstep.Sealed, error) {
	mk, err := s.sealingKey(ctx, owner, keyID)
	if err != nil {
		return nil, err
	}
	dataKey, err := randomKey()
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	ciphertext, err := seal(dataKey, v.Bytes(), valueAAD(to, v.IsBinary()))
	if err != nil {
		return nil, fmt.Errorf("seal value: %w", err)
	}
	wrapped, err := seal(mk.versions[mk.current], dataKey, dataKeyAAD(mk.id, to))
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	return &lockstep.Sealed{
		KeyID: mk.id, KeyVersion: mk.current, WrappedKey: wrapped, Ciphertext: ciphertext,
		Binary: v.IsBinary(), Digest: s.Digest(v),
	}, nil
}

// Open decrypts a value. Errors: ErrDecrypt if anything about it was changed
// or it belongs elsewhere, ErrState if its key is not enabled, ErrSealed if
// the root key is away.
func (s *Service) Open(ctx context.Context, sealed *lockstep.Sealed, to Binding) (lockstep.Value, error) {
	mk, err := s.master(ctx, sealed.KeyID)
	if err != nil {
		return lockstep.Value{}, err
	}
	material, ok := mk.versions[sealed.KeyVersion]
	if !ok {
		return lockstep.Value{}, fmt.Errorf("master key %s has no version %d: %w", mk.id, sealed.KeyVersion, lockstep.ErrDecrypt)
	}
	dataKey, err := open(material, sealed.WrappedKey, dataKeyAAD(mk.id, to))
	if err != nil {
		return lockstep.Value{}, fmt.Errorf("unwrap data key: %w", err)
	}
	defer clear(dataKey)
	clearText, err := open(dataKey, sealed.Ciphertext, valueAAD(to, sealed.Binary))
	if err != nil {
		return lockstep.Value{}, fmt.Errorf("open value: %w", err)
	}
	if sealed.Binary {
		return lockstep.BinaryValue(clearText), nil
	}
	return lockstep.StringValue(string(clearText)), nil
}

// Digest is HMAC-SHA-256 of a value under this installation's key: equal for
// equal values, and useless without the key.
func (s *Service) Digest(v lockstep.Value) []byte {
	kind := byte('s')
	if v.IsBinary() {
		kind = 'b'
	}
	return s.mac("value", []byte{kind}, v.Bytes())
}

// AccountKey is the keyed hash of an Account's canonical name.
func (s *Service) AccountKey(name string) lockstep.AccountKey {
	return lockstep.AccountKey(hex.EncodeToString(s.mac("account", []byte(name))[:16]))
}

// Derive returns 32 bytes that only this installation can make for a purpose,
// for example to authenticate page tokens.
func (s *Service) Derive(purpose string) []byte { return s.mac("derive", []byte(purpose)) }

func (s *Service) mac(domain string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, s.digest)
	h.Write([]byte(domain))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write(p)
	}
	return h.Sum(nil)
}

func randomKey() ([]byte, error) {
	k := make([]byte, 32)
	if _, err := rand.Read(k); err != nil {
		return nil, fmt.Errorf("draw key: %w", err)
	}
	return k, nil
}

// Initialised tells whether anything was ever sealed in a store, so that its
// root key must exist.
func Initialised(ctx context.Context, s store.Store) (bool, error) {
	err := s.View(ctx, func(tx store.ReadTx) error {
		_, err := tx.Setting(digestSetting)
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for sealed values: %w", err)
	}
	return true, nil
}
