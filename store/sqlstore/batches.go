package sqlstore

import (
	"errors"

	"lockstep"
	"lockstep/store"
)

const batchColumns = `id, account, region, match, tag_key, tag_value, triggered_by, state, expanded,
	after_created, after_secret, made_by, created`

func scanBatch(r row) (*store.Batch, error) {
	b := &store.Batch{}
	err := r.Scan(&b.ID, &b.Owner.Account, &b.Owner.Region, &b.Match, &b.Tag.Key, &b.Tag.Value, &b.Trigger, &b.State,
		&b.Expanded, timeInto{&b.AfterCreated}, &b.AfterSecret, &b.By, timeInto{&b.Created})
	return b, err
}

// Batch implements store.BatchReader.
func (t *tx) Batch(id string) (*store.Batch, error) {
	b, err := one(t.session, scanBatch, `SELECT `+batchColumns+` FROM batches WHERE id = $1`, id)
	return b, place("read batch "+id, err)
}

// Batches implements store.BatchReader.
func (t *tx) Batches(owner store.Owner, limit int) ([]*store.Batch, error) {
	list, err := all(t.session, scanBatch, `SELECT `+batchColumns+` FROM batches
		WHERE account = $1 AND region = $2 ORDER BY created DESC, id DESC LIMIT $3`, owner.Account, owner.Region, limit)
	return list, place("list batches", err)
}

// LockBatch implements store.BatchWriter.
func (t *tx) LockBatch(id string) (*store.Batch, error) {
	b, err := one(t.session, scanBatch, `SELECT `+batchColumns+` FROM batches WHERE id = $1 @lock`, id)
	return b, place("lock batch "+id, err)
}

// WorkingBatch implements store.BatchWriter.
func (t *tx) WorkingBatch() (*store.Batch, error) {
	b, err := one(t.session, scanBatch, `SELECT `+batchColumns+` FROM batches
		WHERE is_active ORDER BY created, id LIMIT 1 @skip`)
	return b, place("read the next batch", err)
}

// SaveBatch implements store.BatchWriter.
func (t *tx) SaveBatch(b *store.Batch) error {
	_, err := t.exec(`INSERT INTO batches (`+batchColumns+`, is_active)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, expanded = excluded.expanded,
		after_created = excluded.after_created, after_secret = excluded.after_secret, is_active = excluded.is_active`,
		b.ID, b.Owner.Account, b.Owner.Region, b.Match, b.Tag.Key, b.Tag.Value, b.Trigger, b.State, b.Expanded,
		micros(b.AfterCreated), b.AfterSecret, b.By, micros(b.Created), b.Working())
	if b.Working() {
		t.touch(store.TopicSchedule)
	}
	return place("save batch "+b.ID, err)
}

// BatchCounts implements store.BatchReader.
func (t *tx) BatchCounts(id string) (map[string]int, error) {
	type count struct {
		state string
		n     int
	}
	list, err := all(t.session, func(r row) (count, error) {
		var c count
		return c, r.Scan(&c.state, &c.n)
	}, `SELECT coalesce(r.state, i.state) AS st, count(*) FROM batch_items i LEFT JOIN runs r ON r.id = i.run
		WHERE i.batch = $1 GROUP BY coalesce(r.state, i.state)`, id)
	out := make(map[string]int, len(list))
	for _, c := range list {
		out[c.state] = c.n
	}
	return out, place("count the items of batch "+id, err)
}

// BatchFailures implements store.BatchReader.
func (t *tx) BatchFailures(id string, limit int) ([]store.BatchFailure, error) {
	list, err := all(t.session, func(r row) (store.BatchFailure, error) {
		var f store.BatchFailure
		return f, r.Scan(&f.Name, &f.Run, &f.State, &f.Reason)
	}, `SELECT s.name, i.run, coalesce(r.state, i.state), coalesce(r.reason, i.reason)
		FROM batch_items i JOIN secrets s ON s.id = i.secret LEFT JOIN runs r ON r.id = i.run
		WHERE i.batch = $1 AND (i.state = 'refused' OR r.state IN ('failed', 'cancelled', 'lost'))
		ORDER BY i.secret LIMIT $2`, id, limit)
	return list, place("list the failures of batch "+id, err)
}

