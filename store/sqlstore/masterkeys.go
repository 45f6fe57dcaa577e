package sqlstore

import (
	"lockstep"
	"lockstep/store"
)

func scanMasterKey(r row) (*store.MasterKey, error) {
	k := &store.MasterKey{}
	err := r.Scan(&k.ID, &k.Account, &k.Region, &k.Purpose, &k.State, timeInto{&k.Created},
		&k.Description, &k.Policy, jsonInto{&k.Tags}, timeInto{&k.DeleteAt}, &k.RotationDays, timeInto{&k.NextRotation})
	return k, err
}

func scanKeyVersion(r row) (store.KeyVersion, error) {
	var v store.KeyVersion
	err := r.Scan(&v.Number, &v.RootID, &v.Wrapped, timeInto{&v.Created})
	return v, err
}

const selectMasterKey = `SELECT id, account, region, purpose, state, created,
	description, policy, tags, delete_at, rotation_days, next_rotation FROM master_keys`

// pageSize is a KeyQuery's Limit, or its default.
func pageSize(limit int) int {
	if limit <= 0 {
		return 100
	}
	return limit
}

// MasterKey implements store.KeyReader.
func (t *tx) MasterKey(id string) (*store.MasterKey, error) {
	k, err := one(t.session, scanMasterKey, selectMasterKey+` WHERE id = $1`, id)
	return t.withVersions(k, "read master key "+id, err)
}

// DefaultKey implements store.KeyReader.
func (t *tx) DefaultKey(owner store.Owner, purpose string) (*store.MasterKey, error) {
	k, err := one(t.session, scanMasterKey, selectMasterKey+` WHERE account = $1 AND region = $2 AND purpose = $3 AND purpose <> ''`,
		owner.Account, owner.Region, purpose)
	return t.withVersions(k, "read the default key for "+purpose, err)
}

func (t *tx) withVersions(k *store.MasterKey, doing string, err error) (*store.MasterKey, error) {
	if err != nil {
		return nil, place(doing, err)
	}
	k.Versions, err = all(t.session, scanKeyVersion, `SELECT number, root_id, wrapped, created FROM key_versions
		WHERE master_key = $1 ORDER BY number`, k.ID)
	if err != nil {
		return nil, place(doing, err)
	}
	return k, nil
}

// LockMasterKey implements store.KeyWriter.
func (t *tx) LockMasterKey(id string) (*store.MasterKey, error) {
	k, err := one(t.session, scanMasterKey, selectMasterKey+` WHERE id = $1 @lock`, id)
	return t.withVersions(k, "lock master key "+id, err)
}

// MasterKeys implements store.KeyReader.
func (t *tx) MasterKeys(q store.KeyQuery) ([]*store.MasterKey, error) {
	list, err := all(t.session, scanMasterKey, selectMasterKey+` WHERE account = $1 AND region = $2 AND id > $3 ORDER BY id LIMIT $4`,
		q.Owner.Account, q.Owner.Region, q.After, pageSize(q.Limit))
	return list, place("list master keys", err)
}

// KeysDue implements store.KeyReader.
func (t *tx) KeysDue(limit int) ([]string, error) {
	list, err := all(t.session, value[string], `SELECT id FROM master_keys
		WHERE due IS NOT NULL AND due <= (SELECT @now) ORDER BY due, id LIMIT $1`, limit)
	return list, place("list due master keys", err)
}

// Setting implements store.KeyReader.
func (t *tx) Setting(name string) ([]byte, error) {
	b, err := one(t.session, value[[]byte], `SELECT value FROM settings WHERE name = $1`, name)
	return b, place("read setting "+name, err)
}

// masterKeyArgs are the columns that SaveMasterKey writes, after the id.
func masterKeyArgs(k *store.MasterKey) ([]any, error) {
	tags, err := tagColumn(k.Tags)
	due := micros(k.NextRotation)
	if at := micros(k.DeleteAt); at != 0 && (due == 0 || at < due) {
		due = at
	}
	return []any{
		k.State, k.Description, k.Policy, tags, micros(k.DeleteAt), k.RotationDays, micros(k.NextRotation),
		len(k.Versions) > 1, nullable(due, due != 0),
	}, err
}

// InsertMasterKey implements store.KeyWriter.
func (t *tx) InsertMasterKey(k *store.MasterKey) error {
	args, err := masterKeyArgs(k)
	if err == nil {
		err = changed(t.session, lockstep.ErrExists, `INSERT INTO master_keys (id, state, description, policy, tags, delete_at,
			rotation_days, next_rotation, rotated, due, account, region, purpose, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING`,
			append(append([]any{k.ID}, args...), k.Account, k.Region, k.Purpose, micros(k.Created))...)
	}
	if err == nil {
		err = t.saveKeyVersions(k)
	}
	return place("insert master key "+k.ID, err)
}

// SaveMasterKey implements store.KeyWriter. A version that the store has and k
// has not stays: key material is never forgotten by accident.
func (t *tx) SaveMasterKey(k *store.MasterKey) error {
	args, err := masterKeyArgs(k)
	if err == nil {
		err = changed(t.session, lockstep.ErrNotFound, `UPDATE master_keys SET state = $2, description = $3, policy = $4, tags = $5,
			delete_at = $6, rotation_days = $7, next_rotation = $8, rotated = $9, due = $10 WHERE id = $1`,
			append([]any{k.ID}, args...)...)
	}
	if err == nil {
		err = t.saveKeyVersions(k)
	}
	return place("save master key "+k.ID, err)
}

// DeleteMasterKey implements store.KeyWriter. Versions and aliases go with the
// row.
func (t *tx) DeleteMasterKey(id string) error {
	err := changed(t.session, lockstep.ErrNotFound, `DELETE FROM master_keys WHERE id = $1`, id)
	return place("delete master key "+id, err)
}

func (t *tx) saveKeyVersions(k *store.MasterKey) error {
	for _, v := range k.Versions {
		_, err := t.exec(`INSERT INTO key_versions (master_key, number, root_id, wrapped, created) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (master_key, number) DO UPDATE SET root_id = excluded.root_id, wrapped = excluded.wrapped`,
			k.ID, v.Number, v.RootID, v.Wrapped, micros(v.Created))
		if err != nil {
			return err
		}
	}
	return nil
}

// SaveSetting implements store.KeyWriter.
func (t *tx) SaveSetting(name string, content []byte) error {
	if content == nil {
		content = []byte{}
	}
	_, err := t.exec(`INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, content)
	return place("save setting "+name, err)
}
