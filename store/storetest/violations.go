package storetest

import (
	"testing"

	"lockstep"
	"lockstep/store"
)

var violationTests = map[string]func(*testing.T, *fixture){
	"a sound store": violationNone,
	"each rule":     violationRules,
}

// rotated makes a Secret with a Run that succeeded, as the engine leaves it.
func (f *fixture) rotated(t *testing.T, name string) (*lockstep.Secret, *lockstep.Run) {
	t.Helper()
	s := f.secret(t, name)
	for _, id := range []lockstep.VersionID{"v1", "v2"} {
		f.version(t, s.ID, id, func(v *lockstep.Version) { v.MaybeLive = id == "v2" })
	}
	r := f.run(t, s.ID, lockstep.RunID("run-of-"+name), func(r *lockstep.Run) {
		r.Version, r.State, r.Finished = "v2", lockstep.RunSucceeded, r.Created
	})
	e := event(t, s, lockstep.EventVersionCurrent)
	e.Data.Run = r.ID
	f.update(t, func(tx store.Tx) error {
		return firstError(
			tx.SaveStages(s.ID, lockstep.Stages{lockstep.Current: "v2", lockstep.Previous: "v1"}),
			tx.AddEvent(e), tx.AddEvent(event(t, s, lockstep.EventRunSucceeded)),
		)
	})
	return s, r
}

func (f *fixture) violations(t *testing.T) (rules []string) {
	t.Helper()
	for _, v := range read(t, f, violationsOf) {
		rules = append(rules, v.Rule)
		if v.ARN == "" || v.Detail == "" {
			t.Errorf("a violation that says nothing: %+v", v)
		}
	}
	return rules
}

// violationsOf goes through the store in pages of two.
func violationsOf(tx store.ReadTx) ([]store.Violation, error) {
	var out []store.Violation
	for after := lockstep.SecretID(0); ; {
		page, next, err := tx.Violations(after, 2)
		out = append(out, page...)
		if err != nil || next == 0 {
			return out, err
		}
		after = next
	}
}

func violationNone(t *testing.T, f *fixture) {
	f.rotated(t, "rotated")
	f.secret(t, "without a value")
	empty := f.secret(t, "first run")
	f.version(t, empty.ID, "v1", func(v *lockstep.Version) { v.Sealed = nil })
	f.run(t, empty.ID, "run-open", func(r *lockstep.Run) { r.Version = "v1" })
	f.update(t, func(tx store.Tx) error { return tx.SaveStages(empty.ID, lockstep.Stages{lockstep.Pending: "v1"}) })
	hand := f.secret(t, "pending by hand")
	f.version(t, hand.ID, "v1")
	f.version(t, hand.ID, "v2")
	f.update(t, func(tx store.Tx) error {
		return tx.SaveStages(hand.ID, lockstep.Stages{lockstep.Current: "v1", lockstep.Pending: "v2"})
	})
	same(t, f.violations(t), nil)
}

func violationRules(t *testing.T, f *fixture) {
	s, r := f.rotated(t, "name")
	for _, c := range []struct {
		rule  string
		spoil func(store.Tx) error
		mend  func(store.Tx) error
	}{
		{"one-current",
			func(tx store.Tx) error { return tx.SaveStages(s.ID, lockstep.Stages{}) },
			func(tx store.Tx) error { return tx.SaveStages(s.ID, lockstep.Stages{lockstep.Current: "v2"}) }},
		{"pending-open",
			func(tx store.Tx) error {
				return tx.SaveStages(s.ID, lockstep.Stages{lockstep.Current: "v2", lockstep.Pending: "v2"})
			},
			func(tx store.Tx) error { return tx.SaveStages(s.ID, lockstep.Stages{lockstep.Current: "v2"}) }},
		{"place-open",
			func(tx store.Tx) error { return tx.TakePlace(store.Place{Run: r.ID, Secret: s.ID, Rotator: "r"}) },
			func(tx store.Tx) error { return tx.LeavePlace(r.ID) }},
		{"place-open",
			func(tx store.Tx) error { return tx.SaveWait(waitOf(s.ID, r.ID)) },
			func(tx store.Tx) error { return tx.LeaveWait(r.ID) }},
		{"final-finished",
			func(tx store.Tx) error { return tx.SaveRun(unfinished(*r), nil) },
			func(tx store.Tx) error { return tx.SaveRun(r, nil) }},
		{"live-sealed",
			func(tx store.Tx) error {
				return editVersion(tx, s.ID, func(v *lockstep.Version) { v.Sealed = nil; v.MaybeLive = true })
			},
			func(tx store.Tx) error {
				return editVersion(tx, s.ID, func(v *lockstep.Version) { v.Sealed = sealed("x") })
			}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f.update(t, c.spoil)
			same(t, f.violations(t), []string{c.rule})
			f.update(t, c.mend)
			same(t, f.violations(t), nil)
		})
	}
	t.Run("finish-event", func(t *testing.T) {
		again := event(t, s, lockstep.EventVersionCurrent)
		again.Data.Run = r.ID
		f.update(t, func(tx store.Tx) error { return tx.AddEvent(again) })
		same(t, f.violations(t), []string{"finish-event"})
	})
	t.Run("finish-event missing", func(t *testing.T) {
		other := f.secret(t, "no event")
		f.run(t, other.ID, "run-silent", func(r *lockstep.Run) { r.State, r.Finished = lockstep.RunSucceeded, r.Created })
		same(t, len(f.violations(t)), 2)
	})
}

func unfinished(r lockstep.Run) *lockstep.Run {
	r.Finished = lockstep.Run{}.Finished
	return &r
}

// editVersion changes the spare Version v1.
func editVersion(tx store.Tx, id lockstep.SecretID, edit func(*lockstep.Version)) error {
	v, err := tx.Version(id, "v1")
	if err != nil {
		return err
	}
	edit(v)
	return tx.SaveVersion(v)
}
