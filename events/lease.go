package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lockstep"
	"lockstep/store"
)

const (
	leaseSetting = "relay.lease"
	// leaseLength is how long a node that vanished holds the others up.
	leaseLength = 5 * time.Second
	leaseRenew  = time.Second
)

// leaseRow is the lease as it stands in the store. Expires is by the store's
// clock.
type leaseRow struct {
	Node    string    `json:"node"`
	Expires time.Time `json:"expires"`
}

// lease says which node relays. Without a node name it is always held.
type lease struct {
	store store.Store
	node  string
	now   func() time.Time

	mu    sync.Mutex
	until time.Time // by this process's clock, from before the write
	terms uint64

	// seen is another's lease as it was first seen so, and when: by this process's
	// clock. Only renew uses them.
	seen  leaseRow
	since time.Time
}

func newLease(s store.Store, node string) *lease {
	return &lease{store: s, node: node, now: time.Now}
}

// held tells whether this node may publish now.
func (l *lease) held() bool {
	if l.node == "" {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now().Before(l.until)
}

// term grows each time the lease is taken after it was not held.
func (l *lease) term() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.terms
}

// keep takes and renews the lease until ctx ends, then gives it up.
func (l *lease) keep(ctx context.Context, log *slog.Logger) {
	for {
		if err := l.renew(ctx); err != nil && ctx.Err() == nil {
			log.Warn("relay lease not renewed", "node", l.node, "error", err)
		}
		if !pause(ctx, leaseRenew) {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if err := l.release(ctx); err != nil {
		log.Warn("relay lease not released; it runs out by itself", "node", l.node, "error", err)
	}
}

// renew writes the lease if it is this node's, free, or has run out. The node
// that held it before a crash takes its own lease again at once.
func (l *lease) renew(ctx context.Context) error {
	begin := l.now()
	mine := false
	err := l.store.Update(ctx, func(tx store.Tx) error {
		row, err := readLease(tx)
		if err != nil {
			return err
		}
		mine = row.Node == l.node || !row.Expires.After(tx.Now()) || l.abandoned(row, tx.Now())
		if !mine {
			return nil
		}
		return saveLease(tx, leaseRow{Node: l.node, Expires: tx.Now().Add(leaseLength)})
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !mine {
		l.until = time.Time{}
		return nil
	}
	if !begin.Before(l.until) {
		l.terms++
	}
	l.until = begin.Add(leaseLength)
	return nil
}

// abandoned tells of a lease that ends further ahead than any lasts, since the
// store's clock was stepped back after it was written, and that nobody has
// renewed for twice its length by this process's own clock.
func (l *lease) abandoned(row leaseRow, now time.Time) bool {
	if row.Node != l.seen.Node || !row.Expires.Equal(l.seen.Expires) {
		l.seen, l.since = row, l.now()
	}
	return row.Expires.Sub(now) > leaseLength && l.now().Sub(l.since) >= 2*leaseLength
}

func (l *lease) release(ctx context.Context) error {
	l.mu.Lock()
	l.until = time.Time{}
	l.mu.Unlock()
	return l.store.Update(ctx, func(tx store.Tx) error {
		row, err := readLease(tx)
		if err != nil || row.Node != l.node {
			return err
		}
		return saveLease(tx, leaseRow{})
	})
}

// readLease returns the zero row if there is none.
func readLease(tx store.ReadTx) (leaseRow, error) {
	var row leaseRow
	raw, err := tx.Setting(leaseSetting)
	if errors.Is(err, lockstep.ErrNotFound) {
		return row, nil
	}
	if err != nil {
		return row, err
	}
	if err := json.Unmarshal(raw, &row); err != nil {
		return row, fmt.Errorf("read relay lease: %w", err)
	}
	return row, nil
}

func saveLease(tx store.Tx, row leaseRow) error {
	raw, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("write relay lease: %w", err)
	}
	return tx.SaveSetting(leaseSetting, raw)
}
