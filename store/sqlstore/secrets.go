package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lockstep"
	"lockstep/store"
)

// #nosec G101 -- an SQL column list
const secretColumns = `id, account, region, name, arn, description, type, kms_key_id, tags, resource_policy,
	created, changed, accessed, delete_at, gone, primary_region, replicas, rotation,
	last_rotated, next_rotation, unverified, next_verify, target_key, admin_ref, event_seq`

func scanSecret(r row) (*lockstep.Secret, error) {
	s := &lockstep.Secret{}
	err := r.Scan(&s.ID, &s.Account, &s.Region, &s.Name, &s.ARN, &s.Description, &s.Type, &s.KMSKeyID,
		jsonInto{&s.Tags}, &s.ResourcePolicy,
		timeInto{&s.Created}, timeInto{&s.Changed}, timeInto{&s.Accessed}, timeInto{&s.DeleteAt}, &s.Gone,
		&s.PrimaryRegion, jsonInto{&s.Replicas}, jsonInto{&s.Rotation},
		timeInto{&s.LastRotated}, timeInto{&s.NextRotation}, &s.Unverified, timeInto{&s.NextVerify}, &s.Target, &s.AdminRef,
		&s.EventSeq)
	return s, err
}

// secretArgs are the columns that both insert and save write: account to
// unverified, then the derived ones.
func secretArgs(s *lockstep.Secret) ([]any, error) {
	tags, err := jsonText(s.Tags)
	if err != nil {
		return nil, err
	}
	replicas, err := jsonText(s.Replicas)
	if err != nil {
		return nil, err
	}
	rotation, err := jsonText(s.Rotation)
	if err != nil {
		return nil, err
	}
	due, drift, age := rotationDue(s), verifyDue(s), maxAge(s)
	purge := int64(1)
	if !s.Gone {
		purge = micros(s.DeleteAt)
	}
	return []any{
		s.Account, s.Region, s.Name, s.ARN, s.Description, s.Type, s.KMSKeyID,
		nullable(tags, s.Tags != nil), s.ResourcePolicy,
		micros(s.Created), micros(s.Changed), micros(s.Accessed), micros(s.DeleteAt), s.Gone,
		s.PrimaryRegion, nullable(replicas, s.Replicas != nil), nullable(rotation, s.Rotation != nil),
		micros(s.LastRotated), micros(s.NextRotation), s.Unverified,
		nullable(due, due != 0), nullable(purge, purge != 0),
		nullable(nameKey(store.Owner{Account: s.Account, Region: s.Region}, s.Name), !s.Gone),
		micros(s.NextVerify), s.Target, nullable(drift, drift != 0), rotates(s), nullable(age, age != 0),
		s.AdminRef,
	}, nil
}

// nameKey is what is unique about a name. Neither an account nor a region has a
// slash in it.
func nameKey(owner store.Owner, name string) string {
	return string(owner.Account) + "/" + string(owner.Region) + "/" + name
}

// rotates tells whether the engine acts on the Secret's target.
func rotates(s *lockstep.Secret) bool { return s.RotationEnabled() && !s.Deleted() }

// rotationDue is when the scheduler has to look at the Secret; 0 for never.
func rotationDue(s *lockstep.Secret) int64 {
	if !rotates(s) {
		return 0
	}
	return micros(s.NextRotation)
}

// verifyDue is when drift is looked for; 0 for never.
func verifyDue(s *lockstep.Secret) int64 {
	if !rotates(s) {
		return 0
	}
	return micros(s.NextVerify)
}

// maxAge is how old the Secret's credential may become; 0 for any age.
func maxAge(s *lockstep.Secret) int64 {
	if !rotates(s) {
		return 0
	}
	return s.Rotation.Schedule.MaxAge.Microseconds()
}

