package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// pace is how fast something went.
type pace struct {
	perSecond float64
	// cpu is what this process (not PostgreSQL) spent on one, in milliseconds.
	// It changes less than the rate when others use the machine.
	cpu float64
	// target is what PostgreSQL spent on one, in milliseconds.
	target float64
}

// pace is how fast a counter grows over the window, after a short run-up.
func (b *bench) pace(ctx context.Context, count func() int64) (pace, error) {
	if err := pause(ctx, max(b.window/4, runUp)); err != nil {
		return pace{}, err
	}
	before, err := b.reading(count)
	if err != nil {
		return pace{}, err
	}
	if err := pause(ctx, b.window); err != nil {
		return pace{}, err
	}
	after, err := b.reading(count)
	if err != nil {
		return pace{}, err
	}
	n := float64(after.done - before.done)
	return pace{
		perSecond: n / after.at.Sub(before.at).Seconds(),
		cpu:       milliseconds(after.own-before.own) / max(n, 1),
		target:    milliseconds(after.target-before.target) / max(n, 1),
	}, nil
}

// reading is one look at the counter and at the processor times.
type reading struct {
	at          time.Time
	done        int64
	own, target time.Duration
}

func (b *bench) reading(count func() int64) (r reading, err error) {
	r.at, r.done = time.Now(), count()
	if r.own, err = ownCPU(); err != nil {
		return r, err
	}
	r.target, err = treeCPU(b.pgProcess)
	return r, err
}

// runUp fills pools and caches and lets every worker find work.
const runUp = 500 * time.Millisecond

// ownCPU is the processor time that this process has used.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
