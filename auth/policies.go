package auth

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"lockstep"
	"lockstep/auth/policy"
	"lockstep/store"
)

// Access is what the policies of a principal say. It is immutable.
type Access struct {
	// Identity are its own policies and those of its groups.
	Identity []*policy.Policy
	// Boundary bounds what they grant; nil: nothing does.
	Boundary *policy.Policy
	// Session are those of an assumed role's session; they bound too.
	Session []*policy.Policy
	// Tags are the principal's.
	Tags []lockstep.Tag
	// RoleARN is the role of a session; empty for users.
	RoleARN string
	// ID is the unique id: AIDA… of a user, AROA… of a role, with the session's
	// name for a session.
	ID string
}

// set is the part of a decision that the principal brings along; a nil Access
// brings nothing.
func (a *Access) set() policy.Set {
	if a == nil {
		return policy.Set{}
	}
	return policy.Set{Identity: a.Identity, Boundary: a.Boundary, Session: a.Session}
}

// PoliciesConfig is what Policies needs.
type PoliciesConfig struct {
	// Store is required.
	Store store.Store
	// CacheFor is how long an Access is answered from memory; it bounds how
	// long a change takes to reach this node from another. Zero means two
	// seconds.
	CacheFor time.Duration
	// CacheSize is how many are held at most; zero means 4096.
	CacheSize int
	// Now is the clock of the cache; nil means time.Now.
	Now func() time.Time
}

const defaultPoliciesFor = 2 * time.Second

// Policies reads what users and roles may. It is safe for concurrent use.
type Policies struct {
	config    PoliciesConfig
	documents *documents

	mu    sync.Mutex
	cache map[string]cachedAccess
	// changes counts the calls of Forget: what was read before one is not
	// kept after it.
	changes uint64
}

type cachedAccess struct {
	access *Access
	until  time.Time
}

// NewPolicies makes Policies.
func NewPolicies(c PoliciesConfig) *Policies {
	if c.CacheFor <= 0 {
		c.CacheFor = defaultPoliciesFor
	}
	if c.CacheSize <= 0 {
		c.CacheSize = defaultCacheSize
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Policies{config: c, documents: newDocuments(), cache: make(map[string]cachedAccess)}
}

// Of returns the Access of a user or a role, by ARN; nil for the root user,
// whom no identity policy binds. Errors: ErrNotFound; ErrBusy; any other if a
// stored policy cannot be read, and then nobody is let in on half of it.
func (p *Policies) Of(ctx context.Context, arn string) (*Access, error) {
	if strings.HasSuffix(arn, ":root") {
		return nil, nil
	}
	found, changes := p.cached(arn)
	if found != nil {
		return found, nil
	}
	until := p.config.Now().Add(p.config.CacheFor)
	var raw stored
	err := p.config.Store.View(ctx, func(tx store.ReadTx) (err error) {
		raw, err = readStored(tx, arn)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read policies of %s: %w", arn, err)
	}
	access, err := p.compile(raw)
	if err != nil {
		return nil, fmt.Errorf("read policies of %s: %w", arn, err)
	}
	p.keep(arn, cachedAccess{access, until}, changes)
	return access, nil
}

// Forget drops everything from the cache of this node. Call it when a user,
// group, role or policy was changed: that is rare, and one change may reach
// many.
func (p *Policies) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes++
	clear(p.cache)
}

// stored is an Access before it is compiled.
type stored struct {
	id       string
	tags     []lockstep.Tag
	boundary *store.Policy
	policies []*store.Policy
}

func readStored(tx store.ReadTx, arn string) (s stored, err error) {
	holders := []string{arn}
	var boundary string
	if strings.Contains(arn, ":role/") {
		role, err := tx.Role(arn)
		if err != nil {
			return s, err
		}
		s.id, s.tags, boundary = uniqueID("AROA", arn, role.Created), role.Tags, role.Boundary
	} else {
		user, err := tx.User(arn)
		if err != nil {
			return s, err
		}
		groups, err := tx.GroupsOf(arn)
		if err != nil {
			return s, err
		}
		s.id, s.tags, boundary = uniqueID("AIDA", arn, user.Created), user.Tags, user.Boundary
		holders = append(holders, groups...)
	}
	for _, h := range holders {
		found, err := tx.Attached(h)
		if err != nil {
			return s, err
		}
		s.policies = append(s.policies, found...)
	}
	if boundary != "" {
		s.boundary, err = tx.Policy(boundary)
	}
	return s, err
}

func (p *Policies) compile(raw stored) (*Access, error) {
	a := &Access{ID: raw.id, Tags: raw.tags}
	for _, s := range raw.policies {
		parsed, err := p.documents.read(s.Document, policy.IdentityPolicy)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.ARN, err)
		}
		a.Identity = append(a.Identity, parsed)
	}
	if raw.boundary == nil {
		return a, nil
	}
	parsed, err := p.documents.read(raw.boundary.Document, policy.IdentityPolicy)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.boundary.ARN, err)
	}
	a.Boundary = parsed
	return a, nil
}

func (p *Policies) cached(arn string) (*Access, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.cache[arn]
	if !ok || !p.config.Now().Before(c.until) {
		return nil, p.changes
	}
	return c.access, p.changes
}

func (p *Policies) keep(arn string, c cachedAccess, changes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes != changes {
		return
	}
	if len(p.cache) >= p.config.CacheSize {
		clear(p.cache)
	}
	p.cache[arn] = c
}
