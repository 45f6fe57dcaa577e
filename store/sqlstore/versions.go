package sqlstore

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

const versionColumns = `v.secret, v.id, v.created, v.accessed,
	v.key_id, v.key_version, v.wrapped_key, v.ciphertext, v.is_binary, v.digest,
	v.account_key, v.maybe_live, v.retirement, v.retire_at, v.retire_retry_at, v.retire_attempts, v.retire_reason, v.expires, v.admin_ref`

func scanVersion(r row) (*lockstep.Version, error) {
	v, sealed := &lockstep.Version{}, sealedInto{}
	dest := []any{&v.Secret, &v.ID, timeInto{&v.Created}, timeInto{&v.Accessed}}
	dest = append(dest, sealed.dest()...)
	err := r.Scan(append(dest, &v.Account, &v.MaybeLive, &v.Retirement, timeInto{&v.RetireAt},
		timeInto{&v.RetireRetryAt}, &v.RetireAttempts, &v.RetireReason, timeInto{&v.Expires}, &v.AdminRef)...)
	v.Sealed = sealed.sealed()
	return v, err
}

// versionArgs are the columns from secret to admin_ref, without accessed.
func versionArgs(v *lockstep.Version) []any {
	args := append([]any{v.Secret, v.ID, micros(v.Created)}, sealedArgs(v.Sealed)...)
	// A time in 1970 stands for "at once": NULL would mean "never".
	due := max(micros(v.RetireAt), micros(v.RetireRetryAt), 1)
	return append(args, v.Account, v.MaybeLive, v.Retirement, micros(v.RetireAt), micros(v.RetireRetryAt),
		v.RetireAttempts, v.RetireReason, nullable(due, v.Retirement.Blocks()), micros(v.Expires), v.AdminRef)
}

// Version implements store.VersionReader.
func (t *tx) Version(id lockstep.SecretID, v lockstep.VersionID) (*lockstep.Version, error) {
	ver, err := one(t.session, scanVersion, `SELECT `+versionColumns+` FROM versions v WHERE v.secret = $1 AND v.id = $2`, id, v)
	return ver, place(fmt.Sprintf("read version %s of secret %d", v, id), err)
}

// Versions implements store.VersionReader.
func (t *tx) Versions(id lockstep.SecretID) ([]*lockstep.Version, error) {
	list, err := all(t.session, scanVersion, `SELECT `+versionColumns+` FROM versions v
		WHERE v.secret = $1 ORDER BY v.created, v.num`, id)
	return list, place(fmt.Sprintf("list versions of secret %d", id), err)
}

// LiveVersions implements store.VersionReader. Oldest first.
func (t *tx) LiveVersions(id lockstep.SecretID) ([]*lockstep.Version, error) {
	list, err := all(t.session, scanVersion, `SELECT `+versionColumns+` FROM versions v
		WHERE v.secret = $1 AND v.maybe_live ORDER BY v.created, v.num`, id)
	return list, place(fmt.Sprintf("list live versions of secret %d", id), err)
}

// placed is one row of labels.
type placed struct {
	stage   lockstep.Stage
	version lockstep.VersionID
}

func scanPlaced(r row) (placed, error) {
	var p placed
	err := r.Scan(&p.stage, &p.version)
	return p, err
}

// Stages implements store.VersionReader.
func (t *tx) Stages(id lockstep.SecretID) (lockstep.Stages, error) {
	list, err := all(t.session, scanPlaced, `SELECT stage, version FROM stages WHERE secret = $1`, id)
	if err != nil {
		return nil, place(fmt.Sprintf("read stages of secret %d", id), err)
	}
	out := make(lockstep.Stages, len(list))
	for _, p := range list {
		out[p.stage] = p.version
	}
	t.keepStages(id, out)
	return out, nil
}

// keepStages remembers the labels of a Secret, if this transaction keeps every
// other writer off it.
func (t *tx) keepStages(id lockstep.SecretID, s lockstep.Stages) {
	if _, locked := t.marks[id]; !locked {
		return
	}
	if t.stages == nil {
		t.stages = make(map[lockstep.SecretID]lockstep.Stages)
	}
	t.stages[id] = s.Clone()
}

// knownStages are the labels as they stand in the database.
func (t *tx) knownStages(id lockstep.SecretID) (lockstep.Stages, error) {
	if known, ok := t.stages[id]; ok {
		delete(t.stages, id) // until they are written
		return known, nil
	}
	return t.Stages(id)
}

// retirable joins a Version that waits for its retirement with its Secret and
// Slot, and leaves out what is at work or queued already.
const retirable = ` FROM versions v JOIN secrets s ON s.id = v.secret JOIN slots l ON l.secret = v.secret
	WHERE v.retire_due IS NOT NULL AND v.retire_due <= (SELECT @now) AND NOT s.gone AND s.delete_at = 0
	AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.secret = v.secret AND j.kind = 'retire')`

// DueRetirements implements store.VersionReader.
func (t *tx) DueRetirements(limit int) ([]*lockstep.Version, error) {
	list, err := all(t.session, scanVersion, `SELECT `+versionColumns+retirable+`
		AND (l.holder = '' OR l.expires <= (SELECT @now)) ORDER BY v.retire_due, v.num LIMIT $1`, limit)
	return list, place("list due retirements", err)
}

// NextRetirement implements store.VersionReader. What is due already counts
// from the end of the lease that is in its way.
func (t *tx) NextRetirement() (time.Time, error) {
	later, err := one(t.session, orZero, `SELECT min(retire_due) FROM versions
		WHERE retire_due IS NOT NULL AND retire_due > (SELECT @now)`)
	if err != nil {
		return time.Time{}, place("read the next retirement", err)
	}
	due, err := one(t.session, orZero, `SELECT min(CASE WHEN l.holder <> '' AND l.expires > v.retire_due
		THEN l.expires ELSE v.retire_due END)`+retirable)
	if due == 0 || later != 0 && later < due {
		due = later
	}
	return instant(due), place("read the next retirement", err)
}

