package sqlstore

import (
	"fmt"
	"strconv"

	"lockstep"
	"lockstep/store"
)

// KeyUse implements store.KeyReader.
func (t *tx) KeyUse(id string) (store.KeyUse, error) {
	u, err := one(t.session, func(r row) (u store.KeyUse, err error) {
		err = r.Scan(&u.Secrets, &u.DataKeys, &u.Stale)
		return u, err
	}, `WITH newest AS (SELECT coalesce(max(number), 0) AS number FROM key_versions WHERE master_key = $1),
		data AS (
			SELECT key_version FROM versions WHERE key_id = $1 AND key_id <> ''
			UNION ALL SELECT key_version FROM refused WHERE key_id = $1
			UNION ALL SELECT key_version FROM access_keys WHERE key_id = $1 AND key_id <> '')
		SELECT
			(SELECT count(*) FROM (
				SELECT secret FROM versions WHERE key_id = $1 AND key_id <> ''
				UNION SELECT s.id FROM secrets s WHERE s.kms_key_id <> '' AND NOT s.gone AND (s.kms_key_id = $1 OR s.kms_key_id IN (
					SELECT 'arn:aws:kms:' || k.region || ':' || k.account || ':key/' || k.id FROM master_keys k WHERE k.id = $1
					UNION ALL SELECT a.name FROM key_aliases a WHERE a.master_key = $1 AND a.account = s.account AND a.region = s.region
					UNION ALL SELECT 'arn:aws:kms:' || a.region || ':' || a.account || ':' || a.name FROM key_aliases a WHERE a.master_key = $1))
				) named),
			(SELECT count(*) FROM data),
			(SELECT count(*) FROM data, newest WHERE data.key_version < newest.number)`, id)
	return u, place("count what master key "+id+" wraps", err)
}

// KeysToRewrap implements store.KeyReader.
func (t *tx) KeysToRewrap(after string, limit int) ([]string, error) {
	const newest = `(SELECT max(n.number) FROM key_versions n WHERE n.master_key = k.id)`
	list, err := all(t.session, value[string], `SELECT k.id FROM master_keys k WHERE k.rotated AND k.id > $1 AND (
		EXISTS (SELECT 1 FROM versions d WHERE d.key_id = k.id AND d.key_id <> '' AND d.key_version < `+newest+`)
		OR EXISTS (SELECT 1 FROM refused d WHERE d.key_id = k.id AND d.key_version < `+newest+`)
		OR EXISTS (SELECT 1 FROM access_keys d WHERE d.key_id = k.id AND d.key_id <> '' AND d.key_version < `+newest+`))
		ORDER BY k.id LIMIT $2`, after, limit)
	return list, place("list master keys with data keys to re-wrap", err)
}

// dataTables say how each kind is read and written: columns row, arn, version;
// the cursor's column is compared as a number or as a text.
const (
	selectDataVersions = `SELECT d.num, s.arn, d.id, d.key_version, d.wrapped_key FROM versions d JOIN secrets s ON s.id = d.secret
		WHERE d.key_id = $1 AND d.key_id <> '' AND d.key_version < $2 AND (d.key_version, d.num) > ($3, $4)
		ORDER BY d.key_version, d.num LIMIT $5`
	selectDataRefused = `SELECT d.num, s.arn, d.version, d.key_version, d.wrapped_key FROM refused d JOIN secrets s ON s.id = d.secret
		WHERE d.key_id = $1 AND d.key_version < $2 AND (d.key_version, d.num) > ($3, $4)
		ORDER BY d.key_version, d.num LIMIT $5`
	selectDataAccessKeys = `SELECT d.id, d.user_arn, d.id, d.key_version, d.wrapped_key FROM access_keys d
		WHERE d.key_id = $1 AND d.key_id <> '' AND d.key_version < $2 AND (d.key_version, d.id) > ($3, $4)
		ORDER BY d.key_version, d.id LIMIT $5`
)

