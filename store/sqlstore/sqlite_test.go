package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"lockstep"
	"lockstep/store"
)

func openFile(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{DSN: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func save(name string, size int) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.SaveSetting(name, make([]byte, size)) }
}

func has(t *testing.T, s *Store, name string) bool {
	t.Helper()
	err := s.View(t.Context(), func(tx store.ReadTx) error { _, err := tx.Setting(name); return err })
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestSQLiteReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a name with ?, # and %41.db")
	s := openFile(t, path)
	if err := s.Update(t.Context(), save("kept", 10)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{
		"update": s.Update(t.Context(), save("late", 10)),
		"view":   s.View(t.Context(), func(store.ReadTx) error { return nil }),
	} {
		if !errors.Is(err, lockstep.ErrBusy) {
			t.Errorf("%s after close: %v", what, err)
		}
	}
	s = openFile(t, path)
	defer s.Close()
	if !has(t, s, "kept") || has(t, s, "late") {
		t.Errorf("kept: %t, late: %t", has(t, s, "kept"), has(t, s, "late"))
	}
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lockstep.db")
	// Also a file that was left readable is closed to others.
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := openFile(t, path)
	defer s.Close()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
	if len(files) != 3 {
		t.Errorf("expected the database, its log and its index, found %v", files)
	}
}

func TestSQLitePragmas(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "lockstep.db"))
	defer s.Close()
	err := s.Update(t.Context(), func(st store.Tx) error {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "5000",
		} {
			got, err := one(st.(*tx).session, value[string], "PRAGMA "+pragma)
			if err != nil || got != want {
				t.Errorf("%s is %s, want %s (%v)", pragma, got, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(st store.ReadTx) error { return save("x", 1)(st.(*tx)) })
	if !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("a view wrote: %v", err)
	}
}

// hold keeps the writer busy until release is called, so that what is updated
// meanwhile comes into one batch.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	running, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Update(t.Context(), func(store.Tx) error { close(running); <-end; return nil })
		// It may share the fate of its batch.
		if err != nil && !errors.Is(err, lockstep.ErrBusy) {
			t.Errorf("the update in front: %v", err)
		}
	})
	<-running
	return func() { close(end); wg.Wait() }
}

// queued waits until n updates wait for the writer.
func queued(t *testing.T, s *Store, n int) {
	t.Helper()
	for len(s.engine.(*sqliteEngine).writer.queue) < n {
		if t.Context().Err() != nil {
			t.Fatal("the updates do not come")
		}
	}
}

// TestSQLiteBatchIsolation fills one batch with updates that end in every way.
func TestSQLiteBatchIsolation(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "lockstep.db"))
	defer s.Close()
	release := hold(t, s)
	mine := errors.New("mine")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	ends := []func(name string) error{
		func(name string) error { return s.Update(t.Context(), save(name, 1)) },
		func(name string) error {
			err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(save(name, 1)(tx), mine) })
			return only(err, mine)
		},
		func(name string) error {
			return only(s.Update(ctx, save(name, 1)), context.Canceled)
		},
		func(name string) (err error) {
			defer func() {
				if recover() == nil {
					err = errors.New("the panic was lost")
				}
			}()
			return s.Update(t.Context(), func(tx store.Tx) error { _ = save(name, 1)(tx); panic(name) })
		},
		func(name string) error {
			return s.Update(t.Context(), func(tx store.Tx) error {
				// A statement that fails, whose error the function swallows.
				if err := tx.SaveStages(99, lockstep.Stages{"x": "y"}); !errors.Is(err, lockstep.ErrNotFound) {
					return fmt.Errorf("got %w", err)
				}
				return save(name, 1)(tx)
			})
		},
	}
	const rounds = 8
	for i := range rounds * len(ends) {
		wg.Go(func() {
			if err := ends[i%len(ends)](fmt.Sprint(i)); err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	queued(t, s, rounds*len(ends))
	cancel()
	release()
	wg.Wait()
	for i := range rounds * len(ends) {
		if got, want := has(t, s, fmt.Sprint(i)), i%len(ends) == 0 || i%len(ends) == 4; got != want {
			t.Errorf("update %d: stored %t, want %t", i, got, want)
		}
	}
}

// only is nil if err is the one that was wanted.
func only(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %v, want %w", err, want)
}

// TestSQLiteFull lets the disk be full in the middle of a batch: SQLite then
// rolls the whole transaction back by itself, and nobody may be told that his
// update is stored.
func TestSQLiteFull(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "lockstep.db"))
	defer s.Close()
	limit := func(pages int) {
		err := s.Update(t.Context(), func(st store.Tx) error {
			_, err := one(st.(*tx).session, value[int], fmt.Sprint("PRAGMA max_page_count = ", pages))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // as large as it is now
	release := hold(t, s)
	var wg sync.WaitGroup
	stored := make([]bool, 20)
	for i := range stored {
		wg.Go(func() {
			err := s.Update(t.Context(), func(tx store.Tx) error {
				if i == len(stored)/2 {
					// The function goes on as if nothing were wrong.
					_ = save("large", 1<<20)(tx)
				}
				_ = save(fmt.Sprint(i), 10)(tx)
				return nil
			})
			stored[i] = err == nil
			if err != nil && !errors.Is(err, lockstep.ErrBusy) {
				t.Errorf("update %d: %v", i, err)
			}
		})
		queued(t, s, i+1)
	}
	release()
	wg.Wait()
	if stored[len(stored)/2] || has(t, s, "large") {
		t.Error("the update that did not fit was stored")
	}
	for i := range stored {
		if got := has(t, s, fmt.Sprint(i)); got != stored[i] {
			t.Errorf("update %d: answered %t, stored %t", i, stored[i], got)
		}
	}
	limit(1 << 30)
	if err := s.Update(t.Context(), save("after", 1<<20)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestOpenTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lockstep.db")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), Config{DSN: "sqlite:" + path})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOpenRefuses(t *testing.T) {
	for dsn, want := range map[string]error{
		"":                             lockstep.ErrInvalid,
		"sqlite:":                      lockstep.ErrInvalid,
		"mysql://root:topsecret@h/d":   lockstep.ErrInvalid,
		"sqlite:/nowhere/at/all/db":    lockstep.ErrInvalid,
		"postgres://u:topsecret@h:x/d": lockstep.ErrInvalid,
		"postgres://u:topsecret@127.0.0.1:1/d?connect_timeout=2": lockstep.ErrBusy,
	} {
		_, err := Open(t.Context(), Config{DSN: dsn})
		if !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", dsn, err, want)
		}
		if err != nil && containsSecret(err.Error()) {
			t.Errorf("%q: the error tells the password: %v", dsn, err)
		}
	}
}
