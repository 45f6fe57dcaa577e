package workers_test

import (
	"context"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/rotators/postgres"
	"lockstep/runs"
	"lockstep/store"
)

// TestARunBeginsWhenTheRetirementEnds asks for a rotation while the retirement of
// the one before holds the slot. It waits for its end, and not for a lease.
func TestARunBeginsWhenTheRetirementEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	w.app(t, postgres.NameAlternating, func(in *runs.RotateInput) {
		in.Retirement = &lockstep.Retirement{After: lockstep.RetireDelay, Delay: 10 * time.Millisecond}
	})
	retiring, goOn := make(chan struct{}), make(chan struct{})
	w.hooks.onceBefore("retire", func(ctx context.Context) error {
		close(retiring)
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return nil
	})
	w.pool(t.Context(), t)
	w.succeeded(t, w.rotate(t, "app").Run)
	<-retiring
	next := w.rotate(t, "app").Run
	w.until(t, "the run waits", func(tx store.ReadTx) (bool, error) {
		run, err := tx.Run(next)
		return err == nil && run.Reason != "", err
	})
	close(goOn)
	run := w.succeeded(t, next)
	ended := time.Time{}
	must(t, w.store.View(t.Context(), func(tx store.ReadTx) error {
		list, err := tx.Events(run.Secret, 0, 100)
		for _, e := range list {
			if e.Type == lockstep.EventVersionRetired && ended.IsZero() {
				ended = e.Time
			}
		}
		return err
	}))
	t.Logf("begun %v after the retirement's end", run.Started.Sub(ended))
	if late := run.Started.Sub(ended); ended.IsZero() || late > lease/2 {
		t.Errorf("begun %v after the retirement's end", late)
	}
	w.sound(t)
}
