package sqlstore

import (
	"encoding/json"
	"fmt"

	"lockstep"
	"lockstep/store"
)

// Managed implements store.GraphReader.
func (t *tx) Managed(owner store.Owner, limit int) ([]*lockstep.Secret, error) {
	list, err := all(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets
		WHERE account = $1 AND admin_ref <> '' AND rotates AND region = $2 ORDER BY admin_ref, id LIMIT $3`,
		owner.Account, owner.Region, limit)
	return list, place("list managed secrets", err)
}

// ManagedBy implements store.GraphReader.
func (t *tx) ManagedBy(account lockstep.AccountID, refs []string, limit int) ([]*lockstep.Secret, error) {
	text, err := json.Marshal(refs)
	if err != nil {
		return nil, fmt.Errorf("write names: %w", err)
	}
	list, err := all(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets
		WHERE account = $1 AND admin_ref IN (@texts($2)) AND admin_ref <> '' AND rotates LIMIT $3`,
		account, string(text), limit)
	return list, place("list who is managed by a secret", err)
}

// releaseFrom lets the items of batches go on that await a Secret which is
// purged.
func (t *tx) releaseFrom(id lockstep.SecretID) error {
	_, err := t.exec(`UPDATE batches SET state = 'active', is_active = TRUE WHERE state = 'started'
		AND id IN (SELECT batch FROM batch_items WHERE awaits = $1 AND awaits > 0)`, id)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE batch_items SET state = 'pending', awaits = 0 WHERE awaits = $1 AND awaits > 0 AND state = 'waiting'`, id)
	if n > 0 {
		t.touch(store.TopicSchedule)
	}
	return err
}
