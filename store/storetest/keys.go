package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var keyTests = map[string]func(*testing.T, *fixture){
	"master keys": keyMaster,
	"key aliases": keyAliases,
	"due keys":    keysDue,
	"data keys":   keyData,
	"root ids":    keyRoots,
	"settings":    keySettings,
}

func keyMaster(t *testing.T, f *fixture) {
	at := f.now(t)
	k := &store.MasterKey{
		ID: "key-1", Account: account, Region: region, Purpose: "secrets", State: "Enabled", Created: at,
		Versions:    []store.KeyVersion{{Number: 1, RootID: "root", Wrapped: []byte{1, 2}, Created: at}},
		Description: "a key", Policy: "{}", Tags: []lockstep.Tag{{Key: "a", Value: "b"}},
		DeleteAt: at.Add(time.Hour), RotationDays: 365, NextRotation: at.Add(2 * time.Hour),
	}
	noZeroField(t, *k)
	byID := func(tx store.ReadTx) (*store.MasterKey, error) { return tx.MasterKey("key-1") }
	byPurpose := func(tx store.ReadTx) (*store.MasterKey, error) { return tx.DefaultKey(owner, "secrets") }
	missing(t, f, byID)
	missing(t, f, byPurpose)
	insert := func(k store.MasterKey) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.InsertMasterKey(&k) }
	}
	f.update(t, insert(*k))
	same(t, read(t, f, byID), k)
	same(t, read(t, f, byPurpose), k)

	for what, change := range map[string]func(*store.MasterKey){
		"the id is taken":      func(k *store.MasterKey) { k.Purpose = "" },
		"the purpose is taken": func(k *store.MasterKey) { k.ID = "key-2" },
	} {
		other := *k
		change(&other)
		t.Run(what, func(t *testing.T) { f.refuse(t, lockstep.ErrExists, insert(other)) })
	}
	for _, id := range []string{"key-3", "key-4"} {
		f.update(t, insert(store.MasterKey{ID: id, Account: account, Region: region, State: "Enabled", Created: at}))
	}
	missing(t, f, func(tx store.ReadTx) (*store.MasterKey, error) { return tx.DefaultKey(owner, "") })

	k.State, k.Description, k.Policy, k.Tags = "Disabled", "other", "{ }", nil
	k.DeleteAt, k.RotationDays, k.NextRotation = time.Time{}, 0, time.Time{}
	k.Versions[0].RootID = "root-2"
	k.Versions = append(k.Versions, store.KeyVersion{Number: 2, RootID: "root-2", Wrapped: []byte{3}, Created: at.Add(time.Hour)})
	f.update(t, func(tx store.Tx) error { return tx.SaveMasterKey(k) })
	same(t, read(t, f, byID), k)
	f.update(t, func(tx store.Tx) error {
		got, err := tx.LockMasterKey("key-1")
		same(t, got, k)
		return err
	})
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveMasterKey(&store.MasterKey{ID: "absent"}) })

	bare := *k
	bare.Versions = nil
	page := func(q store.KeyQuery) []*store.MasterKey {
		q.Owner = owner
		return read(t, f, func(tx store.ReadTx) ([]*store.MasterKey, error) { return tx.MasterKeys(q) })
	}
	same(t, page(store.KeyQuery{Limit: 1}), []*store.MasterKey{&bare})
	same(t, len(page(store.KeyQuery{After: "key-1"})), 2)
	f.update(t, func(tx store.Tx) error { return tx.DeleteMasterKey("key-1") })
	missing(t, f, byID)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.DeleteMasterKey("key-1") })
}

func keySettings(t *testing.T, f *fixture) {
	get := func(tx store.ReadTx) ([]byte, error) { return tx.Setting("name") }
	missing(t, f, get)
	for _, content := range [][]byte{{0, 1, 255}, {}, []byte("text")} {
		f.update(t, func(tx store.Tx) error { return tx.SaveSetting("name", content) })
		same(t, string(read(t, f, get)), string(content))
	}
}

// addKey stores a key with some versions.
func addKey(t *testing.T, f *fixture, id string, versions ...store.KeyVersion) {
	t.Helper()
	f.update(t, func(tx store.Tx) error {
		return tx.InsertMasterKey(&store.MasterKey{ID: id, Account: account, Region: region, State: store.KeyEnabled, Created: tx.Now(), Versions: versions})
	})
}

