package runs_test

import (
	"fmt"
	"testing"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

// advanced drives a batch until the scheduler has nothing more to do about it.
func (r *rig) advanced(t *testing.T, id string) runs.BatchReport {
	t.Helper()
	for {
		_, err := r.AdmitDue(t.Context(), 2)
		must(t, err)
		got, err := r.Batch(t.Context(), owner, id)
		must(t, err)
		if !got.Batch.Working() {
			return got
		}
	}
}

func TestBatch(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for i := range 5 {
			r.rotating(t, fmt.Sprintf("prod/s%d", i), "single")
		}
		r.rotating(t, "test/a", "single")
		r.secret(t, "prod/plain")
		running := r.rotate(t, "prod/s0") // is adopted: not replaced, since it is held
		c := r.claim(t, running.Run, "worker")
		b, err := r.StartBatch(t.Context(), runs.NewBatch{Owner: owner, Match: "prod/*", By: "anna"})
		must(t, err)
		got := r.advanced(t, b.Batch.ID)
		if got.Total() != 5 || got.Counts["queued"] != 5 || got.Done() || got.Batch.By != "anna" {
			t.Fatalf("%+v %+v", got.Batch, got.Counts)
		}
		r.created(t, c)
		must(t, c.Applied(t.Context()))
		must(t, c.Finish(t.Context()))
		open, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
		must(t, err)
		for i, h := range open {
			if i > 0 {
				r.finished(t, h.Run.ID)
				continue
			}
			failing := r.claim(t, h.Run.ID, "worker")
			_, err := failing.Failed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultPermanent))
			must(t, err)
		}
		got, err = r.Batch(t.Context(), owner, b.Batch.ID)
		must(t, err)
		if !got.Done() || got.Counts["succeeded"] != 4 || len(got.Failures) != 1 || got.Failures[0].Reason == "" {
			t.Errorf("%+v %+v", got.Counts, got.Failures)
		}
		_, err = r.ResumeBatch(t.Context(), owner, b.Batch.ID)
		must(t, err)
		got = r.advanced(t, b.Batch.ID)
		if got.Done() || got.Counts["succeeded"] != 4 || got.Counts["queued"] != 1 {
			t.Errorf("resumed: %+v", got.Counts)
		}
		_, err = r.CancelBatch(t.Context(), owner, b.Batch.ID)
		must(t, err)
		got = r.advanced(t, b.Batch.ID)
		if !got.Done() || got.Counts["cancelled"] != 1 || got.Batch.State != store.BatchCancelled {
			t.Errorf("cancelled: %+v", got.Counts)
		}
		_, err = r.Batch(t.Context(), store.Owner{Account: "210987654321", Region: owner.Region}, b.Batch.ID)
		wants(t, err, lockstep.ErrNotFound)
		r.sound(t)
	})
}

func TestEmergencyBatchPassesAPause(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single")
	r.set(t, hold("pause", lockstep.HoldPause))
	held := r.rotate(t, "db")
	b, err := r.StartBatch(t.Context(), runs.NewBatch{Owner: owner, Match: "db", Emergency: true})
	must(t, err)
	r.advanced(t, b.Batch.ID)
	if got := r.run(t, held.Run); got.State != lockstep.RunCancelled {
		t.Errorf("the run that is held is %s: the emergency replaces it", got.State)
	}
	open, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
	must(t, err)
	if len(open) != 1 || open[0].Run.Trigger != lockstep.TriggerEmergency {
		t.Fatalf("open runs: %v", open)
	}
	r.finished(t, open[0].Run.ID)
}
