package sqlstore

import (
	"lockstep"
	"lockstep/store"
)

func scanUser(r row) (*store.User, error) {
	u := &store.User{}
	err := r.Scan(&u.ARN, &u.Account, &u.Name, timeInto{&u.Created})
	return u, err
}

func scanAccessKey(r row) (*store.AccessKey, error) {
	k, sealed := &store.AccessKey{}, sealedInto{}
	err := r.Scan(append(append([]any{&k.ID, &k.UserARN}, sealed.dest()...), &k.Active, timeInto{&k.Created})...)
	k.Secret = sealed.sealed()
	return k, err
}

// User implements store.IdentityReader.
func (t *tx) User(arn string) (*store.User, error) {
	u, err := one(t.session, scanUser, `SELECT arn, account, name, created FROM users WHERE arn = $1`, arn)
	return u, place("read user "+arn, err)
}

// AccessKey implements store.IdentityReader.
func (t *tx) AccessKey(id string) (*store.AccessKey, error) {
	k, err := one(t.session, scanAccessKey, `SELECT id, user_arn, `+sealedColumns+`, active, created
		FROM access_keys WHERE id = $1`, id)
	return k, place("read access key "+id, err)
}

// InsertUser implements store.IdentityWriter.
func (t *tx) InsertUser(u *store.User) error {
	err := changed(t.session, lockstep.ErrExists, `INSERT INTO users (arn, account, name, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (arn) DO NOTHING`, u.ARN, u.Account, u.Name, micros(u.Created))
	return place("insert user "+u.ARN, err)
}

// InsertAccessKey implements store.IdentityWriter. ErrNotFound if there is no
// such User.
func (t *tx) InsertAccessKey(k *store.AccessKey) error {
	args := append([]any{k.ID, k.UserARN}, sealedArgs(k.Secret)...)
	there, err := exists(t.session, `SELECT 1 FROM users WHERE arn = $1`, k.UserARN)
	if err == nil && !there {
		err = lockstep.ErrNotFound
	}
	if err == nil {
		err = changed(t.session, lockstep.ErrExists, `INSERT INTO access_keys (id, user_arn, `+sealedColumns+`, active, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
			append(args, k.Active, micros(k.Created))...)
	}
	return place("insert access key "+k.ID, err)
}

// SaveAccessKey implements store.IdentityWriter.
func (t *tx) SaveAccessKey(k *store.AccessKey) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE access_keys SET active = $2 WHERE id = $1`, k.ID, k.Active)
	return place("save access key "+k.ID, err)
}

// DeleteAccessKey implements store.IdentityWriter.
func (t *tx) DeleteAccessKey(id string) error {
	err := changed(t.session, lockstep.ErrNotFound, `DELETE FROM access_keys WHERE id = $1`, id)
	return place("delete access key "+id, err)
}
