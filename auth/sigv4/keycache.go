package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync"

	"lockstep"
)

// DefaultCachedKeys is how many derived keys are kept when no other number is
// set.
const DefaultCachedKeys = 4096

// keyCache keeps derived keys by access key and scope. An entry also holds the
// hash of the secret key it came from, so that it dies when the secret changes,
// even if nobody purged it. Only keys that have verified a signature get in:
// strangers cannot fill it.
type keyCache struct {
	limit int

	mu      sync.RWMutex
	entries map[cacheKey]cacheEntry
}

type cacheKey struct {
	accessKeyID string
	scope       Scope
}

type cacheEntry struct {
	secret [sha256.Size]byte
	key    [sha256.Size]byte
}

func newKeyCache(limit int) *keyCache {
	return &keyCache{limit: limit, entries: make(map[cacheKey]cacheEntry)}
}

// get returns the derived key, and a function that keeps it, to be called once
// the key has proven good.
func (c *keyCache) get(accessKeyID string, secret lockstep.Value, scope Scope) ([sha256.Size]byte, func()) {
	id := cacheKey{accessKeyID, scope}
	sum := sha256.Sum256(secret.Bytes())
	c.mu.RLock()
	entry, found := c.entries[id]
	c.mu.RUnlock()
	if found && subtle.ConstantTimeCompare(entry.secret[:], sum[:]) == 1 {
		return entry.key, func() {}
	}
	key := deriveKey(secret.Bytes(), scope)
	return key, func() { c.put(id, cacheEntry{secret: sum, key: key}) }
}

// put makes room when the cache is full: first what belongs to another day,
// then, if that was nothing, a quarter of the rest, whichever.
func (c *keyCache) put(id cacheKey, entry cacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= c.limit {
		c.drop(func(k cacheKey) bool { return k.scope.Date != id.scope.Date })
	}
	if len(c.entries) >= c.limit {
		left := c.limit/4 + 1
		c.drop(func(cacheKey) bool { left--; return left >= 0 })
	}
	c.entries[id] = entry
}

func (c *keyCache) purge(accessKeyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(func(k cacheKey) bool { return k.accessKeyID == accessKeyID })
}

// drop removes what matches; the caller holds the lock.
func (c *keyCache) drop(match func(cacheKey) bool) {
	for k := range c.entries {
		if match(k) {
			delete(c.entries, k)
		}
	}
}