// Secret implements store.SecretReader.
func (t *tx) Secret(id lockstep.SecretID) (*lockstep.Secret, error) {
	s, err := one(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets WHERE id = $1`, id)
	return s, place(fmt.Sprintf("read secret %d", id), err)
}

// arnSuffix is the length of the dash and the six characters that end an ARN.
const arnSuffix = 7

// FindSecret implements store.SecretReader. As in AWS, what looks like a full
// ARN is taken for one: a partial ARN of a name that itself ends in a dash and
// six letters or digits finds nothing, rather than another Secret than meant.
func (t *tx) FindSecret(owner store.Owner, ref string) (*lockstep.Secret, error) {
	name, match := ref, func(lockstep.ARN) bool { return true }
	if arn, ok := lockstep.ParseSecretARN(ref); ok {
		name = arn.Resource
		match = func(a lockstep.ARN) bool {
			return len(a) == len(ref)+arnSuffix && strings.HasPrefix(string(a), ref+"-")
		}
		if endsLikeARN(name) {
			name = name[:len(name)-arnSuffix]
			match = func(a lockstep.ARN) bool { return string(a) == ref }
		}
	}
	s, err := one(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets
		WHERE name_key = $1`, nameKey(owner, name))
	if err == nil && !match(s.ARN) {
		s, err = nil, lockstep.ErrNotFound
	}
	return s, place("find secret "+ref, err)
}

func endsLikeARN(resource string) bool {
	cut := len(resource) - arnSuffix
	if cut <= 0 || resource[cut] != '-' {
		return false
	}
	for _, c := range resource[cut+1:] {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// NextDue implements store.SecretReader.
func (t *tx) NextDue() (time.Time, error) {
	n, err := one(t.session, orZero, `SELECT min(rotation_due) FROM secrets WHERE rotation_due IS NOT NULL`)
	return instant(n), place("read the next due rotation", err)
}

// AccountHolder implements store.SecretReader.
func (t *tx) AccountHolder(key lockstep.AccountKey) (lockstep.SecretID, error) {
	id, err := one(t.session, value[lockstep.SecretID], `SELECT secret FROM account_holds WHERE account_key = $1`, key)
	return id, place("read the holder of an account", err)
}

const noOpenRun = `NOT EXISTS (SELECT 1 FROM runs r WHERE r.secret = s.id AND r.is_open)`

// NextVerify implements store.SecretReader.
func (t *tx) NextVerify() (time.Time, error) {
	n, err := one(t.session, orZero, `SELECT min(verify_due) FROM secrets WHERE verify_due IS NOT NULL`)
	return instant(n), place("read the next due verify", err)
}

// HasMaxAge implements store.SecretReader.
func (t *tx) HasMaxAge(owner store.Owner, after lockstep.SecretID, limit int) ([]*lockstep.Secret, error) {
	list, err := all(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets
		WHERE account = $1 AND region = $2 AND id > $3 AND max_age IS NOT NULL ORDER BY id LIMIT $4`,
		owner.Account, owner.Region, after, limit)
	return list, place("list secrets with a maximum age", err)
}

// PurgeDue implements store.SecretReader.
func (t *tx) PurgeDue(limit int) ([]lockstep.SecretID, error) {
	ids, err := all(t.session, value[lockstep.SecretID], `SELECT s.id FROM secrets s
		WHERE s.purge_due IS NOT NULL AND s.purge_due <= (SELECT @now) AND `+noOpenRun+`
		AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.secret = s.id AND `+unsettledIntent+`)
		ORDER BY s.purge_due, s.id LIMIT $1`, limit)
	return ids, place("list secrets to purge", err)
}

// UnverifiedDue implements store.SecretReader.
func (t *tx) UnverifiedDue(limit int) ([]lockstep.SecretID, error) {
	ids, err := all(t.session, value[lockstep.SecretID], `SELECT s.id FROM secrets s JOIN slots l ON l.secret = s.id
		WHERE s.unverified AND s.rotates AND (l.holder = '' OR l.expires <= (SELECT @now))
		AND `+noOpenRun+`
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.secret = s.id AND j.kind = 'verify')
		AND NOT coalesce(@custom, FALSE)
		ORDER BY s.id LIMIT $1`, limit)
	return ids, place("list unverified secrets", err)
}

// LockSecret implements store.SecretWriter.
func (t *tx) LockSecret(id lockstep.SecretID) (*lockstep.Secret, error) {
	s, err := one(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets WHERE id = $1 @lock`, id)
	if err == nil {
		t.locked(s)
	}
	return s, place(fmt.Sprintf("lock secret %d", id), err)
}

