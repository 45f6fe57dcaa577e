package events

import (
	"slices"
	"sync"
	"testing"

	"lockstep"
)

// failures is an audit log in memory.
type failures struct {
	mu  sync.Mutex
	ids []string
}

func (f *failures) DeliveryFailed(failed []lockstep.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range failed {
		f.ids = append(f.ids, e.ID)
	}
}

// TestFailedDeliveriesAreRecorded loses the answer of one publish: what is not
// known to have arrived is recorded, and nothing else.
func TestFailedDeliveriesAreRecorded(t *testing.T) {
	w := newWorld(t)
	a := w.tell(t, w.secret(t, "prod/a"), lockstep.EventVersionCurrent, lockstep.EventRunSucceeded)
	w.tell(t, w.secret(t, "prod/b"), lockstep.EventVersionCurrent)
	r := w.newRelay(t, &deaf{Bus: w.bus, lose: 1}, "")
	log := &failures{}
	r.cfg.Audit = log
	w.start(t, r)
	w.drained(t)
	log.mu.Lock()
	defer log.mu.Unlock()
	if want := []string{a[0].ID, a[1].ID}; !slices.Equal(log.ids, want) {
		t.Errorf("recorded %v, want %v", log.ids, want)
	}
}
