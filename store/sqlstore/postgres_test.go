package sqlstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/store"
)

func containsSecret(text string) bool { return strings.Contains(text, "topsecret") }

// nodes opens n stores on one new database.
func nodes(t *testing.T, n int) []*Store {
	t.Helper()
	dsn := pgtest.Shared(t).DatabaseDSN(t)
	out := make([]*Store, n)
	var wg sync.WaitGroup
	for i := range out {
		// At once, so that they meet in the migrations.
		wg.Go(func() {
			s, err := Open(t.Context(), Config{DSN: dsn, Connections: 4})
			if err != nil {
				t.Error(err)
				return
			}
			out[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		for _, s := range out {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return out
}

func wait(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	select {
	case <-ch:
	case <-ctx.Done():
		t.Fatal("no signal came")
	}
}

func insertSecret(t *testing.T, s *Store, name string) *lockstep.Secret {
	t.Helper()
	sec := &lockstep.Secret{Account: "a", Region: "r", Name: name, ARN: lockstep.ARN("arn:" + name), Created: time.Now()}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertSecret(sec) }); err != nil {
		t.Fatal(err)
	}
	return sec
}

func addJob(t *testing.T, s *Store, id lockstep.SecretID) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error { return tx.AddJob(&store.Job{Kind: store.JobRun, Secret: id}) })
	if err != nil {
		t.Fatal(err)
	}
}

// terminate ends connections from the server's side, as a failover does.
func terminate(t *testing.T, s *Store, which string) {
	t.Helper()
	pool := s.engine.(*postgresEngine).pool
	_, err := pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND `+which)
	if err != nil {
		t.Fatal(err)
	}
}

func TestPostgresSignalsOtherNodes(t *testing.T) {
	both := nodes(t, 2)
	sec := insertSecret(t, both[0], "name")
	outbox, cancel := both[1].Subscribe(store.TopicOutbox)
	defer cancel()
	schedule, cancelSchedule := both[1].Subscribe(store.TopicSchedule)
	defer cancelSchedule()
	addJob(t, both[0], sec.ID)
	wait(t, outbox)

	// After a lost connection every topic is signalled, and then all is as before.
	terminate(t, both[0], `query LIKE 'LISTEN%'`)
	wait(t, schedule)
	wait(t, outbox)
	addJob(t, both[0], sec.ID)
	wait(t, outbox)
}

func TestPostgresRetriesDeadlocks(t *testing.T) {
	s := nodes(t, 1)[0]
	a, b := insertSecret(t, s, "a"), insertSecret(t, s, "b")
	var tries atomic.Int32
	both := make(chan struct{}, 2)
	// The first try of each waits until the other holds its first lock.
	cross := func(first, second lockstep.SecretID) error {
		mine := 0
		return s.Update(t.Context(), func(tx store.Tx) error {
			tries.Add(1)
			mine++
			if _, err := tx.LockSecret(first); err != nil {
				return err
			}
			if mine == 1 {
				both <- struct{}{}
				for len(both) < 2 && t.Context().Err() == nil {
				}
			}
			_, err := tx.LockSecret(second)
			return err
		})
	}
	var wg sync.WaitGroup
	for _, pair := range [][2]lockstep.SecretID{{a.ID, b.ID}, {b.ID, a.ID}} {
		wg.Go(func() {
			if err := cross(pair[0], pair[1]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tries.Load() < 3 {
		t.Errorf("%d tries: there was no deadlock to solve", tries.Load())
	}
}

func TestPostgresLostConnection(t *testing.T) {
	s := nodes(t, 1)[0]
	sec := insertSecret(t, s, "a")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if _, err := tx.LockSecret(sec.ID); err != nil {
			return err
		}
		terminate(t, s, `state = 'idle in transaction'`)
		_, err := tx.Secret(sec.ID)
		return err
	})
	if !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("got %v, want %v", err, lockstep.ErrBusy)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { _, err := tx.LockSecret(sec.ID); return err }); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestPostgresSettings(t *testing.T) {
	s := nodes(t, 1)[0]
	err := s.View(t.Context(), func(st store.ReadTx) error {
		for name, want := range map[string]string{
			"statement_timeout": "30s", "lock_timeout": "10s", "synchronous_commit": "on",
			"transaction_isolation": "repeatable read", "transaction_read_only": "on",
		} {
			got, err := one(st.(*tx).session, value[string], "SELECT current_setting('"+name+"')")
			if err != nil || got != want {
				t.Errorf("%s is %s, want %s (%v)", name, got, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), func(store.ReadTx) error { return nil }); !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("view after close: %v", err)
	}
}

// waitsForLock tells whether a statement waits for another transaction.
func waitsForLock(t *testing.T, s *Store) bool {
	t.Helper()
	var n int
	err := s.engine.(*postgresEngine).pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// TestPostgresGuardWaits makes sure that a fenced write and a newer claim are
// in line: the write locks the slot, so the claim comes before or after it.
func TestPostgresGuardWaits(t *testing.T) {
	s := nodes(t, 1)[0]
	sec := insertSecret(t, s, "a")
	r := &lockstep.Run{ID: "run", Secret: sec.ID, State: lockstep.RunQueued, Created: time.Now()}
	var old lockstep.Lease
	err := s.Update(t.Context(), func(tx store.Tx) (err error) {
		if err := tx.InsertRun(r); err != nil {
			return err
		}
		old, err = tx.ClaimSlot(sec.ID, "old", time.Hour)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	claimed, commit := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			seen, err := tx.Slot(sec.ID)
			if err != nil {
				return err
			}
			_, err = tx.BreakSlot(seen, "new", time.Hour)
			close(claimed)
			<-commit
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-claimed
	result := make(chan error, 1)
	wg.Go(func() {
		result <- s.Update(t.Context(), func(tx store.Tx) error { return tx.SaveRun(r, &old) })
	})
	for !waitsForLock(t, s) && len(result) == 0 {
	}
	close(commit)
	if err := <-result; !errors.Is(err, lockstep.ErrFenced) {
		t.Errorf("got %v, want %v", err, lockstep.ErrFenced)
	}
	wg.Wait()
}
