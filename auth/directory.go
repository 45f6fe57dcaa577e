package auth

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lockstep"
	"lockstep/auth/sigv4"
	"lockstep/store"
)

// DirectoryConfig is what a Directory needs.
type DirectoryConfig struct {
	// Store and Sealer are required.
	Store  store.Store
	Sealer Sealer
	// Policies tells what the key's user may; nil: its policies do not count.
	Policies *Policies
	// Sessions knows the session tokens; nil: none is accepted.
	Sessions *Sessions
	// CacheFor is how long a key is answered from memory; it bounds how long a
	// revoked key still works on other nodes. Zero means 10 seconds.
	CacheFor time.Duration
	// CacheSize is how many keys are held at most; zero means 4096.
	CacheSize int
	// Now is the clock of the cache; nil means time.Now.
	Now func() time.Time
}

// Directory finds the identity behind an access key. It is a
// sigv4.KeyLookup[Principal], a sigv4.SessionLookup[Principal], and safe for
// concurrent use.
type Directory struct {
	config DirectoryConfig

	mu    sync.Mutex
	cache map[string]cachedKey
	// changes counts the calls of Forget: what was read before one is not
	// kept after it.
	changes uint64
}

type cachedKey struct {
	credential sigv4.Credential[Principal]
	until      time.Time
}

// The defaults of DirectoryConfig.
const (
	defaultCacheFor  = 10 * time.Second
	defaultCacheSize = 4096
)

// NewDirectory makes a Directory.
func NewDirectory(c DirectoryConfig) *Directory {
	if c.CacheFor <= 0 {
		c.CacheFor = defaultCacheFor
	}
	if c.CacheSize <= 0 {
		c.CacheSize = defaultCacheSize
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Directory{config: c, cache: make(map[string]cachedKey)}
}

// SecretKey returns the credential of an active access key, with what its user
// may do at present. Errors: ErrNotFound if there is none or it is not active;
// ErrSealed, ErrBusy.
func (d *Directory) SecretKey(ctx context.Context, accessKeyID string) (sigv4.Credential[Principal], error) {
	credential, err := d.credential(ctx, accessKeyID)
	if err != nil || d.config.Policies == nil {
		return credential, err
	}
	credential.Principal.Access, err = d.config.Policies.Of(ctx, credential.Principal.ARN)
	if err != nil {
		return sigv4.Credential[Principal]{}, err
	}
	return credential, nil
}

// SessionKey returns the credential of a session. Errors: ErrNotFound if the
// token is not genuine or its role is gone; ErrBusy.
func (d *Directory) SessionKey(ctx context.Context, accessKeyID, token string) (sigv4.Credential[Principal], error) {
	if d.config.Sessions == nil {
		return sigv4.Credential[Principal]{}, errNoSession
	}
	return d.config.Sessions.SessionKey(ctx, accessKeyID, token)
}

func (d *Directory) credential(ctx context.Context, accessKeyID string) (sigv4.Credential[Principal], error) {
	c, changes, ok := d.cached(accessKeyID)
	if ok {
		return c, nil
	}
	// The deadline of the entry counts from before the reading: a key revoked
	// while it was read is not kept longer than any other.
	until := d.config.Now().Add(d.config.CacheFor)
	credential, err := d.read(ctx, accessKeyID)
	if err != nil {
		return sigv4.Credential[Principal]{}, err
	}
	d.keep(accessKeyID, cachedKey{credential, until}, changes)
	return credential, nil
}

// Forget drops all keys from the cache of this node. Call it when a key was
// changed or revoked, or its user deleted: that is rare.
func (d *Directory) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	clear(d.cache)
}

func (d *Directory) read(ctx context.Context, accessKeyID string) (sigv4.Credential[Principal], error) {
	var key *store.AccessKey
	var user *store.User
	err := d.config.Store.View(ctx, func(tx store.ReadTx) error {
		var err error
		if key, err = tx.AccessKey(accessKeyID); err != nil {
			return err
		}
		user, err = tx.User(key.UserARN)
		return err
	})
	if err != nil {
		return sigv4.Credential[Principal]{}, fmt.Errorf("read access key: %w", err)
	}
	if !key.Active || key.Secret == nil {
		return sigv4.Credential[Principal]{}, fmt.Errorf("access key is not active: %w", lockstep.ErrNotFound)
	}
	secret, err := d.config.Sealer.Open(ctx, key.Secret, binding(key.UserARN, key.ID))
	if err != nil {
		return sigv4.Credential[Principal]{}, fmt.Errorf("open access key: %w", err)
	}
	return sigv4.Credential[Principal]{SecretKey: secret, Principal: Principal{
		ARN: user.ARN, Account: user.Account, Name: user.Name, AccessKeyID: key.ID,
	}}, nil
}

func (d *Directory) cached(id string) (c sigv4.Credential[Principal], changes uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.cache[id]
	if !ok || !d.config.Now().Before(k.until) {
		return c, d.changes, false
	}
	return k.credential, d.changes, true
}

func (d *Directory) keep(id string, c cachedKey, changes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changes != changes {
		return
	}
	if len(d.cache) >= d.config.CacheSize {
		d.evict()
	}
	d.cache[id] = c
}

// evict drops what has run out; if nothing has, everything: only keys that
// exist get in, so that is rare, and costs one read each.
func (d *Directory) evict() {
	now := d.config.Now()
	for id, c := range d.cache {
		if !now.Before(c.until) {
			delete(d.cache, id)
		}
	}
	if len(d.cache) >= d.config.CacheSize {
		clear(d.cache)
	}
}
