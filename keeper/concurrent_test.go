package keeper_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/store"
)

const callers = 12

// atOnce makes the calls together and returns what each came to.
func atOnce(call func(i int) (keeper.WriteOutput, error)) ([]keeper.WriteOutput, []error) {
	outs, errs := make([]keeper.WriteOutput, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { outs[i], errs[i] = call(i) })
	}
	wg.Wait()
	return outs, errs
}

func count(errs []error, want error) int {
	n := 0
	for _, err := range errs {
		if errors.Is(err, want) {
			n++
		}
	}
	return n
}

func TestCreatesAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		outs, errs := atOnce(func(int) (keeper.WriteOutput, error) { return w.create("same", "t1", "one") })
		for i, out := range outs {
			if errs[i] != nil || out.Secret.ARN != outs[0].Secret.ARN || out.Version != "t1" {
				t.Errorf("one request sent %d times: caller %d got %v", callers, i, errs[i])
			}
		}
		_, errs = atOnce(func(i int) (keeper.WriteOutput, error) { return w.create("race", fmt.Sprintf("t%d", i), "one") })
		if won, lost := count(errs, nil), count(errs, lockstep.ErrExists); won != 1 || lost != callers-1 {
			t.Errorf("%d made it, %d were told that it exists: %v", won, lost, errors.Join(errs...))
		}
		if got := eventTypes(w.events(w.secret("same").ID)); got != "secret.created" {
			t.Errorf("events: %s", got)
		}
		w.healthy()
	})
}

func TestPutsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		s := w.made("a", "t", "zero")
		outs, errs := atOnce(func(i int) (keeper.WriteOutput, error) { return w.put("a", fmt.Sprintf("t%02d", i), fmt.Sprint(i)) })
		w.must(errors.Join(errs...))
		var changed []int64
		for _, out := range outs {
			changed = append(changed, out.Secret.Changed.UnixMilli())
		}
		slices.Sort(changed)
		if len(slices.Compact(changed)) != callers {
			t.Errorf("LastChangedDate does not grow strictly: %v", changed)
		}
		if got := len(w.versions("a")); got != callers+1 {
			t.Errorf("%d versions, want %d", got, callers+1)
		}
		events := w.events(s.ID)
		moves := events[1:]
		if len(moves) != callers {
			t.Fatalf("%d moves of AWSCURRENT have %d events", callers, len(moves))
		}
		previous := lockstep.VersionID("t")
		for _, e := range moves {
			if e.Type != lockstep.EventVersionCurrent || e.Data.Previous != previous || e.Data.Stages["AWSPREVIOUS"] != previous {
				t.Errorf("event %d: %s from %s, want from %s", e.Seq, e.Type, e.Data.Previous, previous)
			}
			previous = e.Data.VersionID
		}
		if want := "AWSCURRENT=" + string(previous); !strings.HasPrefix(w.labels("a"), want) {
			t.Errorf("labels %s, the last event says %s", w.labels("a"), want)
		}
		w.healthy()
	})
}

func TestOneTokenAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.made("a", "t", "zero")
		_, errs := atOnce(func(int) (keeper.WriteOutput, error) { return w.put("a", "same", "one") })
		w.must(errors.Join(errs...))
		_, errs = atOnce(func(i int) (keeper.WriteOutput, error) { return w.put("a", "claimed", fmt.Sprint(i)) })
		if won, lost := count(errs, nil), count(errs, lockstep.ErrVersionClaimed); won != 1 || lost != callers-1 {
			t.Errorf("%d won, %d were told that the token is used: %v", won, lost, errors.Join(errs...))
		}
		if got := strings.Join(w.versions("a"), " "); got != "t same claimed" {
			t.Errorf("versions: %s", got)
		}
	})
}

// putMany writes versions v000, v001, ….
func (w *world) putMany(name string, n int) {
	w.t.Helper()
	for i := range n {
		_, err := w.put(name, fmt.Sprintf("v%03d", i), fmt.Sprint(i))
		w.must(err)
	}
}

func TestOldVersionsGo(t *testing.T) {
	const more = 8
	w := onSQLite(t)
	w.made("young", "first", "x")
	w.putMany("young", ledger.KeptVersions+more)
	if got := len(w.versions("young")); got != ledger.KeptVersions+more+1 {
		t.Errorf("%d versions are left, want all: none is a day old", got)
	}
	w.ahead.Store(int64(ledger.KeptFor + time.Hour))
	_, err := w.put("young", "last", "x")
	w.must(err)
	left := w.versions("young")
	// The hundred youngest without a label, and the two with one.
	if len(left) != ledger.KeptVersions+2 || left[0] == "first" || left[len(left)-1] != "last" {
		t.Errorf("%d versions are left, from %s to %s", len(left), left[0], left[len(left)-1])
	}
}

func TestOldVersionsOfARotatedSecretGo(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		s := w.made("a", "first", "x")
		w.rotate("a", "values")
		w.putMany("a", 1)
		// What the target may accept and what has a label stays however old.
		w.update(func(tx store.Tx) error {
			v, err := tx.Version(s.ID, "first")
			if err != nil {
				return err
			}
			v.MaybeLive = true
			return tx.SaveVersion(v)
		})
		_, err := w.put("a", "labelled", "x", "keep")
		w.must(err)
		w.putMany("a", ledger.KeptVersions+8)
		left := w.versions("a")
		if !slices.Contains(left, "first") || !slices.Contains(left, "labelled") {
			t.Errorf("a version was purged that must stay; left are %v…", left[:3])
		}
		// 100 without a label (first is one of the oldest of these, and stays
		// beside them), AWSCURRENT, AWSPREVIOUS and the labelled one.
		if want := ledger.KeptVersions + 4; len(left) != want {
			t.Errorf("%d versions are left, want %d", len(left), want)
		}
	})
}
