package storetest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var transactionTests = map[string]func(*testing.T, *fixture){
	"an error undoes all":                  txError,
	"a panic undoes all and goes on":       txPanic,
	"Goexit undoes all":                    txGoexit,
	"a context that ends undoes all":       txCancel,
	"a view is one snapshot":               txSnapshot,
	"an update sees its own writes":        txOwnWrites,
	"the text of an error names the thing": txErrorText,
}

// setting writes a marker that hasSetting looks for.
func setting(name string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.SaveSetting(name, []byte("x")) }
}

func (f *fixture) hasSetting(t *testing.T, name string) bool {
	t.Helper()
	err := f.View(t.Context(), func(tx store.ReadTx) error {
		_, err := tx.Setting(name)
		return err
	})
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

var errMine = errors.New("mine")

func txError(t *testing.T, f *fixture) {
	err := f.Update(t.Context(), func(tx store.Tx) error { return errors.Join(setting("a")(tx), errMine) })
	if !errors.Is(err, errMine) {
		t.Fatalf("got %v, want the function's own error", err)
	}
	same(t, f.hasSetting(t, "a"), false)
	if err := f.View(t.Context(), func(store.ReadTx) error { return errMine }); !errors.Is(err, errMine) {
		t.Fatalf("view: got %v, want the function's own error", err)
	}
}

func txPanic(t *testing.T, f *fixture) {
	panics := func(do func()) (got any) {
		defer func() { got = recover() }()
		do()
		return nil
	}
	same(t, panics(func() {
		_ = f.Update(t.Context(), func(tx store.Tx) error {
			if err := setting("a")(tx); err != nil {
				return err
			}
			panic("mine")
		})
	}), any("mine"))
	same(t, panics(func() {
		_ = f.View(t.Context(), func(store.ReadTx) error { panic("mine") })
	}), any("mine"))
	f.update(t, setting("b"))
	same(t, f.hasSetting(t, "a"), false)
	same(t, f.hasSetting(t, "b"), true)
}

func txGoexit(t *testing.T, f *fixture) {
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = f.Update(t.Context(), func(tx store.Tx) error {
			if err := setting("a")(tx); err != nil {
				return err
			}
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	f.update(t, setting("b"))
	same(t, f.hasSetting(t, "a"), false)
}

func txCancel(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	err := f.Update(ctx, func(tx store.Tx) error {
		err := setting("a")(tx)
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	same(t, f.hasSetting(t, "a"), false)
	ran := false
	err = f.Update(ctx, func(store.Tx) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		t.Fatalf("over before it began: got %v, ran %t", err, ran)
	}
	if err := f.View(ctx, func(tx store.ReadTx) error { _, err := tx.NextDue(); return err }); !errors.Is(err, context.Canceled) {
		t.Fatalf("view: got %v, want %v", err, context.Canceled)
	}
	f.update(t, setting("b"))
}

func txSnapshot(t *testing.T, f *fixture) {
	f.view(t, func(tx store.ReadTx) error {
		if _, err := tx.Setting("a"); !errors.Is(err, lockstep.ErrNotFound) {
			return err
		}
		f.update(t, setting("a"))
		if _, err := tx.Setting("a"); !errors.Is(err, lockstep.ErrNotFound) {
			t.Errorf("the view sees what came later: %v", err)
		}
		return nil
	})
	same(t, f.hasSetting(t, "a"), true)
}

func txOwnWrites(t *testing.T, f *fixture) {
	f.update(t, func(tx store.Tx) error {
		if err := setting("a")(tx); err != nil {
			return err
		}
		_, err := tx.Setting("a")
		return err
	})
	now := f.now(t)
	if now.Location() != time.UTC || now.IsZero() || !now.Equal(now.Truncate(time.Microsecond)) {
		t.Errorf("the clock says %s", now)
	}
}

func txErrorText(t *testing.T, f *fixture) {
	err := f.View(t.Context(), func(tx store.ReadTx) error { _, err := tx.FindSecret(owner, "prod/none"); return err })
	if err == nil || err.Error() != "find secret prod/none: not found" {
		t.Fatalf("got %v", err)
	}
}
