package sqlstore

import (
	"lockstep"
	"lockstep/store"
)

const selectKeyAlias = `SELECT account, region, name, master_key, created, changed FROM key_aliases`

func scanKeyAlias(r row) (*store.KeyAlias, error) {
	a := &store.KeyAlias{}
	err := r.Scan(&a.Account, &a.Region, &a.Name, &a.KeyID, timeInto{&a.Created}, timeInto{&a.Changed})
	return a, err
}

// KeyAlias implements store.KeyReader.
func (t *tx) KeyAlias(owner store.Owner, name string) (*store.KeyAlias, error) {
	a, err := one(t.session, scanKeyAlias, selectKeyAlias+` WHERE account = $1 AND region = $2 AND name = $3`, owner.Account, owner.Region, name)
	return a, place("read key alias", err)
}

// KeyAliases implements store.KeyReader.
func (t *tx) KeyAliases(q store.KeyQuery) ([]*store.KeyAlias, error) {
	list, err := all(t.session, scanKeyAlias, selectKeyAlias+` WHERE account = $1 AND region = $2 AND name > $3
		AND ($4 = '' OR master_key = $4) ORDER BY name LIMIT $5`,
		q.Owner.Account, q.Owner.Region, q.After, q.KeyID, pageSize(q.Limit))
	return list, place("list key aliases", err)
}

// InsertKeyAlias implements store.KeyWriter.
func (t *tx) InsertKeyAlias(a *store.KeyAlias) error {
	err := changed(t.session, lockstep.ErrExists, `INSERT INTO key_aliases (account, region, name, master_key, created, changed)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		a.Account, a.Region, a.Name, a.KeyID, micros(a.Created), micros(a.Changed))
	return place("insert key alias", err)
}

// SaveKeyAlias implements store.KeyWriter.
func (t *tx) SaveKeyAlias(a *store.KeyAlias) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE key_aliases SET master_key = $4, changed = $5
		WHERE account = $1 AND region = $2 AND name = $3`, a.Account, a.Region, a.Name, a.KeyID, micros(a.Changed))
	return place("save key alias", err)
}

// DeleteKeyAlias implements store.KeyWriter.
func (t *tx) DeleteKeyAlias(owner store.Owner, name string) error {
	err := changed(t.session, lockstep.ErrNotFound, `DELETE FROM key_aliases WHERE account = $1 AND region = $2 AND name = $3`,
		owner.Account, owner.Region, name)
	return place("delete key alias", err)
}
