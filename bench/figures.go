package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"lockstep"
)

// quantile is the value below which the share q of all lies; the zero value of
// T if there are none. It sorts.
func quantile[T cmp.Ordered](all []T, q float64) T {
	if len(all) == 0 {
		var none T
		return none
	}
	slices.Sort(all)
	return all[min(int(float64(len(all))*q), len(all)-1)]
}

func median[T cmp.Ordered](all []T) T { return quantile(slices.Clone(all), 0.5) }

// commitLog listens to a server's log for the end of each rotation, which the
// worker notes right after the commit of finish.
type commitLog struct {
	mu sync.Mutex
	at map[lockstep.VersionID]time.Time
	n  int64
}

func newCommitLog() *commitLog {
	return &commitLog{at: make(map[lockstep.VersionID]time.Time)}
}

func (c *commitLog) logger() *slog.Logger { return slog.New(c) }

// take returns when each Version was committed since the last call.
func (c *commitLog) take() map[lockstep.VersionID]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.at
	c.at = make(map[lockstep.VersionID]time.Time)
	return out
}

// count is how many there were in all.
func (c *commitLog) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Enabled is slog.Handler's.
func (c *commitLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// WithAttrs is slog.Handler's.
func (c *commitLog) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup is slog.Handler's.
func (c *commitLog) WithGroup(string) slog.Handler { return c }

// Handle is slog.Handler's.
func (c *commitLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "rotated" {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "version" {
			return true
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.at[lockstep.VersionID(a.Value.String())] = r.Time
		c.n++
		return false
	})
	return nil
}
