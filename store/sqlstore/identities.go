package sqlstore

import (
	"cmp"
	"slices"

	"lockstep"
	"lockstep/store"
)

const (
	selectUsers  = `SELECT arn, account, name, tags, boundary, created FROM users`
	selectKeys   = `SELECT id, user_arn, ` + sealedColumns + `, active, created FROM access_keys`
	selectGroups = `SELECT arn, account, name, created FROM user_groups`
)

func scanUser(r row) (*store.User, error) {
	u := &store.User{}
	err := r.Scan(&u.ARN, &u.Account, &u.Name, jsonInto{&u.Tags}, &u.Boundary, timeInto{&u.Created})
	return u, err
}

func scanAccessKey(r row) (*store.AccessKey, error) {
	k, sealed := &store.AccessKey{}, sealedInto{}
	err := r.Scan(append(append([]any{&k.ID, &k.UserARN}, sealed.dest()...), &k.Active, timeInto{&k.Created})...)
	k.Secret = sealed.sealed()
	return k, err
}

func scanGroup(r row) (*store.Group, error) {
	g := &store.Group{}
	err := r.Scan(&g.ARN, &g.Account, &g.Name, timeInto{&g.Created})
	return g, err
}

// tagColumn is NULL for no tags.
func tagColumn(tags []lockstep.Tag) (any, error) {
	text, err := jsonText(tags)
	return nullable(text, tags != nil), err
}

// User implements store.UserReader.
func (t *tx) User(arn string) (*store.User, error) {
	u, err := one(t.session, scanUser, selectUsers+` WHERE arn = $1`, arn)
	return u, place("read user "+arn, err)
}

// Users implements store.UserReader.
func (t *tx) Users(q store.NameQuery) ([]*store.User, error) {
	l, err := all(t.session, scanUser, selectUsers+` WHERE account = $1 AND name @bytes > $2 ORDER BY name @bytes LIMIT $3`,
		q.Account, q.After, q.Limit)
	return l, place("list users", err)
}

// AccessKey implements store.UserReader.
func (t *tx) AccessKey(id string) (*store.AccessKey, error) {
	k, err := one(t.session, scanAccessKey, selectKeys+` WHERE id = $1`, id)
	return k, place("read access key "+id, err)
}

// AccessKeys implements store.UserReader.
func (t *tx) AccessKeys(userARN string) ([]*store.AccessKey, error) {
	l, err := all(t.session, scanAccessKey, selectKeys+` WHERE user_arn = $1`, userARN)
	slices.SortFunc(l, func(a, b *store.AccessKey) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return l, place("list access keys of "+userARN, err)
}

// InsertUser implements store.UserWriter.
func (t *tx) InsertUser(u *store.User) error {
	tags, err := tagColumn(u.Tags)
	if err == nil {
		err = changed(t.session, lockstep.ErrExists, `INSERT INTO users (arn, account, name, tags, boundary, created)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (arn) DO NOTHING`,
			u.ARN, u.Account, u.Name, tags, u.Boundary, micros(u.Created))
	}
	return place("insert user "+u.ARN, err)
}

// SaveUser implements store.UserWriter.
func (t *tx) SaveUser(u *store.User) error {
	tags, err := tagColumn(u.Tags)
	if err == nil {
		err = changed(t.session, lockstep.ErrNotFound, `UPDATE users SET tags = $2, boundary = $3 WHERE arn = $1`, u.ARN, tags, u.Boundary)
	}
	return place("save user "+u.ARN, err)
}

// DeleteUser implements store.UserWriter. Keys and memberships go with the row.
func (t *tx) DeleteUser(arn string) error {
	return place("delete user "+arn, t.deleteHolder(`DELETE FROM users WHERE arn = $1`, arn))
}

// deleteHolder deletes what policies hang on, and its attachments.
func (t *tx) deleteHolder(query, arn string) error {
	if err := changed(t.session, lockstep.ErrNotFound, query, arn); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM attachments WHERE holder = $1`, arn)
	return err
}

// InsertAccessKey implements store.UserWriter.
func (t *tx) InsertAccessKey(k *store.AccessKey) error {
	args := append([]any{k.ID, k.UserARN}, sealedArgs(k.Secret)...)
	err := t.must(`SELECT 1 FROM users WHERE arn = $1`, k.UserARN)
	if err == nil {
		err = changed(t.session, lockstep.ErrExists, `INSERT INTO access_keys (id, user_arn, `+sealedColumns+`, active, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
			append(args, k.Active, micros(k.Created))...)
	}
	return place("insert access key "+k.ID, err)
}

