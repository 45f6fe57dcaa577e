package sqlstore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep"
	"lockstep/store"
)

const holdColumns = `account, region, name, kind, match, tag_key, tag_value, begins, ends,
	expression, time_zone, lasts, reason, made_by, created`

func scanHold(r row) (*lockstep.Hold, error) {
	h := &lockstep.Hold{}
	var lasts int64
	err := r.Scan(&h.Account, &h.Region, &h.Name, &h.Kind, &h.Match, &h.Tag.Key, &h.Tag.Value,
		timeInto{&h.From}, timeInto{&h.To}, &h.Recurring.Expression, &h.Recurring.TimeZone, &lasts,
		&h.Reason, &h.By, timeInto{&h.Created})
	h.Recurring.For = time.Duration(lasts) * time.Microsecond
	return h, err
}

// Holds implements store.AdmissionReader.
func (t *tx) Holds(owner store.Owner) ([]*lockstep.Hold, error) {
	list, err := all(t.session, scanHold, `SELECT `+holdColumns+` FROM holds
		WHERE account = $1 AND region = $2 ORDER BY name`, owner.Account, owner.Region)
	return list, place("list holds", err)
}

// restored is the condition for a pause h of a restore, awaited for the Secrets s
// that it waits for: those of which Lockstep can see a login by itself.
const (
	restored = `h.name = '` + lockstep.HoldRestored + `' AND h.made_by = '` + lockstep.RestoredBy + `'`
	awaited  = `s.account = h.account AND s.region = h.region AND s.unverified AND s.rotates AND NOT coalesce(@custom, FALSE) AND ` + noOpenRun
)

// RestoresVerified implements store.AdmissionReader.
func (t *tx) RestoresVerified() ([]store.Owner, error) {
	list, err := all(t.session, func(r row) (o store.Owner, err error) {
		err = r.Scan(&o.Account, &o.Region)
		return o, err
	}, `SELECT h.account, h.region FROM holds h WHERE `+restored+` AND NOT EXISTS (SELECT 1 FROM secrets s WHERE `+awaited+`)`)
	return list, place("list restores that are verified", err)
}

