package sqlstore

import (
	"lockstep"
	"lockstep/store"
)

func scanMasterKey(r row) (*store.MasterKey, error) {
	k := &store.MasterKey{}
	err := r.Scan(&k.ID, &k.Account, &k.Region, &k.Purpose, &k.State, timeInto{&k.Created})
	return k, err
}

func scanKeyVersion(r row) (store.KeyVersion, error) {
	var v store.KeyVersion
	err := r.Scan(&v.Number, &v.RootID, &v.Wrapped, timeInto{&v.Created})
	return v, err
}

const selectMasterKey = `SELECT id, account, region, purpose, state, created FROM master_keys`

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

// Setting implements store.KeyReader.
func (t *tx) Setting(name string) ([]byte, error) {
	b, err := one(t.session, value[[]byte], `SELECT value FROM settings WHERE name = $1`, name)
	return b, place("read setting "+name, err)
}

// InsertMasterKey implements store.KeyWriter.
func (t *tx) InsertMasterKey(k *store.MasterKey) error {
	err := changed(t.session, lockstep.ErrExists, `INSERT INTO master_keys (id, account, region, purpose, state, created)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		k.ID, k.Account, k.Region, k.Purpose, k.State, micros(k.Created))
	if err == nil {
		err = t.saveKeyVersions(k)
	}
	return place("insert master key "+k.ID, err)
}

// SaveMasterKey implements store.KeyWriter. A version that the store has and k
// has not stays: key material is never forgotten by accident.
func (t *tx) SaveMasterKey(k *store.MasterKey) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE master_keys SET state = $2 WHERE id = $1`, k.ID, k.State)
	if err == nil {
		err = t.saveKeyVersions(k)
	}
	return place("save master key "+k.ID, err)
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