// DataKeys implements store.KeyReader.
func (t *tx) DataKeys(q store.DataKeyQuery) ([]*store.DataKey, error) {
	doing := "list data keys of master key " + q.KeyID
	query, after, err := dataQuery(q)
	if err != nil {
		return nil, place(doing, err)
	}
	from := 0
	if q.After != nil {
		from = q.After.KeyVersion
	}
	list, err := all(t.session, func(r row) (*store.DataKey, error) {
		d := &store.DataKey{Kind: q.Kind}
		err := r.Scan(rowInto{&d.Row}, &d.ARN, &d.Version, &d.KeyVersion, &d.Wrapped)
		return d, err
	}, query, q.KeyID, q.Below, from, after, pageSize(q.Limit))
	return list, place(doing, err)
}

// dataQuery is the statement for a kind and the cursor's row.
func dataQuery(q store.DataKeyQuery) (query string, after any, err error) {
	if q.Kind == store.DataAccessKey {
		if q.After == nil {
			return selectDataAccessKeys, "", nil
		}
		return selectDataAccessKeys, q.After.Row, nil
	}
	num := int64(0)
	if q.After != nil {
		if num, err = strconv.ParseInt(q.After.Row, 10, 64); err != nil {
			return "", nil, fmt.Errorf("row %q: %w", q.After.Row, lockstep.ErrInvalid)
		}
	}
	switch q.Kind {
	case store.DataVersion:
		return selectDataVersions, num, nil
	case store.DataRefused:
		return selectDataRefused, num, nil
	}
	return "", nil, fmt.Errorf("kind %q: %w", q.Kind, lockstep.ErrInvalid)
}

// rowInto scans a row's number or id as text.
type rowInto struct{ s *string }

// Scan implements sql.Scanner.
func (d rowInto) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		*d.s = strconv.FormatInt(v, 10)
	case string:
		*d.s = v
	case []byte:
		*d.s = string(v)
	default:
		return fmt.Errorf("read a row's name from a column of type %T: %w", src, lockstep.ErrInvalid)
	}
	return nil
}

// RewrapDataKey implements store.KeyWriter.
func (t *tx) RewrapDataKey(keyID string, d *store.DataKey, to store.KeyVersion) error {
	const set = ` SET key_version = $4, wrapped_key = $5 WHERE key_id = $1 AND key_version = $2 AND wrapped_key = $3 AND `
	args := []any{keyID, d.KeyVersion, d.Wrapped, to.Number, to.Wrapped}
	doing := fmt.Sprintf("re-wrap data key of %s %s", d.Kind, d.Row)
	if d.Kind == store.DataAccessKey {
		_, err := t.exec(`UPDATE access_keys`+set+`id = $6`, append(args, d.Row)...)
		return place(doing, err)
	}
	num, err := strconv.ParseInt(d.Row, 10, 64)
	if err != nil {
		return place(doing, fmt.Errorf("row %q: %w", d.Row, lockstep.ErrInvalid))
	}
	switch d.Kind {
	case store.DataVersion:
		_, err = t.exec(`UPDATE versions`+set+`num = $6`, append(args, num)...)
	case store.DataRefused:
		_, err = t.exec(`UPDATE refused`+set+`num = $6`, append(args, num)...)
	default:
		err = fmt.Errorf("kind %q: %w", d.Kind, lockstep.ErrInvalid)
	}
	return place(doing, err)
}

// KeysNotUnder implements store.KeyReader.
func (t *tx) KeysNotUnder(rootID, after string, limit int) ([]string, error) {
	list, err := all(t.session, value[string], `SELECT DISTINCT master_key FROM key_versions
		WHERE root_id <> $1 AND master_key > $2 ORDER BY master_key LIMIT $3`, rootID, after, limit)
	return list, place("list master keys under another root key", err)
}

// VersionsNotUnder implements store.KeyReader.
func (t *tx) VersionsNotUnder(rootID string) (int, error) {
	n, err := one(t.session, value[int], `SELECT count(*) FROM key_versions WHERE root_id <> $1`, rootID)
	return n, place("count master keys under another root key", err)
}
