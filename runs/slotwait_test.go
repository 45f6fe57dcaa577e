package runs_test

import (
	"errors"
	"testing"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
)

// TestARunAwaitsTheSlot asks for a Run while a verify holds the slot: its Job waits
// in the outbox until the verify ends, and is due at that moment.
func TestARunAwaitsTheSlot(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		s := r.rotating(t, "db", "single")
		verify, err := r.ClaimVerify(t.Context(), s.ID, "verifier")
		must(t, err)
		out := r.rotate(t, "db")
		var wait *runs.Waiting
		if _, err := r.Claim(t.Context(), out.Run, "worker"); !errors.As(err, &wait) || !wait.Until.After(began) {
			t.Fatalf("got %v, want to wait until the lease ends", err)
		}
		if run := r.run(t, out.Run); run.Reason == "" || run.State != lockstep.RunQueued {
			t.Errorf("run %+v", run)
		}
		if jobs := r.dueJobs(t); len(jobs) != 0 {
			t.Errorf("due while the slot is held: %+v", jobs)
		}
		must(t, verify.Verified(t.Context(), ""))
		if jobs := r.dueJobs(t); len(jobs) != 1 || jobs[0].Run != out.Run {
			t.Errorf("due after the slot was released: %+v", jobs)
		}
		r.claim(t, out.Run, "worker")
		if run := r.run(t, out.Run); run.Reason != "" {
			t.Errorf("it goes on, and still says %q", run.Reason)
		}
		r.sound(t)
	})
}

// TestARunAwaitsTheEndOfALease loses the holder of the slot.
func TestARunAwaitsTheEndOfALease(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "single")
	_, err := r.ClaimVerify(t.Context(), s.ID, "verifier")
	must(t, err)
	out := r.rotate(t, "db")
	var wait *runs.Waiting
	if _, err := r.Claim(t.Context(), out.Run, "worker"); !errors.As(err, &wait) {
		t.Fatal(err)
	}
	r.clock.pass(lease)
	if jobs := r.dueJobs(t); len(jobs) != 1 {
		t.Errorf("due after the lease: %+v", jobs)
	}
	r.claim(t, out.Run, "worker")
}

// dueJobs are those about Runs that may be published now.
func (r *rig) dueJobs(t *testing.T) (out []store.Job) {
	t.Helper()
	r.view(t, func(tx store.ReadTx) error {
		list, err := tx.Jobs(1000)
		for _, j := range list {
			if j.Kind == store.JobRun {
				out = append(out, j)
			}
		}
		return err
	})
	return out
}
