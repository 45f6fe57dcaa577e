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
}

// pace is how fast a counter grows over the window, after a short run-up.
func (b *bench) pace(ctx context.Context, count func() int64) (pace, error) {
	if err := pause(ctx, max(b.window/4, runUp)); err != nil {
		return pace{}, err
	}
	before, start := count(), time.Now()
	cpu, err := ownCPU()
	if err != nil {
		return pace{}, err
	}
	if err := pause(ctx, b.window); err != nil {
		return pace{}, err
	}
	n, took := float64(count()-before), time.Since(start)
	after, err := ownCPU()
	if err != nil {
		return pace{}, err
	}
	return pace{perSecond: n / took.Seconds(), cpu: milliseconds(after-cpu) / max(n, 1)}, nil
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
