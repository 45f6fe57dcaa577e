package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var auditTests = map[string]func(*testing.T, *fixture){
	"heads": auditHeads,
	"keys":  auditKeys,
}

func auditHeads(t *testing.T, f *fixture) {
	h := &store.AuditHead{Node: "b", Seq: 7, Hash: []byte{1, 2}, Time: f.now(t), RootID: "file-1", Signature: []byte{3}}
	noZeroField(t, *h)
	get := func(tx store.ReadTx) (*store.AuditHead, error) { return tx.AuditHead("b") }
	save := func(h store.AuditHead) {
		t.Helper()
		f.update(t, func(tx store.Tx) error { return tx.SaveAuditHead(&h) })
	}
	missing(t, f, get)
	save(*h)
	same(t, read(t, f, get), h)
	older := *h
	older.Seq, older.Hash = 6, []byte{9}
	save(older)
	same(t, read(t, f, get), h) // a head never goes back
	newer := store.AuditHead{Node: "b", Seq: 8, Hash: []byte{4}, Time: h.Time.Add(time.Second), RootID: "file-2", Signature: []byte{5}}
	save(newer)
	other := *h
	other.Node = "a"
	save(other)
	same(t, read(t, f, func(tx store.ReadTx) ([]store.AuditHead, error) { return tx.AuditHeads() }), []store.AuditHead{other, newer})
}

func auditKeys(t *testing.T, f *fixture) {
	k := &store.AuditKey{RootID: "file-1", Public: []byte{1, 2}, Since: f.now(t)}
	noZeroField(t, *k)
	second := store.AuditKey{RootID: "file-0", Public: []byte{3}, Since: k.Since.Add(time.Second)}
	again := *k
	again.Since = second.Since
	for _, k := range []store.AuditKey{*k, second, again} {
		f.update(t, func(tx store.Tx) error { return tx.SaveAuditKey(&k) })
	}
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error {
		return tx.SaveAuditKey(&store.AuditKey{RootID: "file-1", Public: []byte{9}})
	})
	same(t, read(t, f, func(tx store.ReadTx) ([]store.AuditKey, error) { return tx.AuditKeys() }), []store.AuditKey{*k, second})
}
