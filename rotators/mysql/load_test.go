package mysql_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/rotatortest"
)

// inForce is AWSCURRENT as applications see it.
type inForce struct {
	version int64
	secret  secret
}

// application logs in with AWSCURRENT over and over, and says which version it
// last came through with.
type application struct {
	world  *world
	seen   *atomic.Pointer[inForce]
	moved  atomic.Int64
	logins atomic.Int64
	failed atomic.Int64
}

func (a *application) run(ctx context.Context) {
	for ctx.Err() == nil {
		now := a.seen.Load()
		db, conn, err := a.world.conn(ctx, now.secret)
		if err == nil {
			_, err = conn.ExecContext(ctx, "SELECT n FROM shop.orders")
			_, _ = conn.Close(), db.Close()
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			a.failed.Add(1)
		default:
			a.logins.Add(1)
			a.moved.Store(now.version)
		}
	}
}

// applications starts some that end with the test.
func applications(t *testing.T, w *world, first *inForce) ([]*application, *atomic.Pointer[inForce]) {
	t.Helper()
	seen := new(atomic.Pointer[inForce])
	seen.Store(first)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	all := make([]*application, 4)
	for i := range all {
		all[i] = &application{world: w, seen: seen}
		wg.Go(func() { all[i].run(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return all, seen
}

// await waits until each application came through with a version: its ack.
func await(t *testing.T, all []*application, version int64) {
	t.Helper()
	late := time.After(2 * time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for slices.ContainsFunc(all, func(a *application) bool { return a.moved.Load() < version }) {
		select {
		case <-late:
			t.Fatalf("not all applications came through with version %d", version)
		case <-tick.C:
		}
	}
}

const rotations = 50

func TestNoFailureUnderLoad(t *testing.T) {
	w := newWorld(t)
	user := "load_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT ON shop.* TO "+user)
	e := w.engine(t, alternating(t), user)
	all, seen := applications(t, w, &inForce{version: 0, secret: rotatortest.Read[secret](t, e.Current)})
	for i := int64(1); i <= rotations; i++ {
		old := e.Rotate(t)
		seen.Store(&inForce{version: i, secret: rotatortest.Read[secret](t, e.Current)})
		await(t, all, i)
		if i%2 == 0 {
			e.Retire(t, old)
		}
	}
	var logins, failed int64
	for _, a := range all {
		logins, failed = logins+a.logins.Load(), failed+a.failed.Load()
	}
	t.Logf("%d rotations, %d logins, %d failed", rotations, logins, failed)
	if failed != 0 {
		t.Errorf("%d of %d logins failed", failed, logins+failed)
	}
}

// With one value there is a gap: from the moment at which the change is sent
// until test is through and finish may move AWSCURRENT, which adds a commit of
// the store.
func TestGapOfOneValue(t *testing.T) {
	w := newWorld(t)
	user := "gap_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT ON shop.* TO "+user)
	e := w.engine(t, single(t), user)
	applications(t, w, &inForce{secret: rotatortest.Read[secret](t, w.admin)}) // other work for the server
	gaps := make([]time.Duration, rotations)
	for i := range gaps {
		pending, err := e.Rotator.Create(t.Context(), e.Request(lockstep.Value{}))
		rotatortest.Check(t, err)
		gaps[i] = gap(t, e, pending)
		e.Current = pending
	}
	slices.Sort(gaps)
	t.Logf("gap between set and finish, %d rotations under load: p50 %v, p99 %v", rotations,
		gaps[rotations/2].Round(100*time.Microsecond), gaps[rotations*99/100].Round(100*time.Microsecond))
}

// gap makes one set and test, and returns the time from sending to the end.
func gap(t *testing.T, e *rotatortest.Engine, pending lockstep.Value) time.Duration {
	t.Helper()
	var sent time.Time
	r := e.Request(pending)
	r.Guard = rotators.Guard{Fence: r.Guard.Fence, NotAfter: func(_ context.Context, now time.Time) (time.Time, error) {
		sent = time.Now()
		return now.Add(30 * time.Second), nil
	}}
	rotatortest.Check(t, e.Rotator.Set(t.Context(), r))
	rotatortest.Check(t, e.Rotator.Test(t.Context(), r, pending))
	return time.Since(sent)
}