// locked remembers a Secret that this transaction has just locked.
func (t *tx) locked(s *lockstep.Secret) {
	args, err := secretArgs(s)
	if err != nil {
		args = nil // a save says why it cannot be written
	}
	t.mark(s, args)
}

// mark remembers the columns of a Secret, and what the scheduler knows of it.
func (t *tx) mark(s *lockstep.Secret, args []any) {
	if t.marks == nil {
		t.marks = make(map[lockstep.SecretID]dueMark)
	}
	t.marks[s.ID] = dueMark{rotation: rotationDue(s), drift: verifyDue(s), unverified: s.Unverified, args: args}
}

// forget drops what this transaction knows of a Secret.
func (t *tx) forget(id lockstep.SecretID) {
	delete(t.marks, id)
	delete(t.stages, id)
}

// touchSchedule wakes the scheduler if a Secret that was written is due earlier
// than it knew.
func (t *tx) touchSchedule(s *lockstep.Secret, args []any) {
	old := t.marks[s.ID]
	if sooner(old.rotation, rotationDue(s)) || sooner(old.drift, verifyDue(s)) || s.Unverified && !old.unverified {
		t.touch(store.TopicSchedule)
	}
	t.mark(s, args)
}

// sooner tells whether something is due earlier than it was; 0 is never.
func sooner(was, is int64) bool { return is != 0 && (was == 0 || is < was) }

// InsertSecret implements store.SecretWriter.
func (t *tx) InsertSecret(s *lockstep.Secret) error {
	args, err := secretArgs(s)
	if err != nil {
		return place("insert secret "+s.Name, err)
	}
	id, err := one(t.session, value[lockstep.SecretID], `INSERT INTO secrets (
		account, region, name, arn, description, type, kms_key_id, tags, resource_policy,
		created, changed, accessed, delete_at, gone, primary_region, replicas, rotation,
		last_rotated, next_rotation, unverified, rotation_due, purge_due, name_key,
		next_verify, target_key, verify_due, rotates, max_age, admin_ref, event_seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
		$24, $25, $26, $27, $28, $29, $30)
		ON CONFLICT DO NOTHING RETURNING id`, append(slices.Clip(args), s.EventSeq)...)
	if errors.Is(err, lockstep.ErrNotFound) {
		err = lockstep.ErrExists
	}
	if err == nil {
		_, err = t.exec(`INSERT INTO slots (secret) VALUES ($1)`, id)
	}
	if err != nil {
		return place("insert secret "+s.Name, err)
	}
	s.ID = id
	if err := t.addTerms(s); err != nil {
		return place("index secret "+s.Name, err)
	}
	t.touchSchedule(s, args)
	return nil
}

// saveColumns writes every column but the number and the event sequence.
const saveColumns = `UPDATE secrets SET
	account = $1, region = $2, name = $3, arn = $4, description = $5, type = $6, kms_key_id = $7,
	tags = $8, resource_policy = $9, created = $10, changed = $11, accessed = $12, delete_at = $13,
	gone = $14, primary_region = $15, replicas = $16, rotation = $17, last_rotated = $18,
	next_rotation = $19, unverified = $20, rotation_due = $21, purge_due = $22, name_key = $23,
	next_verify = $24, target_key = $25, verify_due = $26, rotates = $27, max_age = $28,
	admin_ref = $29 WHERE id = $30`

// saveRotated is saveColumns where a rotation has changed what a rotation
// changes: SQLite writes every index anew whose columns a statement names.
const saveRotated = `UPDATE secrets SET changed = $1, rotation = $2, last_rotated = $3, next_rotation = $4,
	unverified = $5, rotation_due = $6 WHERE id = $7`

// rotated are the positions in secretArgs that saveRotated writes.
var rotated = [...]int{10, 16, 17, 18, 19, 20}

// rotatedArgs are the arguments of saveRotated, if there is no other difference
// between the columns before and after.
func rotatedArgs(before, after []any) (args []any, ok bool) {
	if len(before) != len(after) {
		return nil, false
	}
	for i := range after {
		if slices.Contains(rotated[:], i) {
			args = append(args, after[i])
		} else if before[i] != after[i] {
			return nil, false
		}
	}
	return args, true
}

