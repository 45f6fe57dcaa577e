package servertest

import (
	"testing"
	"time"
)

// patience bounds what a test waits for on a machine that is busy with other
// tests; nothing that works takes as long.
const patience = 3 * time.Minute

// Eventually waits until ok holds, and names what does not.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, patience)
		case <-tick.C:
		}
	}
}
