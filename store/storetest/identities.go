package storetest

import (
	"testing"

	"lockstep"
	"lockstep/store"
)

var identityTests = map[string]func(*testing.T, *fixture){
	"users and keys": identityKeys,
}

func identityKeys(t *testing.T, f *fixture) {
	u := &store.User{ARN: "arn:aws:iam::000000000000:user/ann", Account: account, Name: "ann", Created: f.now(t)}
	noZeroField(t, *u)
	k := &store.AccessKey{ID: "AKIA1", UserARN: u.ARN, Secret: sealed("key"), Active: true, Created: f.now(t)}
	noZeroField(t, *k)
	user := func(tx store.ReadTx) (*store.User, error) { return tx.User(u.ARN) }
	key := func(tx store.ReadTx) (*store.AccessKey, error) { return tx.AccessKey(k.ID) }
	insertKey := func(tx store.Tx) error { return tx.InsertAccessKey(k) }
	missing(t, f, user)
	missing(t, f, key)
	f.refuse(t, lockstep.ErrNotFound, insertKey)
	f.update(t, func(tx store.Tx) error { return tx.InsertUser(u) })
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error { return tx.InsertUser(u) })
	f.update(t, insertKey)
	f.refuse(t, lockstep.ErrExists, insertKey)
	same(t, read(t, f, user), u)
	same(t, read(t, f, key), k)
	k.Active = false
	f.update(t, func(tx store.Tx) error { return tx.SaveAccessKey(k) })
	same(t, read(t, f, key), k)
	remove := func(tx store.Tx) error { return tx.DeleteAccessKey(k.ID) }
	f.update(t, remove)
	f.refuse(t, lockstep.ErrNotFound, remove)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveAccessKey(k) })
}
