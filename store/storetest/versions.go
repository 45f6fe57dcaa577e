package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var versionTests = map[string]func(*testing.T, *fixture){
	"every field comes back":        versionFields,
	"an id is never used twice":     versionTwice,
	"oldest first":                  versionOrder,
	"labels":                        versionStages,
	"a labelled version stays":      versionDelete,
	"live versions":                 versionLive,
	"prune":                         versionPrune,
	"due retirements":               versionRetirements,
	"next retirement after a lease": versionNextRetirement,
}

func versionFields(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	at := f.now(t)
	v := f.version(t, s.ID, "v1", func(v *lockstep.Version) {
		v.Accessed, v.Account, v.MaybeLive = at.Truncate(24*time.Hour), "acct", true
		v.Retirement, v.RetireAt, v.RetireRetryAt = lockstep.RetirementDue, at.Add(time.Hour), at.Add(2*time.Hour)
		v.RetireAttempts, v.RetireReason = 2, "refused"
		v.Expires, v.AdminRef = at.Add(3*time.Hour), "admin"
	})
	noZeroField(t, *v)
	noZeroField(t, *v.Sealed)
	get := func(tx store.ReadTx) (*lockstep.Version, error) { return tx.Version(s.ID, "v1") }
	same(t, read(t, f, get), v)

	v.MaybeLive, v.Retirement, v.RetireReason, v.Sealed = false, lockstep.RetirementRetired, "", nil
	changed := *v
	changed.Accessed = at
	f.update(t, func(tx store.Tx) error { return tx.SaveVersion(&changed) })
	same(t, read(t, f, get), v) // Accessed is not saved

	v.Sealed = &lockstep.Sealed{KeyID: "k", WrappedKey: []byte{1}, Ciphertext: []byte{0, 255}, Digest: []byte{2}}
	f.update(t, func(tx store.Tx) error { return tx.SaveVersion(v) })
	same(t, read(t, f, get), v)

	missing(t, f, func(tx store.ReadTx) (*lockstep.Version, error) { return tx.Version(s.ID, "v2") })
	absent := lockstep.Version{Secret: s.ID, ID: "v2"}
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveVersion(&absent) })
}

func versionTwice(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	v := f.version(t, s.ID, "v1")
	f.version(t, other.ID, "v1")
	f.update(t, func(tx store.Tx) error {
		// The transaction goes on after the refusal.
		if err := tx.InsertVersion(v); err == nil {
			t.Error("the same version id was stored twice")
		}
		return tx.InsertVersion(&lockstep.Version{Secret: s.ID, ID: "v2", Created: v.Created})
	})
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertVersion(v) })
	same(t, versionIDs(read(t, f, func(tx store.ReadTx) ([]*lockstep.Version, error) { return tx.Versions(s.ID) })),
		[]lockstep.VersionID{"v1", "v2"})
}

func versionIDs(list []*lockstep.Version) (out []lockstep.VersionID) {
	for _, v := range list {
		out = append(out, v.ID)
	}
	return out
}

func versionOrder(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	at := f.now(t)
	for id, created := range map[lockstep.VersionID]time.Time{"c": at, "a": at.Add(time.Second), "b": at.Add(2 * time.Second)} {
		f.version(t, s.ID, id, func(v *lockstep.Version) { v.Created = created })
	}
	list := read(t, f, func(tx store.ReadTx) ([]*lockstep.Version, error) { return tx.Versions(s.ID) })
	same(t, versionIDs(list), []lockstep.VersionID{"c", "a", "b"})
}

func versionStages(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	get := func(tx store.ReadTx) (lockstep.Stages, error) { return tx.Stages(s.ID) }
	same(t, read(t, f, get), lockstep.Stages{})
	f.version(t, s.ID, "v1")
	f.version(t, s.ID, "v2")
	f.version(t, other.ID, "v3")
	for _, stages := range []lockstep.Stages{
		{lockstep.Current: "v1"},
		{lockstep.Current: "v2", lockstep.Previous: "v1", "mine": "v1"},
		{lockstep.Current: "v2", lockstep.Pending: "v2"},
		{},
	} {
		f.update(t, func(tx store.Tx) error { return tx.SaveStages(s.ID, stages) })
		same(t, read(t, f, get), stages)
	}
	same(t, read(t, f, func(tx store.ReadTx) (lockstep.Stages, error) { return tx.Stages(other.ID) }), lockstep.Stages{})
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error {
		return tx.SaveStages(s.ID, lockstep.Stages{lockstep.Current: "v3"})
	})
}

func versionDelete(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	f.version(t, s.ID, "v1")
	f.update(t, func(tx store.Tx) error { return tx.SaveStages(s.ID, lockstep.Stages{lockstep.Current: "v1"}) })
	remove := func(tx store.Tx) error { return tx.DeleteVersion(s.ID, "v1") }
	f.refuse(t, lockstep.ErrConflict, remove)
	f.update(t, func(tx store.Tx) error {
		return firstError(tx.SaveStages(s.ID, lockstep.Stages{}), tx.AddRefused(s.ID, "v1", sealed("old")), remove(tx))
	})
	f.refuse(t, lockstep.ErrNotFound, remove)
}

