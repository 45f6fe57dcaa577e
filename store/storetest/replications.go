package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var replicationTests = map[string]func(*testing.T, *fixture){
	"a mark is due at once, and signalled":         replicationMarked,
	"a change meanwhile outlives done and delay":   replicationOvertaken,
	"a delayed mark waits, and goes with a secret": replicationDelayed,
}

func (f *fixture) markReplication(t *testing.T, id lockstep.SecretID) store.ReplicationMark {
	t.Helper()
	f.update(t, func(tx store.Tx) error { return tx.MarkReplication(id) })
	return read(t, f, func(tx store.ReadTx) (store.ReplicationMark, error) { return tx.Replication(id) })
}

func dueReplications(t *testing.T, f *fixture) []store.ReplicationMark {
	t.Helper()
	return read(t, f, func(tx store.ReadTx) ([]store.ReplicationMark, error) { return tx.DueReplications(10) })
}

func replicationMarked(t *testing.T, f *fixture) {
	s := f.secret(t, "a")
	missing(t, f, func(tx store.ReadTx) (store.ReplicationMark, error) { return tx.Replication(s.ID) })
	if at := read(t, f, func(tx store.ReadTx) (time.Time, error) { return tx.NextReplication() }); !at.IsZero() {
		t.Errorf("next is %s, but nothing waits", at)
	}
	ch, cancel := f.Subscribe(store.TopicReplicas)
	defer cancel()
	m := f.markReplication(t, s.ID)
	signalled(t, ch)
	same(t, dueReplications(t, f), []store.ReplicationMark{m})
	if at := read(t, f, func(tx store.ReadTx) (time.Time, error) { return tx.NextReplication() }); !at.Equal(m.Due) {
		t.Errorf("next is %s, want %s", at, m.Due)
	}
	f.update(t, func(tx store.Tx) error { return tx.ReplicationDone(m) })
	same(t, dueReplications(t, f), nil)
}

func replicationOvertaken(t *testing.T, f *fixture) {
	s := f.secret(t, "a")
	old := f.markReplication(t, s.ID)
	fresh := f.markReplication(t, s.ID)
	if fresh.Seq <= old.Seq {
		t.Errorf("marked again, the number is %d after %d", fresh.Seq, old.Seq)
	}
	f.update(t, func(tx store.Tx) error {
		if err := tx.DelayReplication(old, tx.Now().Add(time.Hour)); err != nil {
			return err
		}
		return tx.ReplicationDone(old)
	})
	same(t, dueReplications(t, f), []store.ReplicationMark{fresh})
}

func replicationDelayed(t *testing.T, f *fixture) {
	s := f.secret(t, "a")
	m := f.markReplication(t, s.ID)
	f.update(t, func(tx store.Tx) error { return tx.DelayReplication(m, tx.Now().Add(time.Hour)) })
	same(t, dueReplications(t, f), nil)
	f.update(t, func(tx store.Tx) error { return tx.DelayReplication(m, tx.Now().Add(20*time.Millisecond)) })
	f.pass(t, 30*time.Millisecond)
	if got := dueReplications(t, f); len(got) != 1 || got[0].Seq != m.Seq {
		t.Errorf("due are %v, want number %d", got, m.Seq)
	}
	f.update(t, func(tx store.Tx) error { return tx.PurgeSecret(s.ID) })
	same(t, dueReplications(t, f), nil)
}
