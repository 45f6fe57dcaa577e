package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var inspectionTests = map[string]func(*testing.T, *fixture){
	"a page at a time":  inspectionPages,
	"asked, lost, told": inspectionLooks,
}

// inspected makes Secrets, those of an even number rotating, and an Inspection.
func (f *fixture) inspected(t *testing.T, n int) (*store.Inspection, []*lockstep.Secret) {
	t.Helper()
	var rotating []*lockstep.Secret
	for i := range n {
		letter := string("abcdefghijklmnopqrstuvwxyz"[i])
		s := f.secret(t, letter, func(s *lockstep.Secret) {
			s.Target = lockstep.TargetKey("target-" + letter)
			s.Rotation = &lockstep.Rotation{Enabled: i%2 == 0, Rotator: "rotator"}
		})
		if i%2 == 0 {
			rotating = append(rotating, s)
		}
	}
	in := &store.Inspection{ID: "inspection", Owner: owner, By: "me", Active: true, Created: f.now(t)}
	f.update(t, func(tx store.Tx) error { return tx.InsertInspection(in) })
	return in, rotating
}

func inspectionPages(t *testing.T, f *fixture) {
	_, rotating := f.inspected(t, 5)
	for pages := 0; ; pages++ {
		var i *store.Inspection
		f.update(t, func(tx store.Tx) (err error) {
			if i, err = tx.WorkingInspection(); err != nil {
				return err
			}
			if ended, err := tx.EndInspection(i); ended || err != nil {
				t.Fatalf("it ended before it was expanded, or %v", err)
			}
			return tx.ExpandInspection(i, 2)
		})
		if i.Expanded {
			same(t, pages, 3)
			same(t, i.Total, len(rotating))
			break
		}
	}
	f.update(t, func(tx store.Tx) error {
		all, err := tx.WaitingLooks("inspection", store.FullList{}, 10)
		same(t, len(all), 3)
		same(t, all[0].Name, "a")
		same(t, all[0].Rotator, "rotator")
		same(t, all[0].Target, lockstep.TargetKey("target-a"))
		free, err2 := tx.WaitingLooks("inspection", store.FullList{Targets: []lockstep.TargetKey{"target-a"}}, 1)
		same(t, free[0].Name, "c")
		none, err3 := tx.WaitingLooks("inspection", store.FullList{Rotators: []string{"rotator"}}, 1)
		same(t, len(none), 0)
		return firstError(err, err2, err3)
	})
}

func inspectionLooks(t *testing.T, f *fixture) {
	_, rotating := f.inspected(t, 3)
	look := func(i int) store.Look { return store.Look{Inspection: "inspection", Secret: rotating[i].ID} }
	wrong := look(1)
	wrong.Verdict, wrong.Found = store.LookBroken, []store.Violation{{Rule: "rule", ARN: rotating[1].ARN, Detail: "detail"}}
	late := wrong
	late.Verdict = store.LookSound
	good := look(0)
	good.Verdict = store.LookSound
	f.update(t, func(tx store.Tx) error {
		i, err := tx.WorkingInspection()
		return firstError(err, tx.ExpandInspection(i, 10), tx.ExpandInspection(i, 10), tx.AskLook(look(0)))
	})
	used := read(t, f, func(tx store.ReadTx) ([]store.Usage, error) { return tx.Usage() })
	same(t, used, []store.Usage{{Rotator: "rotator", Target: "target-a", Looks: 1}})
	f.update(t, func(tx store.Tx) error {
		lost, err := tx.LostLooks(tx.Now().Add(time.Minute), 10)
		same(t, len(lost), 1)
		same(t, lost[0].Tries, 1)
		early, err2 := tx.LostLooks(tx.Now().Add(-time.Minute), 10)
		same(t, len(early), 0)
		return firstError(err, err2, tx.AnswerLook(good), tx.AnswerLook(wrong), tx.AnswerLook(late))
	})
	got := read(t, f, func(tx store.ReadTx) (*store.Inspection, error) { return tx.Inspection("inspection") })
	same(t, []int{got.Total, got.Answered, got.Broken, got.Excused, got.Unseen}, []int{2, 2, 1, 0, 0})
	found := read(t, f, func(tx store.ReadTx) ([]store.Look, error) { return tx.LooksFound("inspection", 0, 10) })
	same(t, len(found), 1)
	same(t, found[0].Found, wrong.Found)
	f.update(t, func(tx store.Tx) error {
		ended, err := tx.EndInspection(got)
		same(t, ended, true)
		return err
	})
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { _, err := tx.WorkingInspection(); return err })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { _, err := tx.ActiveInspection(owner); return err })
	f.update(t, func(tx store.Tx) error { return tx.DeleteInspectionsBefore(tx.Now().Add(time.Hour)) })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { _, err := tx.Look("inspection", rotating[0].ID); return err })
}