func versionLive(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	live := func(v *lockstep.Version) { v.MaybeLive = true }
	f.version(t, s.ID, "v1", live)
	f.version(t, s.ID, "v2")
	f.version(t, s.ID, "v3", live)
	f.version(t, other.ID, "v4", live)
	list := read(t, f, func(tx store.ReadTx) ([]*lockstep.Version, error) { return tx.LiveVersions(s.ID) })
	same(t, versionIDs(list), []lockstep.VersionID{"v1", "v3"})
}

func versionPrune(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	at := f.now(t)
	age := time.Duration(0)
	older := func(edit ...func(*lockstep.Version)) func(*lockstep.Version) {
		age++
		created := at.Add(-age * time.Hour)
		return func(v *lockstep.Version) {
			v.Created = created
			for _, e := range edit {
				e(v)
			}
		}
	}
	f.version(t, s.ID, "fresh", older())
	f.version(t, s.ID, "kept", older())
	f.version(t, s.ID, "current", older())
	f.version(t, s.ID, "extra", older())
	f.version(t, s.ID, "live", older(func(v *lockstep.Version) { v.MaybeLive = true }))
	f.version(t, s.ID, "running", older())
	f.version(t, s.ID, "oldest", older())
	f.version(t, other.ID, "oldest", older())
	f.run(t, s.ID, "run-1", func(r *lockstep.Run) { r.Version = "running" })
	f.update(t, func(tx store.Tx) error { return tx.SaveStages(s.ID, lockstep.Stages{lockstep.Current: "current"}) })
	prune := func(keep int, newest time.Time) (n int) {
		f.update(t, func(tx store.Tx) (err error) {
			n, err = tx.PruneVersions(s.ID, keep, newest)
			return err
		})
		return n
	}
	same(t, prune(6, at), 0)
	same(t, prune(0, at.Add(-7*time.Hour)), 1)
	same(t, prune(2, at), 1)
	list := read(t, f, func(tx store.ReadTx) ([]*lockstep.Version, error) { return tx.Versions(s.ID) })
	same(t, versionIDs(list), []lockstep.VersionID{"running", "live", "current", "kept", "fresh"})
	same(t, prune(0, at), 2)
}

func versionRetirements(t *testing.T, f *fixture) {
	at := f.now(t)
	list := func(tx store.ReadTx) ([]*lockstep.Version, error) { return tx.DueRetirements(10) }
	add := func(name string, edit func(*lockstep.Version)) *lockstep.Secret {
		s := f.secret(t, name)
		f.version(t, s.ID, lockstep.VersionID(name), edit)
		return s
	}
	with := func(state lockstep.RetirementState, at, retry time.Time) func(*lockstep.Version) {
		return func(v *lockstep.Version) { v.Retirement, v.RetireAt, v.RetireRetryAt = state, at, retry }
	}
	add("at once", with(lockstep.RetirementDue, time.Time{}, time.Time{}))
	add("past", with(lockstep.RetirementRetiring, at.Add(-time.Hour), at.Add(-time.Minute)))
	add("later", with(lockstep.RetirementDue, at.Add(time.Hour), time.Time{}))
	add("retry later", with(lockstep.RetirementDue, at.Add(-time.Hour), at.Add(time.Minute)))
	add("idle", with(lockstep.RetirementIdle, time.Time{}, time.Time{}))
	add("retired", with(lockstep.RetirementRetired, time.Time{}, time.Time{}))
	queued := add("queued", with(lockstep.RetirementDue, time.Time{}, time.Time{}))
	f.update(t, func(tx store.Tx) error { return tx.AddJob(&store.Job{Kind: store.JobRetire, Secret: queued.ID}) })
	leased := add("leased", with(lockstep.RetirementDue, time.Time{}, time.Time{}))
	lease := f.claim(t, leased.ID, "w1", time.Hour)
	marked := add("marked", with(lockstep.RetirementDue, time.Time{}, time.Time{}))
	marked.DeleteAt = at.Add(time.Hour)
	f.update(t, func(tx store.Tx) error { return tx.SaveSecret(marked) })

	same(t, versionIDs(read(t, f, list)), []lockstep.VersionID{"at once", "past"})
	f.update(t, func(tx store.Tx) error { return tx.ReleaseSlot(lease) })
	same(t, versionIDs(read(t, f, list)), []lockstep.VersionID{"at once", "leased", "past"})
}

func versionNextRetirement(t *testing.T, f *fixture) {
	next := func(tx store.ReadTx) (time.Time, error) { return tx.NextRetirement() }
	same(t, read(t, f, next), time.Time{})
	s := f.secret(t, "name")
	at := f.now(t)
	v := f.version(t, s.ID, "v1", func(v *lockstep.Version) {
		v.Retirement, v.RetireAt = lockstep.RetirementDue, at.Add(2*time.Hour)
	})
	same(t, read(t, f, next), v.RetireAt)
	v.RetireAt = at.Add(-time.Hour)
	f.update(t, func(tx store.Tx) error { return tx.SaveVersion(v) })
	same(t, read(t, f, next), v.RetireAt)
	lease := f.claim(t, s.ID, "w1", time.Hour)
	same(t, read(t, f, next), lease.Expires)
	f.update(t, func(tx store.Tx) error { return tx.AddJob(&store.Job{Kind: store.JobRetire, Secret: s.ID}) })
	same(t, read(t, f, next), time.Time{})
}