func keyAliases(t *testing.T, f *fixture) {
	at := f.now(t)
	addKey(t, f, "key-1")
	addKey(t, f, "key-2")
	a := &store.KeyAlias{Account: account, Region: region, Name: "alias/a", KeyID: "key-1", Created: at, Changed: at}
	noZeroField(t, *a)
	get := func(tx store.ReadTx) (*store.KeyAlias, error) { return tx.KeyAlias(owner, "alias/a") }
	missing(t, f, get)
	f.update(t, func(tx store.Tx) error { return tx.InsertKeyAlias(a) })
	same(t, read(t, f, get), a)
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertKeyAlias(a) })
	other := *a
	other.Name = "alias/b"
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveKeyAlias(&other) })
	f.update(t, func(tx store.Tx) error { return tx.InsertKeyAlias(&other) })
	a.KeyID, a.Changed = "key-2", at.Add(time.Hour)
	f.update(t, func(tx store.Tx) error { return tx.SaveKeyAlias(a) })
	list := func(q store.KeyQuery) []*store.KeyAlias {
		q.Owner = owner
		return read(t, f, func(tx store.ReadTx) ([]*store.KeyAlias, error) { return tx.KeyAliases(q) })
	}
	same(t, list(store.KeyQuery{}), []*store.KeyAlias{a, &other})
	same(t, list(store.KeyQuery{Limit: 1}), []*store.KeyAlias{a})
	same(t, list(store.KeyQuery{After: "alias/a"}), []*store.KeyAlias{&other})
	same(t, list(store.KeyQuery{KeyID: "key-1"}), []*store.KeyAlias{&other})
	f.update(t, func(tx store.Tx) error { return tx.DeleteKeyAlias(owner, "alias/b") })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.DeleteKeyAlias(owner, "alias/b") })
	f.update(t, func(tx store.Tx) error { return tx.DeleteMasterKey("key-2") }) // its alias goes along
	missing(t, f, get)
}

func keysDue(t *testing.T, f *fixture) {
	due := func() []string {
		return read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.KeysDue(10) })
	}
	at := f.now(t)
	addKey(t, f, "never")
	for id, k := range map[string]store.MasterKey{
		"deletion due":      {DeleteAt: at.Add(-2 * time.Hour), NextRotation: at.Add(time.Hour)},
		"rotation due":      {DeleteAt: at.Add(time.Hour), NextRotation: at.Add(-time.Hour)},
		"neither due yet":   {DeleteAt: at.Add(time.Hour), NextRotation: at.Add(time.Hour)},
		"only rotation due": {NextRotation: at.Add(-time.Minute)},
	} {
		k.ID, k.Account, k.Region, k.State, k.Created = id, account, region, store.KeyEnabled, at
		f.update(t, func(tx store.Tx) error { return tx.InsertMasterKey(&k) })
	}
	same(t, due(), []string{"deletion due", "rotation due", "only rotation due"})
	f.update(t, func(tx store.Tx) error {
		k, err := tx.LockMasterKey("rotation due")
		if err != nil {
			return err
		}
		k.NextRotation = time.Time{}
		return tx.SaveMasterKey(k)
	})
	same(t, due(), []string{"deletion due", "only rotation due"})
}

func keyRoots(t *testing.T, f *fixture) {
	addKey(t, f, "key-1", store.KeyVersion{Number: 1, RootID: "old", Wrapped: []byte{1}}, store.KeyVersion{Number: 2, RootID: "new", Wrapped: []byte{2}})
	addKey(t, f, "key-2", store.KeyVersion{Number: 1, RootID: "new", Wrapped: []byte{1}})
	addKey(t, f, "key-3", store.KeyVersion{Number: 1, RootID: "old", Wrapped: []byte{1}}, store.KeyVersion{Number: 2, RootID: "old", Wrapped: []byte{1}})
	under := func(root, after string) []string {
		return read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.KeysNotUnder(root, after, 10) })
	}
	same(t, under("new", ""), []string{"key-1", "key-3"})
	same(t, under("new", "key-1"), []string{"key-3"})
	same(t, read(t, f, func(tx store.ReadTx) (int, error) { return tx.VersionsNotUnder("new") }), 3)
}

