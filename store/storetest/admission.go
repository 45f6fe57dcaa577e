package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var admissionTests = map[string]func(*testing.T, *fixture){
	"holds":                            admissionHolds,
	"places":                           admissionPlaces,
	"the order of those waiting":       admissionOrder,
	"what a hold keeps back":           admissionHeld,
	"drift":                            admissionDrift,
	"maximum age":                      admissionMaxAge,
	"a run that waits is not stranded": admissionStranded,
}

func admissionHolds(t *testing.T, f *fixture) {
	now := f.now(t)
	h := &lockstep.Hold{
		Account: account, Region: region, Name: "b", Kind: lockstep.HoldFreeze, Match: "prod/*",
		Tag: lockstep.Tag{Key: "k", Value: "v"}, From: now, To: now.Add(time.Hour),
		Recurring: lockstep.Recurrence{Expression: "@daily", TimeZone: "Europe/Berlin", For: time.Hour},
		Reason:    "why", By: "who", Created: now,
	}
	noZeroField(t, *h)
	before := generation(t, f)
	other := *h
	other.Name, other.Account = "a", "999999999999"
	first := *h
	first.Name = "a"
	for _, x := range []*lockstep.Hold{h, &other, &first} {
		f.update(t, func(tx store.Tx) error { return tx.SaveHold(x) })
	}
	list := func(tx store.ReadTx) ([]*lockstep.Hold, error) { return tx.Holds(owner) }
	same(t, read(t, f, list), []*lockstep.Hold{&first, h})
	h.Reason, h.Match = "another", ""
	f.update(t, func(tx store.Tx) error { return tx.SaveHold(h) })
	same(t, read(t, f, list), []*lockstep.Hold{&first, h})
	f.update(t, func(tx store.Tx) error { return tx.DeleteHold(owner, "a") })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.DeleteHold(owner, "a") })
	same(t, read(t, f, list), []*lockstep.Hold{h})
	if after := generation(t, f); after <= before {
		t.Errorf("generation %d after %d", after, before)
	}
}

func generation(t *testing.T, f *fixture) (n int64) {
	t.Helper()
	f.update(t, func(tx store.Tx) (err error) { n, err = tx.LockAdmission(); return err })
	f.update(t, func(tx store.Tx) error {
		tried, ok, err := tx.TryLockAdmission()
		if err == nil && (!ok || tried != n) {
			t.Errorf("the lock that nobody has: %v, generation %d", ok, tried)
		}
		return err
	})
	return n
}

func admissionPlaces(t *testing.T, f *fixture) {
	s := f.secret(t, "a")
	take := func(p store.Place) {
		t.Helper()
		p.Secret = s.ID
		f.update(t, func(tx store.Tx) error { return tx.TakePlace(p) })
	}
	usage := func(tx store.ReadTx) ([]store.Usage, error) { return tx.Usage() }
	has := func(run lockstep.RunID) bool {
		return read(t, f, func(tx store.ReadTx) (bool, error) { return tx.HasPlace(run) })
	}
	if got := read(t, f, usage); len(got) != 0 || has("1") {
		t.Errorf("usage of an empty store: %v", got)
	}
	take(store.Place{Run: "1", Rotator: "r", Target: "t"})
	take(store.Place{Run: "1", Rotator: "r", Target: "t"})
	take(store.Place{Run: "2", Rotator: "r", Target: "t"})
	take(store.Place{Run: "3", Rotator: "r"})
	counts := map[store.Usage]bool{}
	for _, u := range read(t, f, usage) {
		counts[u] = true
	}
	same(t, counts, map[store.Usage]bool{{Rotator: "r", Target: "t", Places: 2}: true, {Rotator: "r", Places: 1}: true})
	used := func(tx store.ReadTx) (bool, error) { return tx.AdminUsed(77) }
	same(t, read(t, f, used), false)
	f.update(t, func(tx store.Tx) error { return tx.UseAdmin("1", 77) })
	same(t, read(t, f, used), true)
	f.update(t, func(tx store.Tx) error { return tx.LeavePlace("1") })
	same(t, read(t, f, used), false)
	f.update(t, func(tx store.Tx) error { return tx.LeavePlace("1") })
	same(t, [2]bool{has("1"), has("2")}, [2]bool{false, true})
	f.update(t, func(tx store.Tx) error { return tx.PurgeSecret(s.ID) })
	same(t, has("2"), false)
}

func waitOf(s lockstep.SecretID, run lockstep.RunID) store.Wait {
	return store.Wait{Place: store.Place{Run: run, Secret: s, Rotator: "r", Target: "t"}, Rank: 2}
}

func waitRuns(list []store.Wait) (out []lockstep.RunID) {
	for _, w := range list {
		out = append(out, w.Run)
	}
	return out
}

