package scheduler_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/scheduler"
)

// engine is a schedule of due times, and remembers when each was admitted.
type engine struct {
	mu       sync.Mutex
	due      []time.Time
	late     []time.Duration
	calls    int
	failures int
	// behind is how far the store's clock is behind this process's.
	behind time.Duration
}

var errAway = errors.New("the store is away")

func (e *engine) AdmitDue(_ context.Context, limit int) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if e.failures > 0 {
		e.failures--
		return 0, errAway
	}
	now, n := time.Now().Add(-e.behind), 0
	for len(e.due) > 0 && n < limit && !e.due[0].After(now) {
		e.late = append(e.late, now.Sub(e.due[0]))
		e.due = e.due[1:]
		n++
	}
	return n, nil
}

func (e *engine) NextDue(context.Context) (next, now time.Time, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.due) > 0 {
		next = e.due[0]
	}
	return next, time.Now().Add(-e.behind), nil
}

func (e *engine) add(at ...time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.due = append(append([]time.Time{}, at...), e.due...)
}

func (e *engine) admitted() (n int, worst time.Duration, calls int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.late {
		worst = max(worst, l)
	}
	return len(e.late), worst, e.calls
}

// run starts a Scheduler in virtual time, lets d pass, and stops it.
func run(t *testing.T, cfg scheduler.Config, d time.Duration) {
	t.Helper()
	s, err := scheduler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pass(d)
	s.Stop()
	s.Stop()
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestEachDueTimeIsMetAndNothingIsPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		for i := range 20 {
			e.due = append(e.due, time.Now().Add(time.Duration(i)*time.Second))
		}
		run(t, scheduler.Config{Engine: e}, 10*time.Minute)
		n, worst, calls := e.admitted()
		if n != 20 || worst > 2*time.Millisecond {
			t.Errorf("admitted %d, the latest %s late", n, worst)
		}
		if calls > 20+1+10*2+2 { // one each, and the safety net's
			t.Errorf("asked the store %d times", calls)
		}
	})
}

func TestAStormIsAdmittedInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		for range 10_000 {
			e.due = append(e.due, time.Now())
		}
		run(t, scheduler.Config{Engine: e, Batch: 300}, time.Second)
		if n, _, calls := e.admitted(); n != 10_000 || calls < 10_000/300 || calls > 10_000/300+3 {
			t.Errorf("admitted %d in %d batches", n, calls)
		}
	})
}

func TestAWakeUpBringsAnEarlierTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{due: []time.Time{time.Now().Add(25 * time.Second)}}
		wake := make(chan struct{}, 1)
		s, err := scheduler.New(scheduler.Config{Engine: e, Wake: wake})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		pass(time.Second)
		e.add(time.Now().Add(time.Second))
		wake <- struct{}{}
		pass(2 * time.Second)
		if n, worst, _ := e.admitted(); n != 1 || worst > 2*time.Millisecond {
			t.Errorf("admitted %d, %s late", n, worst)
		}
	})
}

func TestALostWakeUpIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		s, err := scheduler.New(scheduler.Config{Engine: e, Poll: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		pass(time.Second)
		e.add(time.Now()) // and nobody says so
		pass(10 * time.Second)
		if n, worst, _ := e.admitted(); n != 1 || worst > 10*time.Second {
			t.Errorf("admitted %d, %s late", n, worst)
		}
	})
}

func TestTheStoresClockCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{behind: time.Hour}
		e.due = []time.Time{time.Now().Add(-time.Hour + 5*time.Second)}
		run(t, scheduler.Config{Engine: e}, 6*time.Second)
		if n, worst, calls := e.admitted(); n != 1 || worst > 2*time.Millisecond || calls > 4 {
			t.Errorf("admitted %d, %s late, in %d calls", n, worst, calls)
		}
	})
}

func TestAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{failures: 5, due: []time.Time{time.Now()}}
		run(t, scheduler.Config{Engine: e}, 10*time.Second)
		if n, _, calls := e.admitted(); n != 1 || calls > 8 {
			t.Errorf("admitted %d in %d calls", n, calls)
		}
	})
}

func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran, atOnce, most atomic.Int32
		task := scheduler.Task{Name: "slow", Spec: "@every 10s", Do: func(ctx context.Context) error {
			ran.Add(1)
			most.Store(max(most.Load(), atOnce.Add(1)))
			defer atOnce.Add(-1)
			select {
			case <-time.After(25 * time.Second):
			case <-ctx.Done():
			}
			return errAway
		}}
		run(t, scheduler.Config{Engine: &engine{}, Tasks: []scheduler.Task{task}}, 65*time.Second)
		if ran.Load() != 2 || most.Load() != 1 {
			t.Errorf("ran %d times, %d at once", ran.Load(), most.Load())
		}
		if _, err := scheduler.New(scheduler.Config{Tasks: []scheduler.Task{{Name: "odd", Spec: "sometimes"}}}); err == nil {
			t.Error("an unreadable spec is no error")
		}
	})
}