// pauseRestored pauses each owner who has something to verify.
func (t *tx) pauseRestored() error {
	owners, err := all(t.session, func(r row) (o store.Owner, err error) {
		err = r.Scan(&o.Account, &o.Region)
		return o, err
	}, `SELECT DISTINCT s.account, s.region FROM secrets s WHERE s.unverified AND s.rotates`)
	if err != nil {
		return place("list owners", err)
	}
	for _, o := range owners {
		err := t.SaveHold(&lockstep.Hold{
			Account: o.Account, Region: o.Region, Name: lockstep.HoldRestored, Kind: lockstep.HoldPause, By: lockstep.RestoredBy, Created: t.Now(),
			Reason: "until each secret was seen to log in (lockstep check), or lockstep freeze remove " + lockstep.HoldRestored,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SaveHold implements store.AdmissionWriter.
func (t *tx) SaveHold(h *lockstep.Hold) error {
	err := t.holdsChanged()
	if err == nil {
		_, err = t.exec(`INSERT INTO holds (`+holdColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
			ON CONFLICT (account, region, name) DO UPDATE SET kind = excluded.kind, match = excluded.match,
			tag_key = excluded.tag_key, tag_value = excluded.tag_value, begins = excluded.begins, ends = excluded.ends,
			expression = excluded.expression, time_zone = excluded.time_zone, lasts = excluded.lasts,
			reason = excluded.reason, made_by = excluded.made_by, created = excluded.created`,
			h.Account, h.Region, h.Name, h.Kind, h.Match, h.Tag.Key, h.Tag.Value, micros(h.From), micros(h.To),
			h.Recurring.Expression, h.Recurring.TimeZone, h.Recurring.For.Microseconds(), h.Reason, h.By, micros(h.Created))
	}
	return place("save hold "+h.Name, err)
}

// DeleteHold implements store.AdmissionWriter.
func (t *tx) DeleteHold(owner store.Owner, name string) error {
	err := t.holdsChanged()
	if err == nil {
		err = changed(t.session, lockstep.ErrNotFound, `DELETE FROM holds WHERE account = $1 AND region = $2 AND name = $3`,
			owner.Account, owner.Region, name)
	}
	return place("delete hold "+name, err)
}

// holdsChanged counts the generation and wakes the scheduler.
func (t *tx) holdsChanged() error {
	t.touch(store.TopicSchedule)
	_, err := t.exec(`UPDATE admission SET generation = generation + 1 WHERE id = 1`)
	return err
}

// LockAdmission implements store.AdmissionWriter.
func (t *tx) LockAdmission() (int64, error) {
	n, err := one(t.session, value[int64], `SELECT generation FROM admission WHERE id = 1 @lock`)
	return n, place("lock the admission", err)
}

// TryLockAdmission implements store.AdmissionWriter.
func (t *tx) TryLockAdmission() (int64, bool, error) {
	n, err := one(t.session, value[int64], `SELECT generation FROM admission WHERE id = 1 @skip`)
	if errors.Is(err, lockstep.ErrNotFound) {
		return 0, false, nil
	}
	return n, err == nil, place("lock the admission", err)
}

// Usage implements store.AdmissionReader. Neither table holds more of such rows
// than the governor's limit.
func (t *tx) Usage() ([]store.Usage, error) {
	list, err := all(t.session, func(r row) (store.Usage, error) {
		var u store.Usage
		return u, r.Scan(&u.Rotator, &u.Target, &u.Places, &u.Looks)
	}, `SELECT rotator, target_key, count(*), 0 FROM places GROUP BY rotator, target_key
		UNION ALL SELECT rotator, target_key, 0, count(*) FROM looks WHERE state = 'asked' GROUP BY rotator, target_key`)
	return list, place("count places", err)
}

// HasPlace implements store.AdmissionReader.
func (t *tx) HasPlace(run lockstep.RunID) (bool, error) {
	there, err := exists(t.session, `SELECT 1 FROM places WHERE run = $1`, run)
	return there, place("read place of run "+string(run), err)
}

// AdminUsed implements store.AdmissionReader.
func (t *tx) AdminUsed(admin lockstep.SecretID) (bool, error) {
	used, err := exists(t.session, `SELECT 1 FROM places WHERE admin = $1 AND admin > 0 LIMIT 1`, admin)
	return used, place(fmt.Sprintf("look for uses of admin secret %d", admin), err)
}

// UseAdmin implements store.AdmissionWriter.
func (t *tx) UseAdmin(run lockstep.RunID, admin lockstep.SecretID) error {
	_, err := t.exec(`UPDATE places SET admin = $2 WHERE run = $1`, run, admin)
	return place("note the admin of run "+string(run), err)
}

// Waiting implements store.AdmissionReader.
func (t *tx) Waiting() (bool, error) {
	there, err := exists(t.session, `SELECT 1 FROM waits WHERE held = 0 LIMIT 1`)
	return there, place("look for runs that wait", err)
}

// NextWait implements store.AdmissionReader.
func (t *tx) NextWait() (time.Time, error) {
	n, err := one(t.session, orZero, `SELECT min(until) FROM waits WHERE until > 0`)
	return instant(n), place("read the end of the next hold", err)
}

// TakePlace implements store.AdmissionWriter.
func (t *tx) TakePlace(p store.Place) error {
	_, err := t.exec(`INSERT INTO places (run, secret, rotator, target_key) VALUES ($1, $2, $3, $4)
		ON CONFLICT (run) DO NOTHING`, p.Run, p.Secret, p.Rotator, p.Target)
	return place("take a place for run "+string(p.Run), err)
}

// LeavePlace implements store.AdmissionWriter.
func (t *tx) LeavePlace(run lockstep.RunID) error {
	waits, err := one(t.session, value[bool], `DELETE FROM places WHERE run = $1
		RETURNING EXISTS (SELECT 1 FROM waits WHERE held = 0) OR EXISTS (SELECT 1 FROM batch_items WHERE is_awaited)`, run)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if waits {
		t.touch(store.TopicSchedule)
	}
	return place("leave the place of run "+string(run), err)
}

// lastDue stands for "no deadline" in the order of those that wait.
const lastDue = 1 << 62

// SaveWait implements store.AdmissionWriter.
func (t *tx) SaveWait(w store.Wait) error {
	t.touch(store.TopicSchedule)
	due := int64(lastDue)
	if !w.Due.IsZero() {
		due = micros(w.Due)
	}
	_, err := t.exec(`INSERT INTO waits (run, secret, rotator, target_key, rank, due, held, until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (run) DO UPDATE SET rotator = excluded.rotator, target_key = excluded.target_key,
		rank = excluded.rank, due = excluded.due, held = excluded.held, until = excluded.until`,
		w.Run, w.Secret, w.Rotator, w.Target, w.Rank, due, w.Held, micros(w.Until))
	return place("let run "+string(w.Run)+" wait", err)
}

// LeaveWait implements store.AdmissionWriter.
func (t *tx) LeaveWait(run lockstep.RunID) error {
	awaited, err := one(t.session, value[bool], `DELETE FROM waits WHERE run = $1
		RETURNING EXISTS (SELECT 1 FROM batch_items WHERE is_awaited)`, run)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if awaited {
		t.touch(store.TopicSchedule)
	}
	return place("let run "+string(run)+" go", err)
}

const waitColumns = `w.run, w.secret, w.rotator, w.target_key, w.rank, w.due, w.held, w.until`

func scanWait(r row) (store.Wait, error) {
	var w store.Wait
	var due int64
	err := r.Scan(&w.Run, &w.Secret, &w.Rotator, &w.Target, &w.Rank, &due, &w.Held, timeInto{&w.Until})
	if due != lastDue {
		w.Due = instant(due)
	}
	return w, err
}

// HeldWaits implements store.AdmissionWriter.
func (t *tx) HeldWaits(generation int64, limit int) ([]store.Wait, error) {
	list, err := all(t.session, scanWait, `SELECT `+waitColumns+` FROM waits w
		WHERE w.held > 0 AND w.held < $1 ORDER BY w.held, w.num LIMIT $2`, generation, limit)
	if err == nil && len(list) < limit {
		var timed []store.Wait
		timed, err = all(t.session, scanWait, `SELECT `+waitColumns+` FROM waits w
			WHERE w.until > 0 AND w.until <= (SELECT @now) AND w.held >= $1 ORDER BY w.until, w.num LIMIT $2`,
			generation, limit-len(list))
		list = append(list, timed...)
	}
	return list, place("list runs that are held", err)
}

// NextWaits implements store.AdmissionWriter.
func (t *tx) NextWaits(full store.FullList, limit int) ([]store.Wait, error) {
	args := []any{limit}
	where := notAmong("w.rotator", full.Rotators, &args) + notAmong("w.target_key", full.Targets, &args)
	list, err := all(t.session, scanWait, `SELECT `+waitColumns+` FROM waits w
		WHERE w.held = 0`+where+` ORDER BY w.rank, w.due, w.num LIMIT $1`, args...)
	return list, place("list runs that wait", err)
}

// notAmong is a condition that a column has none of the values.
func notAmong[T any](column string, values []T, args *[]any) string {
	if len(values) == 0 {
		return ""
	}
	marks := make([]string, len(values))
	for i, v := range values {
		*args = append(*args, v)
		marks[i] = fmt.Sprintf("$%d", len(*args))
	}
	return ` AND ` + column + ` NOT IN (` + strings.Join(marks, ", ") + `)`
}
