package sqlstore

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

func scanMark(r row) (store.ReplicationMark, error) {
	var m store.ReplicationMark
	err := r.Scan(&m.Primary, &m.Seq, timeInto{&m.Due})
	return m, err
}

// Replication implements store.ReplicationReader.
func (t *tx) Replication(primary lockstep.SecretID) (store.ReplicationMark, error) {
	m, err := one(t.session, scanMark, `SELECT secret, seq, due FROM replications WHERE secret = $1`, primary)
	return m, place(fmt.Sprintf("read the replication of secret %d", primary), err)
}

// DueReplications implements store.ReplicationReader.
func (t *tx) DueReplications(limit int) ([]store.ReplicationMark, error) {
	l, err := all(t.session, scanMark, `SELECT secret, seq, due FROM replications
		WHERE due <= (SELECT @now) ORDER BY due, secret LIMIT $1`, limit)
	return l, place("list due replications", err)
}

// NextReplication implements store.ReplicationReader.
func (t *tx) NextReplication() (time.Time, error) {
	n, err := one(t.session, orZero, `SELECT min(due) FROM replications`)
	return instant(n), place("read the next replication", err)
}

// MarkReplication implements store.ReplicationWriter.
func (t *tx) MarkReplication(primary lockstep.SecretID) error {
	_, err := t.exec(`INSERT INTO replications (secret, seq, due) VALUES ($1, 1, $2)
		ON CONFLICT (secret) DO UPDATE SET seq = replications.seq + 1, due = excluded.due`, primary, micros(t.Now()))
	t.touch(store.TopicReplicas)
	return place(fmt.Sprintf("mark the replication of secret %d", primary), err)
}

// DelayReplication implements store.ReplicationWriter.
func (t *tx) DelayReplication(m store.ReplicationMark, until time.Time) error {
	_, err := t.exec(`UPDATE replications SET due = $3 WHERE secret = $1 AND seq = $2`, m.Primary, m.Seq, micros(until))
	return place(fmt.Sprintf("delay the replication of secret %d", m.Primary), err)
}

// ReplicationDone implements store.ReplicationWriter.
func (t *tx) ReplicationDone(m store.ReplicationMark) error {
	_, err := t.exec(`DELETE FROM replications WHERE secret = $1 AND seq = $2`, m.Primary, m.Seq)
	return place(fmt.Sprintf("complete the replication of secret %d", m.Primary), err)
}