func admissionOrder(t *testing.T, f *fixture) {
	s, now := f.secret(t, "a"), f.now(t)
	for _, w := range []struct {
		run    lockstep.RunID
		rank   int
		due    time.Time
		target lockstep.TargetKey
	}{
		{"scheduled", 2, time.Time{}, "t"},
		{"scheduled, later", 2, time.Time{}, "t"},
		{"old", 2, now.Add(time.Hour), "t"},
		{"older", 2, now, "u"},
		{"manual", 1, time.Time{}, "t"},
		{"emergency", 0, time.Time{}, "u"},
	} {
		x := waitOf(s.ID, w.run)
		x.Rank, x.Due, x.Target = w.rank, w.due, w.target
		f.update(t, func(tx store.Tx) error { return tx.SaveWait(x) })
	}
	next := func(full store.FullList, limit int) (out []store.Wait) {
		t.Helper()
		f.update(t, func(tx store.Tx) (err error) { out, err = tx.NextWaits(full, limit); return err })
		return out
	}
	same(t, waitRuns(next(store.FullList{}, 10)), []lockstep.RunID{"emergency", "manual", "older", "old", "scheduled", "scheduled, later"})
	same(t, waitRuns(next(store.FullList{}, 2)), []lockstep.RunID{"emergency", "manual"})
	same(t, waitRuns(next(store.FullList{Targets: []lockstep.TargetKey{"t"}}, 10)), []lockstep.RunID{"emergency", "older"})
	same(t, waitRuns(next(store.FullList{Rotators: []string{"r"}}, 10)), []lockstep.RunID(nil))
	same(t, next(store.FullList{Targets: []lockstep.TargetKey{"t"}}, 10)[1], store.Wait{
		Place: store.Place{Run: "older", Secret: s.ID, Rotator: "r", Target: "u"}, Rank: 2, Due: now,
	})
	f.update(t, func(tx store.Tx) error { return tx.LeaveWait("emergency") })
	same(t, waitRuns(next(store.FullList{}, 1)), []lockstep.RunID{"manual"})
}

func admissionHeld(t *testing.T, f *fixture) {
	s, now := f.secret(t, "a"), f.now(t)
	waiting := func(tx store.ReadTx) (bool, error) { return tx.Waiting() }
	save := func(run lockstep.RunID, held int64, until time.Time) {
		t.Helper()
		w := waitOf(s.ID, run)
		w.Held, w.Until = held, until
		f.update(t, func(tx store.Tx) error { return tx.SaveWait(w) })
	}
	held := func(generation int64) (out []store.Wait) {
		t.Helper()
		f.update(t, func(tx store.Tx) (err error) { out, err = tx.HeldWaits(generation, 10); return err })
		return out
	}
	until := func(tx store.ReadTx) (time.Time, error) { return tx.NextWait() }
	same(t, read(t, f, until), time.Time{})
	save("paused", 5, time.Time{})
	save("frozen", 5, now.Add(time.Hour))
	same(t, read(t, f, waiting), false)
	same(t, waitRuns(held(5)), []lockstep.RunID(nil))
	same(t, waitRuns(held(6)), []lockstep.RunID{"paused", "frozen"})
	same(t, read(t, f, until), now.Add(time.Hour))
	save("frozen", 5, now.Add(-time.Millisecond)) // its time has come
	same(t, waitRuns(held(5)), []lockstep.RunID{"frozen"})
	save("frozen", 0, time.Time{})
	same(t, waitRuns(held(5)), []lockstep.RunID(nil))
	same(t, read(t, f, waiting), true)
}

func admissionDrift(t *testing.T, f *fixture) {
	now := f.now(t)
	at := func(when time.Time, on bool) func(*lockstep.Secret) {
		return func(s *lockstep.Secret) {
			s.NextVerify, s.Rotation = when, &lockstep.Rotation{Enabled: on, Rotator: "r"}
		}
	}
	second := f.secret(t, "second", at(now.Add(-time.Second), true))
	first := f.secret(t, "first", at(now.Add(-time.Minute), true))
	f.secret(t, "off", at(now.Add(-time.Hour), false))
	f.secret(t, "later", at(now.Add(time.Hour), true))
	f.secret(t, "never")
	same(t, read(t, f, func(tx store.ReadTx) (time.Time, error) { return tx.NextVerify() }), now.Add(-time.Minute))
	f.update(t, func(tx store.Tx) error {
		list, err := tx.ClaimVerifies(10)
		if err != nil || len(list) != 2 || list[0].ID != first.ID || list[1].ID != second.ID {
			t.Errorf("due: %v, %v", list, err)
		}
		list[0].NextVerify = now.Add(2 * time.Hour)
		return tx.SaveSecret(list[0])
	})
	same(t, read(t, f, func(tx store.ReadTx) (time.Time, error) { return tx.NextVerify() }), now.Add(-time.Second))
}

func admissionMaxAge(t *testing.T, f *fixture) {
	aged := func(on bool) func(*lockstep.Secret) {
		return func(s *lockstep.Secret) {
			s.Rotation = &lockstep.Rotation{Enabled: on, Rotator: "r", Schedule: lockstep.Schedule{Expression: "@daily", MaxAge: time.Hour}}
		}
	}
	a, b := f.secret(t, "a", aged(true)), f.secret(t, "b", aged(true))
	f.secret(t, "off", aged(false))
	f.secret(t, "any age")
	list := func(after lockstep.SecretID, limit int) (ids []lockstep.SecretID) {
		for _, s := range read(t, f, func(tx store.ReadTx) ([]*lockstep.Secret, error) { return tx.HasMaxAge(owner, after, limit) }) {
			ids = append(ids, s.ID)
		}
		return ids
	}
	same(t, list(0, 10), []lockstep.SecretID{a.ID, b.ID})
	same(t, list(0, 1), []lockstep.SecretID{a.ID})
	same(t, list(a.ID, 10), []lockstep.SecretID{b.ID})
}

// What waits for a place has no Job on purpose.
func admissionStranded(t *testing.T, f *fixture) {
	a, b := f.secret(t, "a"), f.secret(t, "b")
	f.run(t, a.ID, "run-a")
	f.run(t, b.ID, "run-b")
	f.update(t, func(tx store.Tx) error { return tx.SaveWait(waitOf(a.ID, "run-a")) })
	list := read(t, f, func(tx store.ReadTx) ([]*lockstep.Run, error) { return tx.StrandedRuns(10) })
	if len(list) != 1 || list[0].ID != "run-b" {
		t.Errorf("stranded: %v", list)
	}
}
