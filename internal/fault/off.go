//go:build !faults

package fault

import (
	"context"
	"time"

	"lockstep/events"
	"lockstep/rotators"
	"lockstep/store"
)

// Enabled tells whether this binary can be told to fail.
const Enabled = false

// Listen does nothing.
func Listen(context.Context) error { return nil }

// Now is time.Now.
func Now() time.Time { return time.Now() }

// Background returns ctx.
func Background(ctx context.Context) context.Context { return ctx }

// Worker returns ctx.
func Worker(ctx context.Context) context.Context { return ctx }

// Store returns s.
func Store(s store.Store) store.Store { return s }

// Rotator returns r.
func Rotator(r rotators.Rotator) rotators.Rotator { return r }

// Functions returns f.
func Functions(f Finder) Finder { return f }

// Rotators are none.
func Rotators() map[string]rotators.Rotator { return nil }

// Publisher returns p.
func Publisher(p events.Publisher) events.Publisher { return p }
