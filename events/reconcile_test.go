package events

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/store"
)

func (w *world) reconcile(t testing.TB) {
	t.Helper()
	if err := w.relay.Reconcile(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestLostRunGetsANewJob(t *testing.T) {
	w := newWorld(t)
	s := w.secret(t, "prod/a")
	run := w.run(t, s) // open, and no Job anywhere
	w.reconcile(t)
	jobs, _ := w.outbox(t)
	if len(jobs) != 1 || jobs[0].Run != run.ID || jobs[0].Seq != 2 || jobs[0].Name != "prod/a" {
		t.Fatalf("outbox: %+v", jobs)
	}
	w.reconcile(t)
	if again, _ := w.outbox(t); len(again) != 1 || again[0].Row != jobs[0].Row {
		t.Errorf("a second look made another: %+v", again)
	}
	w.start(t, w.relay)
	w.drained(t)
	w.relay.Stop()
	w.reconcile(t)
	if again, _ := w.outbox(t); len(again) != 0 {
		t.Errorf("the queue holds the job, and yet: %+v", again)
	}
}

func TestWhoNeedsNoJob(t *testing.T) {
	for name, change := range map[string]func(tx store.Tx, run *lockstep.Run) error{
		"held": func(tx store.Tx, run *lockstep.Run) error {
			_, err := tx.ClaimSlot(run.Secret, "worker", time.Minute)
			return err
		},
		"not yet due": func(tx store.Tx, run *lockstep.Run) error {
			run.RetryAt = tx.Now().Add(time.Minute)
			return tx.SaveRun(run, nil)
		},
		"final": func(tx store.Tx, run *lockstep.Run) error {
			run.State, run.Finished = lockstep.RunCancelled, tx.Now()
			return tx.SaveRun(run, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			run := w.run(t, w.secret(t, "prod/a"))
			listed := store.Job{Kind: store.JobRun, Secret: run.Secret, Run: run.ID}
			w.update(t, func(tx store.Tx) error {
				if _, err := tx.LockSecret(run.Secret); err != nil {
					return err
				}
				return change(tx, run)
			})
			w.reconcile(t)
			// Also if it changed after it was listed.
			w.update(t, func(tx store.Tx) error { return addJob(tx, listed, renewRun) })
			if jobs, _ := w.outbox(t); len(jobs) != 0 {
				t.Errorf("outbox: %+v", jobs)
			}
		})
	}
}

func TestDueRetirementAndUnverifiedSecretGetJobs(t *testing.T) {
	w := newWorld(t)
	a, b := w.secret(t, "prod/a"), w.secret(t, "prod/b")
	v, err := lockstep.NewVersionID()
	if err != nil {
		t.Fatal(err)
	}
	w.update(t, func(tx store.Tx) error {
		if err := tx.InsertVersion(&lockstep.Version{Secret: a.ID, ID: v, Created: tx.Now(), Retirement: lockstep.RetirementDue}); err != nil {
			return err
		}
		s, err := tx.LockSecret(b.ID)
		if err != nil {
			return err
		}
		s.Unverified, s.Rotation = true, &lockstep.Rotation{Enabled: true, Rotator: "test"}
		return tx.SaveSecret(s)
	})
	w.start(t, w.relay) // reconciles at start
	q := w.open(t)
	got := map[string]bus.JobMessage{}
	for range 2 {
		_, m := take(t, q)
		got[m.Kind] = m
	}
	if got["retire"].Version != v || got["retire"].SecretID != a.ID || got["verify"].SecretID != b.ID {
		t.Errorf("got %+v", got)
	}
}

// wipe throws the JetStream directory away while the server is down; with keep
// it comes back as it was when that copy was made.
func (w *world) wipe(t *testing.T, keep string) {
	t.Helper()
	w.relay.Stop()
	if err := w.bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(w.busDir, "store")); err != nil {
		t.Fatal(err)
	}
	if keep != "" {
		if err := os.CopyFS(filepath.Join(w.busDir, "store"), os.DirFS(keep)); err != nil {
			t.Fatal(err)
		}
	}
	w.startBus(t)
	w.relay = w.newRelay(t, w.bus, "")
}

// backup copies the JetStream directory of a server that is down.
func (w *world) backup(t *testing.T) string {
	t.Helper()
	w.relay.Stop()
	if err := w.bus.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(w.busDir, "store"))); err != nil {
		t.Fatal(err)
	}
	w.startBus(t)
	w.relay = w.newRelay(t, w.bus, "")
	return dir
}

func TestWipedJetStreamIsFilledAgain(t *testing.T) {
	w := newWorld(t)
	s := w.secret(t, "prod/a")
	run := w.run(t, s)
	w.queue(t, s, run)
	all := w.tell(t, s, lockstep.EventSecretCreated, lockstep.EventVersionCurrent, lockstep.EventVersionCurrent, lockstep.EventRunSucceeded)
	w.start(t, w.relay)
	w.drained(t)
	w.wipe(t, "")
	if n := w.streamSeq(t); n != 0 {
		t.Fatalf("not wiped: %d", n)
	}
	w.start(t, w.relay)
	for _, e := range all {
		eventually(t, "event "+string(e.Type)+" is back", func() bool {
			got := w.last(t, e)
			return got != nil && got.Seq >= e.Seq
		})
	}
	if _, m := take(t, w.open(t)); m.Run != run.ID || m.Seq != 2 {
		t.Errorf("job %+v", m)
	}
	if n := w.streamSeq(t); n != 4 {
		t.Errorf("stream has %d events, want 4", n)
	}
}