// SaveSecret implements store.SecretWriter. The event sequence is left alone:
// AddEvent counts it. Of a Secret that this transaction has locked, only what
// changed is written.
func (t *tx) SaveSecret(s *lockstep.Secret) error {
	args, err := secretArgs(s)
	if err != nil {
		return place("save secret "+s.Name, err)
	}
	before := t.marks[s.ID].args
	if slices.Equal(before, args) {
		return nil
	}
	query, set := saveColumns, args
	if some, ok := rotatedArgs(before, args); ok {
		query, set = saveRotated, some
	}
	if err := changed(t.session, lockstep.ErrNotFound, query, append(slices.Clip(set), s.ID)...); err != nil {
		return place("save secret "+s.Name, err)
	}
	if err := t.indexTerms(s, before, args); err != nil {
		return place("index secret "+s.Name, err)
	}
	t.touchSchedule(s, args)
	return nil
}

// TouchAccess implements store.SecretWriter. A later day than the given one
// stays; a Secret or Version that is not there is passed over.
func (t *tx) TouchAccess(id lockstep.SecretID, version lockstep.VersionID, day time.Time) error {
	at := micros(day)
	if m, ok := t.marks[id]; ok {
		m.args = nil
		t.marks[id] = m
	}
	_, err := t.exec(`UPDATE secrets SET accessed = $1 WHERE id = $2 AND accessed < $1`, at, id)
	if err == nil {
		_, err = t.exec(`UPDATE versions SET accessed = $1 WHERE secret = $2 AND id = $3 AND accessed < $1`, at, id, version)
	}
	return place(fmt.Sprintf("touch secret %d", id), err)
}

// PurgeSecret implements store.SecretWriter. The labels go first, since they
// hold the Versions; all else goes with its Secret by foreign keys.
func (t *tx) PurgeSecret(id lockstep.SecretID) error {
	t.forget(id)
	_, err := t.exec(`DELETE FROM stages WHERE secret = $1`, id)
	if err == nil {
		_, err = t.exec(`UPDATE events SET is_last = FALSE WHERE secret = $1
			AND seq = (SELECT event_seq FROM secrets WHERE id = $1)`, id)
	}
	if err == nil {
		err = t.releaseFrom(id)
	}
	if err == nil {
		err = changed(t.session, lockstep.ErrNotFound, `DELETE FROM secrets WHERE id = $1`, id)
	}
	return place(fmt.Sprintf("purge secret %d", id), err)
}

// ClaimDue implements store.SecretWriter.
func (t *tx) ClaimDue(limit int) ([]*lockstep.Secret, error) {
	due, err := all(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets
		WHERE rotation_due IS NOT NULL AND rotation_due <= (SELECT @now)
		ORDER BY rotation_due, id LIMIT $1 @skip`, limit)
	for _, s := range due {
		t.locked(s)
	}
	return due, place("claim due secrets", err)
}

// ClaimVerifies implements store.SecretWriter.
func (t *tx) ClaimVerifies(limit int) ([]*lockstep.Secret, error) {
	due, err := all(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets
		WHERE verify_due IS NOT NULL AND verify_due <= (SELECT @now)
		ORDER BY verify_due, id LIMIT $1 @skip`, limit)
	for _, s := range due {
		t.locked(s)
	}
	return due, place("claim secrets to verify", err)
}

// HoldAccount implements store.SecretWriter.
func (t *tx) HoldAccount(key lockstep.AccountKey, id lockstep.SecretID) error {
	err := changed(t.session, lockstep.ErrConflict, `INSERT INTO account_holds (account_key, secret) VALUES ($1, $2)
		ON CONFLICT (account_key) DO UPDATE SET secret = excluded.secret
		WHERE account_holds.secret = excluded.secret`, key, id)
	return place(fmt.Sprintf("hold account for secret %d", id), err)
}

// ReleaseAccounts implements store.SecretWriter.
func (t *tx) ReleaseAccounts(id lockstep.SecretID) error {
	_, err := t.exec(`DELETE FROM account_holds WHERE secret = $1`, id)
	return place(fmt.Sprintf("release accounts of secret %d", id), err)
}
