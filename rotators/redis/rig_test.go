package redis_test

import (
	"context"
	"testing"
	"time"
)

// until waits for a condition, as long as a busy machine may need.
func until(t testing.TB, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatal("it never came about")
		case <-tick.C:
		}
	}
}
