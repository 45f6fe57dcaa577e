package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var keyTests = map[string]func(*testing.T, *fixture){
	"master keys": keyMaster,
	"settings":    keySettings,
}

func keyMaster(t *testing.T, f *fixture) {
	at := f.now(t)
	k := &store.MasterKey{
		ID: "key-1", Account: account, Region: region, Purpose: "secrets", State: "Enabled", Created: at,
		Versions: []store.KeyVersion{{Number: 1, RootID: "root", Wrapped: []byte{1, 2}, Created: at}},
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

	k.State = "Disabled"
	k.Versions[0].RootID = "root-2"
	k.Versions = append(k.Versions, store.KeyVersion{Number: 2, RootID: "root-2", Wrapped: []byte{3}, Created: at.Add(time.Hour)})
	f.update(t, func(tx store.Tx) error { return tx.SaveMasterKey(k) })
	same(t, read(t, f, byID), k)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveMasterKey(&store.MasterKey{ID: "absent"}) })
}

func keySettings(t *testing.T, f *fixture) {
	get := func(tx store.ReadTx) ([]byte, error) { return tx.Setting("name") }
	missing(t, f, get)
	for _, content := range [][]byte{{0, 1, 255}, {}, []byte("text")} {
		f.update(t, func(tx store.Tx) error { return tx.SaveSetting("name", content) })
		same(t, string(read(t, f, get)), string(content))
	}
}
