package sqlstore

import (
	"slices"
	"strings"

	"lockstep"
	"lockstep/store"
)

const (
	selectRoles    = `SELECT arn, account, name, description, trust, tags, boundary, created FROM roles`
	policyColumns  = `arn, account, name, description, document, created, changed`
	selectPolicies = `SELECT ` + policyColumns + ` FROM policies`
)

func scanRole(r row) (*store.Role, error) {
	o := &store.Role{}
	err := r.Scan(&o.ARN, &o.Account, &o.Name, &o.Description, &o.Trust, jsonInto{&o.Tags}, &o.Boundary, timeInto{&o.Created})
	return o, err
}

func scanPolicy(r row) (*store.Policy, error) {
	p := &store.Policy{}
	err := r.Scan(&p.ARN, &p.Account, &p.Name, &p.Description, &p.Document, timeInto{&p.Created}, timeInto{&p.Changed})
	return p, err
}

// Role implements store.RoleReader.
func (t *tx) Role(arn string) (*store.Role, error) {
	r, err := one(t.session, scanRole, selectRoles+` WHERE arn = $1`, arn)
	return r, place("read role "+arn, err)
}

// Roles implements store.RoleReader.
func (t *tx) Roles(q store.NameQuery) ([]*store.Role, error) {
	l, err := all(t.session, scanRole, selectRoles+` WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3`, q.Account, q.After, q.Limit)
	return l, place("list roles", err)
}

// InsertRole implements store.RoleWriter.
func (t *tx) InsertRole(r *store.Role) error {
	tags, err := tagColumn(r.Tags)
	if err == nil {
		err = changed(t.session, lockstep.ErrExists, `INSERT INTO roles (arn, account, name, description, trust, tags, boundary, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (arn) DO NOTHING`,
			r.ARN, r.Account, r.Name, r.Description, r.Trust, tags, r.Boundary, micros(r.Created))
	}
	return place("insert role "+r.ARN, err)
}

// SaveRole implements store.RoleWriter.
func (t *tx) SaveRole(r *store.Role) error {
	tags, err := tagColumn(r.Tags)
	if err == nil {
		err = changed(t.session, lockstep.ErrNotFound, `UPDATE roles SET description = $2, trust = $3, tags = $4, boundary = $5 WHERE arn = $1`,
			r.ARN, r.Description, r.Trust, tags, r.Boundary)
	}
	return place("save role "+r.ARN, err)
}

// DeleteRole implements store.RoleWriter.
func (t *tx) DeleteRole(arn string) error {
	return place("delete role "+arn, t.deleteHolder(`DELETE FROM roles WHERE arn = $1`, arn))
}

// Policy implements store.PolicyReader.
func (t *tx) Policy(arn string) (*store.Policy, error) {
	p, err := one(t.session, scanPolicy, selectPolicies+` WHERE arn = $1`, arn)
	return p, place("read policy "+arn, err)
}

// Policies implements store.PolicyReader.
func (t *tx) Policies(q store.NameQuery) ([]*store.Policy, error) {
	l, err := all(t.session, scanPolicy, selectPolicies+` WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3`, q.Account, q.After, q.Limit)
	return l, place("list policies", err)
}

// Attached implements store.PolicyReader.
func (t *tx) Attached(holderARN string) ([]*store.Policy, error) {
	l, err := all(t.session, scanPolicy, `SELECT `+policyColumns+` FROM attachments JOIN policies ON arn = policy
		WHERE holder = $1 ORDER BY policy`, holderARN)
	return l, place("read policies of "+holderARN, err)
}

// Holders implements store.PolicyReader.
func (t *tx) Holders(policyARN string) ([]string, error) {
	l, err := all(t.session, value[string], `SELECT holder FROM attachments WHERE policy = $1
		UNION ALL SELECT arn FROM users WHERE boundary = $1 AND boundary <> ''
		UNION ALL SELECT arn FROM roles WHERE boundary = $1 AND boundary <> ''`, policyARN)
	slices.Sort(l)
	return slices.Compact(l), place("list holders of "+policyARN, err)
}

// InsertPolicy implements store.PolicyWriter.
func (t *tx) InsertPolicy(p *store.Policy) error {
	err := changed(t.session, lockstep.ErrExists, `INSERT INTO policies (`+policyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (arn) DO NOTHING`, p.ARN, p.Account, p.Name, p.Description, p.Document, micros(p.Created), micros(p.Changed))
	return place("insert policy "+p.ARN, err)
}

// SavePolicy implements store.PolicyWriter.
func (t *tx) SavePolicy(p *store.Policy) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE policies SET description = $2, document = $3, changed = $4 WHERE arn = $1`,
		p.ARN, p.Description, p.Document, micros(p.Changed))
	return place("save policy "+p.ARN, err)
}

// DeletePolicy implements store.PolicyWriter. The row is locked first, so that
// nobody hangs the policy on something meanwhile.
func (t *tx) DeletePolicy(arn string) error {
	return place("delete policy "+arn, t.deletePolicy(arn))
}

func (t *tx) deletePolicy(arn string) error {
	if err := t.must(`SELECT 1 FROM policies WHERE arn = $1 @lock`, arn); err != nil {
		return err
	}
	holders, err := t.Holders(arn)
	if err != nil {
		return err
	}
	if len(holders) > 0 {
		return lockstep.ErrState
	}
	return changed(t.session, lockstep.ErrNotFound, `DELETE FROM policies WHERE arn = $1`, arn)
}

// holderTable is where the holder of that ARN stands.
func holderTable(arn string) string {
	switch {
	case strings.Contains(arn, ":group/"):
		return "user_groups"
	case strings.Contains(arn, ":role/"):
		return "roles"
	default:
		return "users"
	}
}

// Attach implements store.PolicyWriter. Both rows are locked, so that neither
// goes meanwhile and leaves the attachment to a later one of the same name.
func (t *tx) Attach(holderARN, policyARN string) error {
	err := t.must(`SELECT 1 FROM `+holderTable(holderARN)+` WHERE arn = $1 @lock`, holderARN)
	if err == nil {
		err = t.must(`SELECT 1 FROM policies WHERE arn = $1 @lock`, policyARN)
	}
	if err == nil {
		_, err = t.exec(`INSERT INTO attachments (holder, policy) VALUES ($1, $2) ON CONFLICT DO NOTHING`, holderARN, policyARN)
	}
	return place("attach "+policyARN+" to "+holderARN, err)
}

// Detach implements store.PolicyWriter.
func (t *tx) Detach(holderARN, policyARN string) error {
	err := changed(t.session, lockstep.ErrNotFound, `DELETE FROM attachments WHERE holder = $1 AND policy = $2`, holderARN, policyARN)
	return place("detach "+policyARN+" from "+holderARN, err)
}
