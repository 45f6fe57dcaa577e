package storetest

import (
	"errors"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var slotTests = map[string]func(*testing.T, *fixture){
	"claim, extend, release": slotLife,
	"break":                  slotBreak,
	"raise the fence":        slotRaise,
	"fenced writes":          slotFenced,
	"an expired lease":       slotExpired,
}

func (f *fixture) slot(t *testing.T, id lockstep.SecretID) lockstep.Slot {
	t.Helper()
	return read(t, f, func(tx store.ReadTx) (lockstep.Slot, error) { return tx.Slot(id) })
}

// takes claims and discards the lease, for tests of refusals.
func takes(id lockstep.SecretID, holder string, length time.Duration) func(store.Tx) error {
	return func(tx store.Tx) error {
		_, err := tx.ClaimSlot(id, holder, length)
		return err
	}
}

func lockHeld(l lockstep.Lease) func(store.Tx) error {
	return func(tx store.Tx) error {
		_, err := tx.LockHeld(l)
		return err
	}
}

func slotLife(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	same(t, f.slot(t, s.ID), lockstep.Slot{Secret: s.ID})
	before := f.now(t)
	l := f.claim(t, s.ID, "w1", time.Hour)
	same(t, l.Fence, 1)
	if l.Expires.Before(before.Add(time.Hour)) || l.Expires.After(f.now(t).Add(time.Hour)) {
		t.Errorf("claimed at %s for an hour, expires %s", before, l.Expires)
	}
	f.refuse(t, lockstep.ErrBusy, takes(s.ID, "w2", time.Hour))
	f.refuse(t, lockstep.ErrBusy, takes(s.ID, "w1", time.Hour))
	f.refuse(t, lockstep.ErrNotFound, takes(s.ID+99, "w1", time.Hour))
	missing(t, f, func(tx store.ReadTx) (lockstep.Slot, error) { return tx.Slot(s.ID + 99) })

	seen := f.slot(t, s.ID)
	extend := func(length time.Duration) (out lockstep.Lease) {
		f.update(t, func(tx store.Tx) (err error) {
			out, err = tx.ExtendSlot(l, length)
			return err
		})
		return out
	}
	same(t, extend(time.Minute).Expires, l.Expires) // never earlier
	if longer := extend(2 * time.Hour); !longer.Expires.After(l.Expires) {
		t.Errorf("extended to %s from %s", longer.Expires, l.Expires)
	}
	if now := f.slot(t, s.ID); now.Beat <= seen.Beat || now.Fence != seen.Fence {
		t.Errorf("slot after two extensions: %+v, before: %+v", now, seen)
	}

	f.update(t, func(tx store.Tx) error { return tx.ReleaseSlot(l) })
	f.refuse(t, lockstep.ErrFenced, func(tx store.Tx) error { return tx.GuardSlot(l) })
	f.refuse(t, lockstep.ErrFenced, lockHeld(l))
	next := f.claim(t, s.ID, "w2", time.Hour)
	same(t, next.Fence, 2)
	f.update(t, func(tx store.Tx) error { return tx.ReleaseSlot(l) }) // lost: nothing
	f.update(t, func(tx store.Tx) error { return tx.GuardSlot(next) })
	f.update(t, func(tx store.Tx) error {
		held, err := tx.LockHeld(next)
		if err == nil {
			same(t, held.Name, s.Name)
			held.Description = "written under the lock"
			err = errors.Join(tx.GuardSlot(next), tx.SaveSecret(held))
		}
		return err
	})
	gone := next
	gone.Secret += 99
	f.refuse(t, lockstep.ErrNotFound, lockHeld(gone))
}

func slotBreak(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	l := f.claim(t, s.ID, "w1", time.Hour)
	seen := f.slot(t, s.ID)
	f.update(t, func(tx store.Tx) error { _, err := tx.ExtendSlot(l, time.Hour); return err })
	take := func(tx store.Tx) error { _, err := tx.BreakSlot(seen, "w2", time.Hour); return err }
	f.refuse(t, lockstep.ErrBusy, take)
	seen = f.slot(t, s.ID)
	f.update(t, take)
	same(t, f.slot(t, s.ID).Fence, 2)
	same(t, f.slot(t, s.ID).Holder, "w2")
	f.refuse(t, lockstep.ErrFenced, func(tx store.Tx) error { return tx.GuardSlot(l) })
	f.refuse(t, lockstep.ErrBusy, take)
}

func slotRaise(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	l := f.claim(t, s.ID, "w1", time.Hour)
	var raised lockstep.Lease
	raise := func(to uint64) {
		f.update(t, func(tx store.Tx) (err error) {
			raised, err = tx.RaiseFence(l, to)
			return err
		})
	}
	raise(1)
	same(t, raised, l)
	raise(40)
	same(t, raised.Fence, 40)
	same(t, raised.Expires, l.Expires)
	f.refuse(t, lockstep.ErrFenced, func(tx store.Tx) error { _, err := tx.RaiseFence(l, 50); return err })
	f.update(t, func(tx store.Tx) error { return tx.ReleaseSlot(raised) })
	same(t, f.claim(t, s.ID, "w2", time.Hour).Fence, 41)
}

// holderWrites are all the writes that a lease stands behind.
func holderWrites(r *lockstep.Run, l lockstep.Lease) map[string]func(store.Tx) error {
	return map[string]func(store.Tx) error{
		"save":   func(tx store.Tx) error { return tx.SaveRun(r, &l) },
		"extend": func(tx store.Tx) error { _, err := tx.ExtendSlot(l, time.Hour); return err },
		"guard":  func(tx store.Tx) error { return tx.GuardSlot(l) },
		"raise":  func(tx store.Tx) error { _, err := tx.RaiseFence(l, l.Fence); return err },
	}
}

func slotFenced(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	r := f.run(t, s.ID, "run-1")
	f.claim(t, s.ID, "w1", 0)
	lease := f.claim(t, s.ID, "w1", time.Hour)
	for what, change := range map[string]func(*lockstep.Lease){
		"an older fence":       func(l *lockstep.Lease) { l.Fence-- },
		"a fence never given":  func(l *lockstep.Lease) { l.Fence++ },
		"another holder":       func(l *lockstep.Lease) { l.Holder = "w2" },
		"no holder":            func(l *lockstep.Lease) { l.Holder = "" },
		"another secret":       func(l *lockstep.Lease) { l.Secret = other.ID },
		"a secret not present": func(l *lockstep.Lease) { l.Secret += 99 },
	} {
		wrong := lease
		change(&wrong)
		for name, write := range holderWrites(r, wrong) {
			t.Run(name+" with "+what, func(t *testing.T) { f.refuse(t, lockstep.ErrFenced, write) })
		}
		if wrong.Secret < s.ID+99 { // else there is nothing to be fenced off from
			t.Run("lock with "+what, func(t *testing.T) { f.refuse(t, lockstep.ErrFenced, lockHeld(wrong)) })
		}
	}
	for name, write := range holderWrites(r, lease) {
		t.Run(name+" with the lease", func(t *testing.T) { f.update(t, write) })
	}
}

func slotExpired(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	r := f.run(t, s.ID, "run-1")
	lease := f.claim(t, s.ID, "w1", 20*time.Millisecond)
	// What the lease says of its own end is not believed.
	lease.Expires = lease.Expires.Add(time.Hour)
	f.pass(t, 30*time.Millisecond)
	f.refuse(t, lockstep.ErrFenced, lockHeld(lease))
	r.State = lockstep.RunSet
	for name, write := range holderWrites(r, lease) {
		t.Run(name, func(t *testing.T) { f.refuse(t, lockstep.ErrFenced, write) })
	}
	got := read(t, f, func(tx store.ReadTx) (*lockstep.Run, error) { return tx.Run(r.ID) })
	same(t, got.State, lockstep.RunQueued)

	next := f.claim(t, s.ID, "w2", time.Hour)
	same(t, next.Fence, lease.Fence+1)
	err := f.Update(t.Context(), func(tx store.Tx) error { return tx.SaveRun(r, &lease) })
	if !errors.Is(err, lockstep.ErrFenced) {
		t.Fatalf("after the next claim: got error %v, want %v", err, lockstep.ErrFenced)
	}
	f.update(t, func(tx store.Tx) error { return tx.SaveRun(r, &next) })
}
