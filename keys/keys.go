// Package keys stands between the root key and the values: the root key (an
// hsm.Key) wraps customer master keys, a master key wraps one data key for
// each Version, and the data key encrypts the value. Rotating a key above
// therefore re-wraps keys and never touches a value.
//
// Each ciphertext is AES-256-GCM with its place as associated data: a value
// that is copied to another row, or a data key to another value, no longer
// opens. A master key that was unwrapped stays in memory, so that a read does
// not cost a trip to the HSM, but its state is read again from the store once
// it is older than [Config].CacheFor, so that a key that was disabled stops
// reads and writes soon; and it is unwrapped again before it is older than
// [Config].HoldFor. While the root key is away, reads therefore go on for that
// time, and then fail.
//
// Two things move keys in the background, in small batches that a crash does
// not harm ([Service.Maintain]): after a rotation of a master key, its data keys
// are wrapped anew under its new version; after a change of the root key, the
// master keys are.
//
// The key of the digests is a master key like the others, the installation's
// own: the same machinery makes it once, wraps it, and can re-wrap it.
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
	// RootLine is how Root is named for Roots to open; empty leaves what the
	// store knows.
	RootLine string
	// Roots opens other root keys; nil: there is no moving to another one.
	Roots Opener
	// CacheFor is how long an unwrapped master key may be used before its
	// state is read again; zero means 3 seconds.
	CacheFor time.Duration
	// HoldFor is how long an unwrapped master key may be used before the root
	// key must unwrap it again; zero means 15 minutes. From half of that time on
	// it is tried, so that the time bounds how long the root key may be away.
	HoldFor time.Duration
	// Now is the clock of the cache; nil means time.Now.
	Now func() time.Time
}

// Service seals and opens values. It is safe for concurrent use.
type Service struct {
	store    store.Store
	roots    roots
	cacheFor time.Duration
	holdFor  time.Duration
	now      func() time.Time
	digest   []byte

	mu    sync.Mutex
	cache map[string]*masterKey
}

// Binding is the place that a ciphertext belongs to.
type Binding struct {
	ARN     string
	Version string
}

const (
	purposeSecrets = "secrets"
	purposeDigests = "digests"
)

// installation owns what belongs to no tenant.
var installation = store.Owner{}

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
	if cfg.HoldFor == 0 {
		cfg.HoldFor = 15 * time.Minute
	}
	s := &Service{
		store: cfg.Store, cacheFor: cfg.CacheFor, holdFor: cfg.HoldFor, now: cfg.Now,
		cache: make(map[string]*masterKey),
	}
	if err := s.openRoots(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	row, err := s.defaultKey(ctx, installation, purposeDigests)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read digest key: %w", err), s.Close())
	}
	mk, err := s.unwrap(ctx, row)
	if err != nil {
		err = fmt.Errorf("open digest key (is this the root key that the store was made with?): %w", err)
		return nil, errors.Join(err, s.Close())
	}
	s.remember(mk.id, mk)
	// The first version for ever: with another, no stored digest would match.
	s.digest = mk.versions[1].material
	return s, nil
}

// Seal encrypts a value under a new data key, wrapped by the master key that
// keyID names: an id, an ARN, an alias or an alias's ARN (empty: the owner's
// default key, made on first use).
// Errors: ErrNotFound for a key that is unknown or another owner's, ErrState
// for one that is not enabled, ErrSealed if the root key is away.
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
	digest := s.Digest(v)
	ciphertext, err := seal(dataKey, v.Bytes(), valueAAD(to, v.IsBinary(), digest))
	if err != nil {
		return nil, fmt.Errorf("seal value: %w", err)
	}
	wrapped, err := seal(mk.versions[mk.current].material, dataKey, dataKeyAAD(mk.id, to))
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	return &lockstep.Sealed{
		KeyID: mk.id, KeyVersion: mk.current, WrappedKey: wrapped, Ciphertext: ciphertext,
		Binary: v.IsBinary(), Digest: digest,
	}, nil
}

// CanSeal tells whether Seal would find its key. Errors: those of Seal.
func (s *Service) CanSeal(ctx context.Context, owner store.Owner, keyID string) error {
	_, err := s.sealingKey(ctx, owner, keyID)
	return err
}

// Open decrypts a value. Errors: ErrDecrypt if anything about it was changed
// or it belongs elsewhere, ErrState if its key is not enabled, ErrSealed if
// the root key is away.
func (s *Service) Open(ctx context.Context, sealed *lockstep.Sealed, to Binding) (lockstep.Value, error) {
	mk, err := s.master(ctx, sealed.KeyID)
	if err != nil {
		return lockstep.Value{}, err
	}
	material, err := mk.version(sealed.KeyVersion)
	if err != nil {
		return lockstep.Value{}, err
	}
	dataKey, err := open(material, sealed.WrappedKey, dataKeyAAD(mk.id, to))
	if err != nil {
		return lockstep.Value{}, fmt.Errorf("unwrap data key: %w", err)
	}
	defer clear(dataKey)
	clearText, err := open(dataKey, sealed.Ciphertext, valueAAD(to, sealed.Binary, sealed.Digest))
	if err != nil {
		return lockstep.Value{}, fmt.Errorf("open value: %w", err)
	}
	defer clear(clearText)
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

// Ready tells whether reads go on: whether the installation's own key can be
// used, be it that the root key answers or that it was away only lately.
// Errors: ErrSealed; those of the store.
func (s *Service) Ready(ctx context.Context) error {
	row, err := s.defaultKey(ctx, installation, purposeDigests)
	if err != nil {
		return err
	}
	mk, err := s.unwrap(ctx, row)
	if err != nil {
		return err
	}
	mk.checked = s.now()
	s.remember(mk.id, mk)
	return nil
}

// Initialised tells whether anything was ever sealed in a store, so that its
// root key must exist.
func Initialised(ctx context.Context, s store.Store) (bool, error) {
	err := s.View(ctx, func(tx store.ReadTx) error {
		_, err := tx.DefaultKey(installation, purposeDigests)
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