// keyData re-wraps the data keys of all kinds, in batches.
func keyData(t *testing.T, f *fixture) {
	addKey(t, f, "mk", store.KeyVersion{Number: 1, RootID: "r", Wrapped: []byte{1}}, store.KeyVersion{Number: 2, RootID: "r", Wrapped: []byte{2}})
	addKey(t, f, "idle", store.KeyVersion{Number: 1, RootID: "r", Wrapped: []byte{1}}, store.KeyVersion{Number: 2, RootID: "r", Wrapped: []byte{2}})
	sealed := func(b byte, version int) *lockstep.Sealed {
		return &lockstep.Sealed{KeyID: "mk", KeyVersion: version, WrappedKey: []byte{b}, Ciphertext: []byte{b, b}, Digest: []byte{b}}
	}
	s := f.secret(t, "data")
	const userARN = "arn:aws:iam::000000000000:user/data"
	f.update(t, func(tx store.Tx) error {
		for i, id := range []lockstep.VersionID{"v1", "v2", "v3", "v4"} {
			v := &lockstep.Version{Secret: s.ID, ID: id, Created: tx.Now(), Sealed: sealed(byte(i), 1+i/3)}
			if err := tx.InsertVersion(v); err != nil {
				return err
			}
		}
		if err := tx.AddRefused(s.ID, "v1", sealed(7, 1)); err != nil {
			return err
		}
		if err := tx.InsertUser(&store.User{ARN: userARN, Account: account, Name: "data", Created: tx.Now()}); err != nil {
			return err
		}
		return tx.InsertAccessKey(&store.AccessKey{ID: "AKIA", UserARN: userARN, Secret: sealed(8, 1), Active: true, Created: tx.Now()})
	})
	use := func() store.KeyUse {
		return read(t, f, func(tx store.ReadTx) (store.KeyUse, error) { return tx.KeyUse("mk") })
	}
	todo := func() []string {
		return read(t, f, func(tx store.ReadTx) ([]string, error) { return tx.KeysToRewrap("", 10) })
	}
	same(t, use(), store.KeyUse{Secrets: 1, DataKeys: 6, Stale: 5})
	same(t, todo(), []string{"mk"})
	want := map[store.DataKind][]string{store.DataVersion: {"v1", "v2", "v3"}, store.DataRefused: {"v1"}, store.DataAccessKey: {"AKIA"}}
	for _, kind := range store.DataKinds() {
		q := store.DataKeyQuery{KeyID: "mk", Kind: kind, Below: 2, Limit: 2}
		var got []string
		for {
			batch := read(t, f, func(tx store.ReadTx) ([]*store.DataKey, error) { return tx.DataKeys(q) })
			if len(batch) == 0 {
				break
			}
			for _, d := range batch {
				got = append(got, d.Version)
				if arn := string(s.ARN); kind != store.DataAccessKey && d.ARN != arn {
					t.Errorf("%s %s belongs to %s, want %s", kind, d.Row, d.ARN, arn)
				}
				stale := *d
				stale.Wrapped = []byte("changed since")
				f.update(t, func(tx store.Tx) error {
					if err := tx.RewrapDataKey("mk", &stale, store.KeyVersion{Number: 9, Wrapped: []byte{9}}); err != nil {
						return err
					}
					return tx.RewrapDataKey("mk", d, store.KeyVersion{Number: 2, Wrapped: append([]byte{'n'}, d.Wrapped...)})
				})
			}
			q.After = batch[len(batch)-1]
		}
		same(t, got, want[kind])
	}
	same(t, use(), store.KeyUse{Secrets: 1, DataKeys: 6})
	same(t, len(todo()), 0)
	v := read(t, f, func(tx store.ReadTx) (*lockstep.Version, error) { return tx.Version(s.ID, "v2") })
	same(t, v.Sealed, &lockstep.Sealed{KeyID: "mk", KeyVersion: 2, WrappedKey: []byte{'n', 1}, Ciphertext: []byte{1, 1}, Digest: []byte{1}})
}
