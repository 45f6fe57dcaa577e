package sqlstore

import (
	"time"

	"lockstep"
	"lockstep/store"
)

const selectRotators = `SELECT name, account, kind, target, ca, addresses, timeout, ` + sealedColumns + `, created_by, created FROM rotators`

func scanRotator(r row) (*store.Rotator, error) {
	rot, sealed, timeout := &store.Rotator{}, sealedInto{}, int64(0)
	dest := append([]any{&rot.Name, &rot.Account, &rot.Kind, &rot.Target, &rot.CA, jsonInto{&rot.Addresses}, &timeout}, sealed.dest()...)
	err := r.Scan(append(dest, &rot.CreatedBy, timeInto{&rot.Created})...)
	rot.Timeout, rot.Key = time.Duration(timeout)*time.Microsecond, sealed.sealed()
	return rot, err
}

// Rotator implements store.RotatorReader.
func (t *tx) Rotator(name string) (*store.Rotator, error) {
	r, err := one(t.session, scanRotator, selectRotators+` WHERE name = $1`, name)
	return r, place("read rotator "+name, err)
}

// Rotators implements store.RotatorReader.
func (t *tx) Rotators(q store.NameQuery) ([]*store.Rotator, error) {
	l, err := all(t.session, scanRotator, selectRotators+` WHERE account = $1 AND name @bytes > $2 ORDER BY name @bytes LIMIT $3`,
		q.Account, q.After, q.Limit)
	return l, place("list rotators", err)
}

// RotatorUsers implements store.RotatorReader.
func (t *tx) RotatorUsers(account lockstep.AccountID, name string, limit int) ([]lockstep.ARN, error) {
	l, err := all(t.session, value[lockstep.ARN], `SELECT arn FROM secrets
		WHERE account = $1 AND @rotator = $2 AND @custom AND NOT gone
		UNION SELECT arn FROM secrets
		WHERE account = $1 AND @rotator = $2 AND @recipe AND NOT gone ORDER BY arn LIMIT $3`, account, name, limit)
	return l, place("list secrets of rotator "+name, err)
}

// InsertRotator implements store.RotatorWriter.
func (t *tx) InsertRotator(r *store.Rotator) error {
	addresses, err := jsonText(r.Addresses)
	if err == nil {
		args := append([]any{r.Name, r.Account, r.Kind, r.Target, r.CA, nullable(addresses, r.Addresses != nil), r.Timeout.Microseconds()}, sealedArgs(r.Key)...)
		err = changed(t.session, lockstep.ErrExists, `INSERT INTO rotators (name, account, kind, target, ca, addresses, timeout, `+sealedColumns+`, created_by, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (name) DO NOTHING`,
			append(args, r.CreatedBy, micros(r.Created))...)
	}
	return place("insert rotator "+r.Name, err)
}

// DeleteRotator implements store.RotatorWriter.
func (t *tx) DeleteRotator(name string) error {
	return place("delete rotator "+name, changed(t.session, lockstep.ErrNotFound, `DELETE FROM rotators WHERE name = $1`, name))
}
