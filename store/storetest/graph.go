package storetest

import (
	"errors"
	"slices"
	"testing"

	"lockstep"
	"lockstep/store"
)

var graphTests = map[string]func(*testing.T, *fixture){
	"who manages whom": managedSecrets,
	"items that await": awaitingItems,
}

// rotatingBy makes a Secret that rotates and names an admin.
func (f *fixture) rotatingBy(t *testing.T, name, ref string) *lockstep.Secret {
	t.Helper()
	return f.secret(t, name, func(s *lockstep.Secret) {
		s.Rotation, s.AdminRef = &lockstep.Rotation{Enabled: true, Rotator: "rotator"}, ref
	})
}

func namesOf(list []*lockstep.Secret) (names []string) {
	for _, s := range list {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

func managedSecrets(t *testing.T, f *fixture) {
	admin := f.rotatingBy(t, "admin", "")
	one := f.rotatingBy(t, "one", "admin")
	f.rotatingBy(t, "two", string(admin.ARN))
	f.rotatingBy(t, "stray", lockstep.NoSecretName)
	f.secret(t, "still", func(s *lockstep.Secret) { s.AdminRef = "admin" })
	f.view(t, func(tx store.ReadTx) error {
		all, err := tx.Managed(owner, 10)
		same(t, namesOf(all), []string{"one", "stray", "two"})
		few, err2 := tx.Managed(owner, 2)
		same(t, len(few), 2)
		none, err3 := tx.Managed(store.Owner{Account: account, Region: "elsewhere"}, 10)
		same(t, len(none), 0)
		by, err4 := tx.ManagedBy(account, []string{"admin", string(admin.ARN)}, 10)
		same(t, namesOf(by), []string{"one", "two"})
		same(t, by[0].AdminRef != "", true)
		return errors.Join(err, err2, err3, err4)
	})
	f.update(t, func(tx store.Tx) error {
		s, err := tx.LockSecret(one.ID)
		if err != nil {
			return err
		}
		s.AdminRef = ""
		return tx.SaveSecret(s)
	})
	f.view(t, func(tx store.ReadTx) error {
		by, err := tx.ManagedBy(account, []string{"admin"}, 10)
		same(t, len(by), 0)
		return err
	})
}

func awaitingItems(t *testing.T, f *fixture) {
	admin, one, two := f.rotatingBy(t, "admin", ""), f.rotatingBy(t, "one", "admin"), f.rotatingBy(t, "two", "admin")
	state := func(want ...store.ItemState) {
		t.Helper()
		f.view(t, func(tx store.ReadTx) error {
			for i, s := range []*lockstep.Secret{admin, one, two} {
				item, err := tx.BatchItem("b", s.ID)
				if err != nil {
					return err
				}
				same(t, item.State, want[i])
				same(t, item.Awaits != 0, want[i] == store.ItemWaiting)
			}
			return nil
		})
	}
	released := func(want bool) {
		t.Helper()
		f.update(t, func(tx store.Tx) error {
			got, err := tx.ReleaseItems()
			same(t, got, want)
			return err
		})
	}
	b := &store.Batch{ID: "b", Owner: owner, State: store.BatchStarted, Expanded: true, Created: f.now(t)}
	f.update(t, func(tx store.Tx) error {
		item := func(s *lockstep.Secret, st store.ItemState, awaits lockstep.SecretID) error {
			return tx.SaveItem(store.BatchItem{Batch: "b", Secret: s.ID, State: st, Awaits: awaits})
		}
		return errors.Join(tx.SaveBatch(b), item(admin, store.ItemPending, 0),
			item(one, store.ItemWaiting, admin.ID), item(two, store.ItemWaiting, admin.ID), tx.AwaitItem("b", admin.ID))
	})
	released(false) // it is still to come
	state(store.ItemPending, store.ItemWaiting, store.ItemWaiting)
	f.update(t, func(tx store.Tx) error {
		return tx.SaveItem(store.BatchItem{Batch: "b", Secret: admin.ID, State: store.ItemRefused})
	})
	released(true)
	released(false) // once
	state(store.ItemRefused, store.ItemPending, store.ItemPending)
	f.update(t, func(tx store.Tx) error {
		working, err := tx.WorkingBatch()
		if err != nil {
			return err
		}
		same(t, working.ID, "b")
		return nil
	})
}