const itemColumns = `batch, secret, run, state, reason, awaits, is_awaited`

func scanItem(r row) (store.BatchItem, error) {
	var i store.BatchItem
	err := r.Scan(&i.Batch, &i.Secret, &i.Run, &i.State, &i.Reason, &i.Awaits, &i.Awaited)
	return i, err
}

// BatchItem implements store.BatchReader.
func (t *tx) BatchItem(id string, secret lockstep.SecretID) (store.BatchItem, error) {
	i, err := one(t.session, scanItem, `SELECT `+itemColumns+` FROM batch_items WHERE batch = $1 AND secret = $2`, id, secret)
	return i, place("read an item of batch "+id, err)
}

// BatchItems implements store.BatchReader.
func (t *tx) BatchItems(id string, state store.ItemState, after lockstep.SecretID, limit int) ([]store.BatchItem, error) {
	query := `SELECT ` + itemColumns + ` FROM batch_items
		WHERE batch = $1 AND secret > $2 AND state = $4 ORDER BY secret LIMIT $3`
	args := []any{id, after, limit, state}
	if state == store.ItemPending {
		query = `SELECT ` + itemColumns + ` FROM batch_items
		WHERE batch = $1 AND secret > $2 AND state = 'pending' ORDER BY secret LIMIT $3`
		args = args[:3]
	}
	list, err := all(t.session, scanItem, query, args...)
	return list, place("list the items of batch "+id, err)
}

// SaveItem implements store.BatchWriter.
func (t *tx) SaveItem(i store.BatchItem) error {
	_, err := t.exec(`INSERT INTO batch_items (`+itemColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (batch, secret) DO UPDATE SET run = excluded.run, state = excluded.state, reason = excluded.reason,
		awaits = excluded.awaits`,
		i.Batch, i.Secret, i.Run, i.State, i.Reason, i.Awaits, i.Awaited)
	return place("save an item of batch "+i.Batch, err)
}

// AwaitItem implements store.BatchWriter.
func (t *tx) AwaitItem(id string, secret lockstep.SecretID) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE batch_items SET is_awaited = TRUE WHERE batch = $1 AND secret = $2`, id, secret)
	return place("await an item of batch "+id, err)
}

// ReleaseItems implements store.BatchWriter. What is awaited is an admin: few
// among many, with an index of their own.
func (t *tx) ReleaseItems() (bool, error) {
	over, err := one(t.session, scanItem, `SELECT `+itemColumns+` FROM batch_items WHERE is_awaited
		AND (state IN ('refused', 'cancelled') OR EXISTS (SELECT 1 FROM runs r WHERE r.id = batch_items.run AND NOT r.is_open))
		ORDER BY batch, secret LIMIT 1`)
	if errors.Is(err, lockstep.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		_, err = t.exec(`UPDATE batch_items SET state = 'pending', awaits = 0 WHERE batch = $1 AND awaits = $2 AND awaits > 0 AND state = 'waiting'`,
			over.Batch, over.Secret)
	}
	if err == nil {
		_, err = t.exec(`UPDATE batch_items SET is_awaited = FALSE WHERE batch = $1 AND secret = $2`, over.Batch, over.Secret)
	}
	if err == nil {
		_, err = t.exec(`UPDATE batches SET state = 'active', is_active = TRUE WHERE id = $1 AND state = 'started'`, over.Batch)
	}
	return err == nil, place("release what waits in a batch", err)
}

// ReopenItems implements store.BatchWriter.
func (t *tx) ReopenItems(id string) (int, error) {
	n, err := t.exec(`UPDATE batch_items SET state = 'pending', run = '', reason = '', awaits = 0 WHERE batch = $1
		AND (state IN ('refused', 'cancelled') OR EXISTS (SELECT 1 FROM runs r
			WHERE r.id = batch_items.run AND r.state IN ('failed', 'cancelled')))`, id)
	return int(n), place("reopen the items of batch "+id, err)
}
