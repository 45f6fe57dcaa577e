package pgxsecret

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"lockstep"
	"lockstep/client"
)

// Source is a live secret; *client.Secret is one.
type Source interface {
	Current() *client.Version
	Refresh(ctx context.Context) error
}

// Binding ties a pool to a secret. It is safe for concurrent use.
type Binding struct {
	source Source

	mu sync.Mutex
	// open counts the connections, and logins under way, of each Version.
	open map[lockstep.VersionID]int
	// changed is closed and replaced whenever open changes.
	changed chan struct{}
}

// Configure makes the pools that are made from cfg use the secret: user,
// password, host, port and database come from its current value with each new
// connection; what the value does not say stays as cfg has it. Hooks that cfg
// has already go on to be called. BeforeConnect hooks see the Config before the
// credential is in it.
//
// Idle connections of an older Version are replaced when they are next asked
// for; to have them closed at once, run Drain beside the pool, as NewPool does.
func Configure(cfg *pgxpool.Config, s Source) *Binding {
	b := &Binding{source: s, open: make(map[lockstep.VersionID]int), changed: make(chan struct{})}
	//lint:ignore SA1019 a hook that the caller has set in the old way goes on to be called
	before, prepare, acquire := cfg.BeforeConnect, cfg.PrepareConn, cfg.BeforeAcquire
	cfg.BeforeConnect = func(ctx context.Context, cc *pgx.ConnConfig) error {
		if before != nil {
			if err := before(ctx, cc); err != nil {
				return err
			}
		}
		return b.connect(ctx, cc)
	}
	cfg.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		switch {
		case !b.usable(conn):
			return false, nil
		case prepare != nil:
			return prepare(ctx, conn)
		case acquire != nil:
			return acquire(ctx, conn), nil
		}
		return true, nil
	}
	return b
}

// usable tells whether a connection may be handed to a query: if it logged in
// with the current Version, or this is the query that it was opened for. That
// one may have been overtaken by a change while it logged in; to refuse it, too,
// could use up the attempts that pgxpool makes, one more than its connections,
// and fail the query. Drain sees to it once it is released.
func (b *Binding) usable(conn *pgx.Conn) bool {
	h, ok := conn.PgConn().Conn().(*handed)
	if !ok {
		return true
	}
	return !h.used.Swap(true) || h.version == b.source.Current().ID
}

// The bounds of repeated logins.
const (
	loginAttempts = 7
	firstPause    = 25 * time.Millisecond
)

// The SQLSTATEs that are worth another login.
const (
	invalidPassword      = "28P01"
	invalidAuthorization = "28000"
	tooManyConnections   = "53300"
)

// connect logs in and makes cc take that connection.
func (b *Binding) connect(ctx context.Context, cc *pgx.ConnConfig) error {
	for attempt := 1; ; attempt++ {
		v := b.source.Current()
		err := b.login(ctx, cc, v)
		if err == nil || attempt == loginAttempts || ctx.Err() != nil {
			return err
		}
		refresh, retry := worthAnother(err)
		if !retry {
			return err
		}
		if refresh {
			if rerr := b.source.Refresh(ctx); rerr != nil {
				return errors.Join(err, rerr)
			}
		}
		if b.source.Current().ID != v.ID {
			continue // it was the old one; the new one needs no pause
		}
		if pause(ctx, firstPause<<(attempt-1)) != nil {
			return err
		}
	}
}

// worthAnother tells whether another login may succeed, and whether the secret
// is to be read before.
func worthAnother(err error) (refresh, retry bool) {
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, errChatty):
		return false, true
	case !errors.As(err, &refused):
		return false, false
	case refused.Code == invalidPassword, refused.Code == invalidAuthorization:
		return true, true
	default:
		// While old connections end, the server may count them still.
		return false, refused.Code == tooManyConnections
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// login makes one login with a Version.
func (b *Binding) login(ctx context.Context, cc *pgx.ConnConfig, v *client.Version) error {
	cred, err := parseCredential(v.Value)
	if err != nil {
		return err
	}
	b.count(v.ID, 1)
	own := cc.Config.Copy()
	cred.apply(own)
	pc, err := logIn(ctx, own)
	if err != nil {
		b.count(v.ID, -1)
		return fmt.Errorf("log in with version %s: %w", v.ID, err)
	}
	h, t, err := hand(pc, v.ID)
	if err != nil {
		b.count(v.ID, -1)
		return err
	}
	h.onClose = func() { b.count(v.ID, -1) }
	cred.apply(&cc.Config)
	h.closeWith(ctx)
	handover(&cc.Config, h, t)
	return nil
}

// count notes that connections of a Version were begun or ended.
func (b *Binding) count(id lockstep.VersionID, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[id] += by
	if b.open[id] == 0 {
		delete(b.open, id)
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// old counts the connections that do not use a Version.
func (b *Binding) old(current lockstep.VersionID) (n int, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, open := range b.open {
		if id != current {
			n += open
		}
	}
	return n, b.changed
}

// Moved waits until every connection of the pool logged in with the current
// Version, none is still being opened with an older one, and returns its id.
// Errors: ctx's.
func (b *Binding) Moved(ctx context.Context) (lockstep.VersionID, error) {
	for {
		v := b.source.Current()
		n, changed := b.old(v.ID)
		if n == 0 {
			return v.ID, nil
		}
		select {
		case <-changed:
		case <-v.Replaced():
		case <-ctx.Done():
			return "", fmt.Errorf("%d connections still use an older version: %w", n, ctx.Err())
		}
	}
}

// The pauses of Drain while busy connections are out.
const (
	firstSweep = 20 * time.Millisecond
	lastSweep  = time.Second
)

// Drain closes idle connections of older Versions after each change, and those
// that were busy soon after they are released, until ctx ends. It does not
// wait for anybody, and nobody waits for it.
func (b *Binding) Drain(ctx context.Context, pool *pgxpool.Pool) {
	wait := firstSweep
	for ctx.Err() == nil {
		v := b.source.Current()
		n, changed := b.old(v.ID)
		if n > 0 {
			// PrepareConn refuses, and the pool closes, what is old.
			for _, conn := range pool.AcquireAllIdle(ctx) {
				conn.Release()
			}
			if pause(ctx, wait) != nil {
				return
			}
			wait = min(2*wait, lastSweep)
			continue
		}
		wait = firstSweep
		select {
		case <-v.Replaced():
		case <-changed: // one may have been opened with an older Version
		case <-ctx.Done():
		}
	}
}
