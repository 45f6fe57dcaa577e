package oauthtest

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"sync"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

// memory is fosite's own store, but for what becomes of an access token when its
// refresh token is spent.
type memory struct {
	*storage.MemoryStore
	keepsAccess bool
	registrations

	mu sync.Mutex
	// access and refresh are the signatures of what a client was ever issued.
	access, refresh map[string][]string
}

func newMemory(keepsAccess bool) *memory {
	m := &memory{MemoryStore: storage.NewMemoryStore(), keepsAccess: keepsAccess, access: map[string][]string{}, refresh: map[string][]string{}}
	m.clients = map[string]*registration{}
	return m
}

// RotateRefreshToken is fosite's, called when a refresh token is spent.
func (m *memory) RotateRefreshToken(ctx context.Context, requestID, signature string) error {
	if m.keepsAccess {
		return m.RevokeRefreshToken(ctx, requestID)
	}
	return m.MemoryStore.RotateRefreshToken(ctx, requestID, signature)
}

// CreateAccessTokenSession is fosite's.
func (m *memory) CreateAccessTokenSession(ctx context.Context, signature string, r fosite.Requester) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.access[r.GetClient().GetID()] = append(m.access[r.GetClient().GetID()], signature)
	return m.MemoryStore.CreateAccessTokenSession(ctx, signature, r)
}

// CreateRefreshTokenSession is fosite's.
func (m *memory) CreateRefreshTokenSession(ctx context.Context, signature, access string, r fosite.Requester) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refresh[r.GetClient().GetID()] = append(m.refresh[r.GetClient().GetID()], signature)
	return m.MemoryStore.CreateRefreshTokenSession(ctx, signature, access, r)
}

// working counts what a client was issued and can still use.
func (m *memory) working(ctx context.Context, client string) (access, refresh int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.access[client] {
		if _, err := m.GetAccessTokenSession(ctx, s, session()); err == nil {
			access++
		}
	}
	for _, s := range m.refresh[client] {
		if _, err := m.GetRefreshTokenSession(ctx, s, session()); err == nil {
			refresh++
		}
	}
	return access, refresh
}

// GetClient is fosite's.
func (m *memory) GetClient(_ context.Context, id string) (fosite.Client, error) {
	c, ok := m.find(id)
	if !ok {
		return nil, fosite.ErrNotFound
	}
	return c, nil
}

// plainly compares client secrets by one round of SHA-256: bcrypt, which keeps
// stolen hashes safe, would take most of the tests' time.
type plainly struct{}

// Hash is fosite.Hasher's.
func (plainly) Hash(_ context.Context, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return sum[:], nil
}

// Compare is fosite.Hasher's.
func (p plainly) Compare(ctx context.Context, hash, data []byte) error {
	sum, err := p.Hash(ctx, data)
	if err == nil && subtle.ConstantTimeCompare(sum, hash) != 1 {
		err = fosite.ErrRequestUnauthorized
	}
	return err
}
