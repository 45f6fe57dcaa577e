package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var concurrencyTests = map[string]func(*testing.T, *fixture){
	"failing updates harm no others":      concurrentFailures,
	"one of many claims a slot":           concurrentClaims,
	"events have no gap":                  concurrentEvents,
	"each due secret is claimed once":     concurrentDue,
	"one of many opens a run":             concurrentRuns,
	"writers of one secret are in line":   concurrentLocks,
	"the same job from many":              concurrentJobs,
	"a queued update leaves when told to": concurrentLeave,
}

// together runs fn at the same time in n goroutines.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

func concurrentFailures(t *testing.T, f *fixture) {
	const n = 64
	s := f.secret(t, "name")
	var wrong atomic.Int32
	together(n, func(i int) {
		name := fmt.Sprint(i)
		err := f.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.SaveSetting(name, []byte(name)); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				return errMine
			case 2:
				// An error of the database itself, in the middle of the batch.
				_, err := tx.LockSecret(s.ID + 1)
				return err
			}
			return nil
		})
		ok := err == nil
		if i%4 == 1 {
			ok = errors.Is(err, errMine)
		}
		if i%4 == 2 {
			ok = errors.Is(err, lockstep.ErrNotFound)
		}
		if !ok {
			t.Errorf("update %d: %v", i, err)
			wrong.Add(1)
		}
	})
	for i := range n {
		if got, want := f.hasSetting(t, fmt.Sprint(i)), i%4 == 0 || i%4 == 3; got != want {
			t.Errorf("update %d: stored %t, want %t", i, got, want)
		}
	}
}

func concurrentClaims(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	var won, busy atomic.Int32
	together(32, func(i int) {
		err := f.Update(t.Context(), takes(s.ID, fmt.Sprint("w", i), time.Hour))
		switch {
		case err == nil:
			won.Add(1)
		case errors.Is(err, lockstep.ErrBusy):
			busy.Add(1)
		default:
			t.Error(err)
		}
	})
	same(t, [2]int32{won.Load(), busy.Load()}, [2]int32{1, 31})
	same(t, f.slot(t, s.ID).Fence, 1)
}

func concurrentEvents(t *testing.T, f *fixture) {
	const n = 40
	secrets := []*lockstep.Secret{f.secret(t, "a"), f.secret(t, "b")}
	together(n, func(i int) {
		e := event(t, secrets[i%2], lockstep.EventRunFailed)
		err := f.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.AddEvent(e); err != nil {
				return err
			}
			if i%5 == 4 {
				return errMine
			}
			return nil
		})
		if err != nil && !errors.Is(err, errMine) {
			t.Error(err)
		}
	})
	list := read(t, f, func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.UnsentEvents(2 * n) })
	same(t, len(list), n*4/5)
	next := map[lockstep.SecretID]uint64{}
	for _, e := range list {
		next[e.Secret]++
		same(t, e.Seq, next[e.Secret])
	}
}

func concurrentDue(t *testing.T, f *fixture) {
	const n = 60
	at := f.now(t)
	for i := range n {
		f.secret(t, fmt.Sprint(i), due(at.Add(-time.Minute)))
	}
	var mu sync.Mutex
	claimed := map[string]int{}
	together(12, func(int) {
		for {
			got, err := claimBatch(t.Context(), f, at.Add(time.Hour))
			if err != nil {
				t.Error(err)
			}
			if len(got) == 0 {
				return
			}
			mu.Lock()
			for _, name := range got {
				claimed[name]++
			}
			mu.Unlock()
		}
	})
	// Who found every row locked may have left early; what is left is due.
	for {
		got, err := claimBatch(t.Context(), f, at.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		for _, name := range got {
			claimed[name]++
		}
	}
	same(t, len(claimed), n)
	for name, times := range claimed {
		if times != 1 {
			t.Errorf("secret %s was claimed %d times", name, times)
		}
	}
}

func claimBatch(ctx context.Context, f *fixture, next time.Time) (names []string, err error) {
	err = f.Update(ctx, func(tx store.Tx) error {
		names = nil
		list, err := tx.ClaimDue(5)
		for _, s := range list {
			s.NextRotation = next
			if err := tx.SaveSecret(s); err != nil {
				return err
			}
			names = append(names, s.Name)
		}
		return err
	})
	return names, err
}

func concurrentRuns(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	var won atomic.Int32
	together(16, func(i int) {
		r := &lockstep.Run{ID: lockstep.RunID(fmt.Sprint("run-", i)), Secret: s.ID, State: lockstep.RunQueued, Created: s.Created}
		err := f.Update(t.Context(), func(tx store.Tx) error { return tx.InsertRun(r) })
		if err == nil {
			won.Add(1)
		} else if !errors.Is(err, lockstep.ErrConflict) {
			t.Error(err)
		}
	})
	same(t, won.Load(), 1)
}

func concurrentLocks(t *testing.T, f *fixture) {
	s := f.secret(t, "name", func(s *lockstep.Secret) { s.Description = "" })
	const n = 24
	together(n, func(int) {
		err := f.Update(t.Context(), func(tx store.Tx) error {
			got, err := tx.LockSecret(s.ID)
			if err != nil {
				return err
			}
			got.Description += "x"
			return tx.SaveSecret(got)
		})
		if err != nil {
			t.Error(err)
		}
	})
	got := read(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(s.ID) })
	same(t, len(got.Description), n)
}

func concurrentJobs(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	together(16, func(i int) {
		err := f.Update(t.Context(), func(tx store.Tx) error {
			return tx.AddJob(&store.Job{Kind: store.JobVerify, Secret: s.ID, Seq: i})
		})
		if err != nil {
			t.Error(err)
		}
	})
	same(t, len(f.jobs(t)), 1)
}

func concurrentLeave(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	ctx, cancel := context.WithCancel(t.Context())
	locked, left := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := f.Update(t.Context(), func(tx store.Tx) error {
			if _, err := tx.LockSecret(s.ID); err != nil {
				return err
			}
			close(locked)
			<-left
			return setting("first")(tx)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-locked
	time.AfterFunc(20*time.Millisecond, cancel)
	err := f.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.LockSecret(s.ID); err != nil {
			return err
		}
		return setting("second")(tx)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	close(left)
	wg.Wait()
	same(t, f.hasSetting(t, "first"), true)
	same(t, f.hasSetting(t, "second"), false)
}