func TestOlderJetStreamCatchesUp(t *testing.T) {
	w := newWorld(t)
	s := w.secret(t, "prod/a")
	w.start(t, w.relay)
	w.tell(t, s, lockstep.EventVersionCurrent)
	w.drained(t)
	backup := w.backup(t)
	w.start(t, w.relay)
	// More than one look back, on another secret, so that the lost one is far
	// behind the newest.
	lost := w.tell(t, s, lockstep.EventVersionCurrent, lockstep.EventRunSucceeded)
	other := w.secret(t, "prod/b")
	for range 3 {
		w.tell(t, other, make100(lockstep.EventRunRetrying)...)
	}
	w.drained(t)
	w.reconcile(t) // remembers how far the stream was
	w.wipe(t, backup)
	if n := w.streamSeq(t); n != 1 {
		t.Fatalf("backup is at %d", n)
	}
	// Enough is waiting to carry the stream beyond where it was, and to fill
	// the first look.
	newest := w.secret(t, "prod/c")
	for range 6 {
		w.tell(t, newest, make100(lockstep.EventRunWaiting)...)
	}
	w.start(t, w.relay)
	for _, e := range lost {
		eventually(t, "event "+string(e.Type)+" is back", func() bool {
			got := w.last(t, e)
			return got != nil && got.Seq == e.Seq
		})
	}
	w.drained(t)
}

func make100(typ lockstep.EventType) []lockstep.EventType {
	return slices.Repeat([]lockstep.EventType{typ}, 100)
}

func TestNothingIsRepublishedWithoutNeed(t *testing.T) {
	w := newWorld(t)
	s := w.secret(t, "prod/a")
	w.tell(t, s, lockstep.EventVersionCurrent, lockstep.EventRunSucceeded, lockstep.EventVersionCurrent)
	w.start(t, w.relay)
	w.drained(t)
	w.tell(t, s, lockstep.EventRunRetrying)
	w.drained(t)
	before := w.streamSeq(t)
	w.reconcile(t)
	w.reconcile(t)
	if _, unsent := w.outbox(t); len(unsent) != 0 || w.streamSeq(t) != before {
		t.Errorf("unsent %d, stream %d instead of %d", len(unsent), w.streamSeq(t), before)
	}
}

func TestOldEventsAreForgottenButTheLast(t *testing.T) {
	w := newWorld(t)
	s := w.secret(t, "prod/a")
	w.start(t, w.relay)
	w.tell(t, s, lockstep.EventVersionCurrent, lockstep.EventRunSucceeded)
	w.drained(t)
	w.clock.pass(Keep + 2*time.Hour)
	w.reconcile(t)
	var left []lockstep.Event
	err := w.View(testContext(t), func(tx store.ReadTx) (err error) {
		left, err = tx.Events(s.ID, 0, 10)
		return err
	})
	if err != nil || len(left) != 1 || left[0].Seq != 2 {
		t.Errorf("left: %+v, %v", left, err)
	}
}

func TestOnlyOneNodeRelays(t *testing.T) {
	w := newWorld(t)
	a, b := w.newRelay(t, w.bus, "node-a"), w.newRelay(t, w.bus, "node-b")
	w.start(t, a)
	eventually(t, "a holds the lease", a.lease.held)
	w.start(t, b)
	s := w.secret(t, "prod/a")
	w.tell(t, s, lockstep.EventVersionCurrent)
	w.drained(t)
	if err := b.lease.renew(testContext(t)); err != nil || b.lease.held() {
		t.Errorf("b relays beside a: %v", err)
	}
	a.Stop() // gives the lease up
	if a.lease.held() {
		t.Error("a still relays")
	}
	eventually(t, "b holds the lease", b.lease.held)
	e := w.tell(t, s, lockstep.EventVersionCurrent)
	w.drained(t)
	if got := w.last(t, e[0]); got == nil || got.Seq != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestLeaseOfAVanishedNodeRunsOut(t *testing.T) {
	w := newWorld(t)
	gone, next := newLease(w.Store, "gone"), newLease(w.Store, "next")
	renew := func(l *lease, want bool) {
		t.Helper()
		if err := l.renew(testContext(t)); err != nil || l.held() != want {
			t.Errorf("%s: held %v, %v; want %v", l.node, l.held(), err, want)
		}
	}
	renew(gone, true)
	renew(next, false)
	renew(newLease(w.Store, "gone"), true) // the same node after a restart
	w.clock.pass(leaseLength + time.Second)
	renew(next, true)
	renew(gone, false)
	if next.term() != 1 {
		t.Errorf("term %d", next.term())
	}
}

// A node that vanished before the store's clock was stepped back holds nobody up
// until that clock has caught up.
func TestLeaseFromTheFutureIsBroken(t *testing.T) {
	w := newWorld(t)
	gone, next := newLease(w.Store, "gone"), newLease(w.Store, "next")
	own := time.Now()
	next.now = func() time.Time { return own }
	renew := func(l *lease) bool {
		t.Helper()
		if err := l.renew(testContext(t)); err != nil {
			t.Fatal(err)
		}
		return l.held()
	}
	renew(gone)
	w.clock.pass(-time.Hour)
	for range 3 {
		if renew(next) {
			t.Fatal("a lease that may live was taken")
		}
		own = own.Add(leaseLength * 3 / 5)
	}
	if !renew(gone) { // it lives after all, by the stepped clock
		t.Fatal("the holder lost its lease")
	}
	own = own.Add(2 * leaseLength)
	if renew(next) {
		t.Error("a lease that was renewed was taken")
	}
	w.clock.pass(-time.Hour)
	if renew(next) {
		t.Error("a lease was taken at once")
	}
	own = own.Add(2 * leaseLength)
	if !renew(next) {
		t.Error("an abandoned lease holds the others up")
	}
}