// InsertVersion implements store.VersionWriter.
func (t *tx) InsertVersion(v *lockstep.Version) error {
	err := changed(t.session, lockstep.ErrExists, `INSERT INTO versions (secret, id, created,
		key_id, key_version, wrapped_key, ciphertext, is_binary, digest,
		account_key, maybe_live, retirement, retire_at, retire_retry_at, retire_attempts, retire_reason, retire_due, expires, admin_ref,
		accessed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
		ON CONFLICT (secret, id) DO NOTHING`, append(versionArgs(v), micros(v.Accessed))...)
	t.touchRetirement(v)
	return place(fmt.Sprintf("insert version %s of secret %d", v.ID, v.Secret), err)
}

func (t *tx) touchRetirement(v *lockstep.Version) {
	if v.Retirement.Blocks() {
		t.touch(store.TopicSchedule)
	}
}

// SaveVersion implements store.VersionWriter.
func (t *tx) SaveVersion(v *lockstep.Version) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE versions SET created = $3,
		key_id = $4, key_version = $5, wrapped_key = $6, ciphertext = $7, is_binary = $8, digest = $9,
		account_key = $10, maybe_live = $11, retirement = $12, retire_at = $13, retire_retry_at = $14,
		retire_attempts = $15, retire_reason = $16, retire_due = $17, expires = $18, admin_ref = $19
		WHERE secret = $1 AND id = $2`, versionArgs(v)...)
	t.touchRetirement(v)
	return place(fmt.Sprintf("save version %s of secret %d", v.ID, v.Secret), err)
}

// DeleteVersion implements store.VersionWriter. ErrConflict if a label stands
// on it.
func (t *tx) DeleteVersion(id lockstep.SecretID, v lockstep.VersionID) error {
	doing := fmt.Sprintf("delete version %s of secret %d", v, id)
	labelled, err := exists(t.session, `SELECT 1 FROM stages WHERE secret = $1 AND version = $2`, id, v)
	switch {
	case err != nil:
		return place(doing, err)
	case labelled:
		return fmt.Errorf("%s: it has a label: %w", doing, lockstep.ErrConflict)
	}
	err = t.DropRefused(id, v)
	if err == nil {
		err = changed(t.session, lockstep.ErrNotFound, `DELETE FROM versions WHERE secret = $1 AND id = $2`, id, v)
	}
	return place(doing, err)
}

// PruneVersions implements store.VersionWriter. A Version that waits for its
// retirement, or that an open Run started from, stays as well.
func (t *tx) PruneVersions(id lockstep.SecretID, keep int, newest time.Time) (int, error) {
	n, err := t.exec(`DELETE FROM versions WHERE num IN (
		SELECT v.num FROM versions v
		JOIN (SELECT u.num FROM versions u WHERE u.secret = $1
			AND NOT EXISTS (SELECT 1 FROM stages g WHERE g.secret = u.secret AND g.version = u.id)
			ORDER BY u.created DESC, u.num DESC LIMIT 1000000000 OFFSET $2) extra ON extra.num = v.num
		WHERE NOT v.maybe_live AND v.retire_due IS NULL AND v.created <= $3
		AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.secret = $1 AND r.is_open AND (r.version = v.id OR r.base = v.id)))`,
		id, keep, micros(newest))
	return int(n), place(fmt.Sprintf("prune versions of secret %d", id), err)
}

// SaveStages implements store.VersionWriter. Only the labels that moved are
// written. ErrNotFound if one stands on a Version that does not exist.
func (t *tx) SaveStages(id lockstep.SecretID, s lockstep.Stages) error {
	doing := fmt.Sprintf("save stages of secret %d", id)
	old, err := t.knownStages(id)
	if err != nil {
		return place(doing, err)
	}
	for stage := range old {
		if _, stays := s[stage]; stays {
			continue
		}
		if _, err := t.exec(`DELETE FROM stages WHERE secret = $1 AND stage = $2`, id, stage); err != nil {
			return place(doing, err)
		}
	}
	for stage, version := range s {
		if old[stage] == version {
			continue
		}
		err := changed(t.session, lockstep.ErrNotFound, `INSERT INTO stages (secret, stage, version)
			SELECT v.secret, $2, v.id FROM versions v WHERE v.secret = $1 AND v.id = $3
			ON CONFLICT (secret, stage) DO UPDATE SET version = excluded.version`, id, stage, version)
		if err != nil {
			return place(fmt.Sprintf("%s: %s on version %s", doing, stage, version), err)
		}
	}
	t.keepStages(id, s)
	return nil
}

// AddRefused implements store.VersionWriter.
func (t *tx) AddRefused(id lockstep.SecretID, v lockstep.VersionID, sealed *lockstep.Sealed) error {
	if sealed == nil {
		return fmt.Errorf("keep refused value of version %s: there is none: %w", v, lockstep.ErrInvalid)
	}
	_, err := t.exec(`INSERT INTO refused (secret, version, `+sealedColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		append([]any{id, v}, sealedArgs(sealed)...)...)
	return place(fmt.Sprintf("keep refused value of version %s", v), err)
}

// DropRefused implements store.VersionWriter.
func (t *tx) DropRefused(id lockstep.SecretID, v lockstep.VersionID) error {
	_, err := t.exec(`DELETE FROM refused WHERE secret = $1 AND version = $2`, id, v)
	return place(fmt.Sprintf("drop refused values of version %s", v), err)
}