// must is ErrNotFound unless the query has a row.
func (t *tx) must(query string, args ...any) error {
	there, err := exists(t.session, query, args...)
	if err == nil && !there {
		return lockstep.ErrNotFound
	}
	return err
}

// SaveAccessKey implements store.UserWriter.
func (t *tx) SaveAccessKey(k *store.AccessKey) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE access_keys SET active = $2 WHERE id = $1`, k.ID, k.Active)
	return place("save access key "+k.ID, err)
}

// DeleteAccessKey implements store.UserWriter.
func (t *tx) DeleteAccessKey(id string) error {
	err := changed(t.session, lockstep.ErrNotFound, `DELETE FROM access_keys WHERE id = $1`, id)
	return place("delete access key "+id, err)
}

// Group implements store.GroupReader.
func (t *tx) Group(arn string) (*store.Group, error) {
	g, err := one(t.session, scanGroup, selectGroups+` WHERE arn = $1`, arn)
	return g, place("read group "+arn, err)
}

// Groups implements store.GroupReader.
func (t *tx) Groups(q store.NameQuery) ([]*store.Group, error) {
	l, err := all(t.session, scanGroup, selectGroups+` WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3`, q.Account, q.After, q.Limit)
	return l, place("list groups", err)
}

// GroupsOf implements store.GroupReader.
func (t *tx) GroupsOf(userARN string) ([]string, error) {
	l, err := all(t.session, value[string], `SELECT group_arn FROM members WHERE user_arn = $1 ORDER BY group_arn`, userARN)
	return l, place("list groups of "+userARN, err)
}

// Members implements store.GroupReader.
func (t *tx) Members(groupARN string) ([]string, error) {
	l, err := all(t.session, value[string], `SELECT user_arn FROM members WHERE group_arn = $1 ORDER BY user_arn`, groupARN)
	return l, place("list members of "+groupARN, err)
}

// InsertGroup implements store.GroupWriter.
func (t *tx) InsertGroup(g *store.Group) error {
	err := changed(t.session, lockstep.ErrExists, `INSERT INTO user_groups (arn, account, name, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (arn) DO NOTHING`, g.ARN, g.Account, g.Name, micros(g.Created))
	return place("insert group "+g.ARN, err)
}

// DeleteGroup implements store.GroupWriter. Memberships go with the row.
func (t *tx) DeleteGroup(arn string) error {
	return place("delete group "+arn, t.deleteHolder(`DELETE FROM user_groups WHERE arn = $1`, arn))
}

// AddMember implements store.GroupWriter.
func (t *tx) AddMember(groupARN, userARN string) error {
	err := t.must(`SELECT 1 FROM users WHERE arn = $1`, userARN)
	if err == nil {
		err = t.must(`SELECT 1 FROM user_groups WHERE arn = $1`, groupARN)
	}
	if err == nil {
		_, err = t.exec(`INSERT INTO members (group_arn, user_arn) VALUES ($1, $2) ON CONFLICT DO NOTHING`, groupARN, userARN)
	}
	return place("add "+userARN+" to "+groupARN, err)
}

// RemoveMember implements store.GroupWriter.
func (t *tx) RemoveMember(groupARN, userARN string) error {
	err := changed(t.session, lockstep.ErrNotFound, `DELETE FROM members WHERE group_arn = $1 AND user_arn = $2`, groupARN, userARN)
	return place("remove "+userARN+" from "+groupARN, err)
}
