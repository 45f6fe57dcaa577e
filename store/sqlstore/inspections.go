package sqlstore

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

const inspectionColumns = `id, account, region, expanded, is_active, after_secret, total, answered, excused, broken, unseen, made_by, created`

func scanInspection(r row) (*store.Inspection, error) {
	i := &store.Inspection{}
	err := r.Scan(&i.ID, &i.Owner.Account, &i.Owner.Region, &i.Expanded, &i.Active, &i.After, &i.Total, &i.Answered,
		&i.Excused, &i.Broken, &i.Unseen, &i.By, timeInto{&i.Created})
	return i, err
}

const lookColumns = `l.inspection, l.secret, s.account, s.region, s.name, s.arn, l.rotator, l.target_key, l.state, l.tries, l.verdict, l.found`

const lookTables = ` FROM looks l JOIN secrets s ON s.id = l.secret`

func scanLook(r row) (store.Look, error) {
	var l store.Look
	err := r.Scan(&l.Inspection, &l.Secret, &l.Account, &l.Region, &l.Name, &l.ARN, &l.Rotator, &l.Target, &l.State, &l.Tries,
		&l.Verdict, jsonInto{&l.Found})
	return l, err
}

// Inspection implements store.InspectionReader.
func (t *tx) Inspection(id string) (*store.Inspection, error) {
	i, err := one(t.session, scanInspection, `SELECT `+inspectionColumns+` FROM inspections WHERE id = $1`, id)
	return i, place("read inspection "+id, err)
}

// ActiveInspection implements store.InspectionReader. Only a few are active.
func (t *tx) ActiveInspection(owner store.Owner) (*store.Inspection, error) {
	i, err := one(t.session, scanInspection, `SELECT `+inspectionColumns+` FROM inspections
		WHERE is_active AND account = $1 AND region = $2 ORDER BY created, id LIMIT 1`, owner.Account, owner.Region)
	return i, place("read the active inspection", err)
}

// Look implements store.InspectionReader.
func (t *tx) Look(inspection string, secret lockstep.SecretID) (store.Look, error) {
	l, err := one(t.session, scanLook, `SELECT `+lookColumns+lookTables+` WHERE l.inspection = $1 AND l.secret = $2`, inspection, secret)
	return l, place(fmt.Sprintf("read look at secret %d", secret), err)
}

// LooksFound implements store.InspectionReader.
func (t *tx) LooksFound(inspection string, after lockstep.SecretID, limit int) ([]store.Look, error) {
	list, err := all(t.session, scanLook, `SELECT `+lookColumns+lookTables+`
		WHERE l.inspection = $1 AND l.secret > $2 AND l.verdict IN ('broken', 'unseen') ORDER BY l.secret LIMIT $3`,
		inspection, after, limit)
	return list, place("list what an inspection found", err)
}

// InsertInspection implements store.InspectionWriter.
func (t *tx) InsertInspection(i *store.Inspection) error {
	t.touch(store.TopicSchedule)
	_, err := t.exec(`INSERT INTO inspections (id, account, region, is_active, made_by, created) VALUES ($1, $2, $3, $4, $5, $6)`,
		i.ID, i.Owner.Account, i.Owner.Region, i.Active, i.By, micros(i.Created))
	return place("insert inspection "+i.ID, err)
}

// WorkingInspection implements store.InspectionWriter.
func (t *tx) WorkingInspection() (*store.Inspection, error) {
	i, err := one(t.session, scanInspection, `SELECT `+inspectionColumns+` FROM inspections
		WHERE is_active ORDER BY created, id LIMIT 1 @skip`)
	return i, place("read the next inspection", err)
}

// ExpandInspection implements store.InspectionWriter. It goes along the numbers of
// all Secrets, so that a page costs the same wherever those that rotate are.
func (t *tx) ExpandInspection(i *store.Inspection, limit int) error {
	doing := "expand inspection " + i.ID
	last, err := one(t.session, orZero, `SELECT max(id) FROM (SELECT id FROM secrets WHERE id > $1 ORDER BY id LIMIT $2) page`, i.After, limit)
	if err != nil {
		return place(doing, err)
	}
	if last == 0 {
		i.Expanded = true
		_, err := t.exec(`UPDATE inspections SET expanded = TRUE WHERE id = $1`, i.ID)
		return place(doing, err)
	}
	n, err := t.exec(`INSERT INTO looks (inspection, secret, rotator, target_key, state)
		SELECT $1, s.id, s.rotation ->> 'rotator', s.target_key, 'waiting' FROM secrets s
		WHERE s.id > $2 AND s.id <= $3 AND s.account = $4 AND s.region = $5 AND s.rotates`,
		i.ID, i.After, last, i.Owner.Account, i.Owner.Region)
	if err != nil {
		return place(doing, err)
	}
	i.After, i.Total = lockstep.SecretID(last), i.Total+int(n)
	_, err = t.exec(`UPDATE inspections SET after_secret = $2, total = total + $3 WHERE id = $1`, i.ID, i.After, n)
	return place(doing, err)
}

// EndInspection implements store.InspectionWriter.
func (t *tx) EndInspection(i *store.Inspection) (bool, error) {
	n, err := t.exec(`UPDATE inspections SET is_active = FALSE WHERE id = $1 AND expanded
		AND NOT EXISTS (SELECT 1 FROM looks l WHERE l.inspection = $1 AND l.state = 'waiting')
		AND NOT EXISTS (SELECT 1 FROM looks l WHERE l.inspection = $1 AND l.state = 'asked')`, i.ID)
	if n > 0 {
		i.Active = false
		t.touch(store.TopicRuns)
	}
	return n > 0, place("end inspection "+i.ID, err)
}

// WaitingLooks implements store.InspectionWriter.
func (t *tx) WaitingLooks(inspection string, full store.FullList, limit int) ([]store.Look, error) {
	args := []any{inspection, limit}
	where := notAmong("l.rotator", full.Rotators, &args) + notAmong("l.target_key", full.Targets, &args)
	list, err := all(t.session, scanLook, `SELECT `+lookColumns+lookTables+`
		WHERE l.inspection = $1 AND l.state = 'waiting'`+where+` ORDER BY l.secret LIMIT $2`, args...)
	return list, place("list looks that wait", err)
}

// LostLooks implements store.InspectionWriter.
func (t *tx) LostLooks(before time.Time, limit int) ([]store.Look, error) {
	list, err := all(t.session, scanLook, `SELECT `+lookColumns+lookTables+`
		WHERE l.state = 'asked' AND l.asked <= $1 ORDER BY l.asked, l.inspection, l.secret LIMIT $2`, micros(before), limit)
	return list, place("list looks without an answer", err)
}

// AskLook implements store.InspectionWriter.
func (t *tx) AskLook(l store.Look) error {
	_, err := t.exec(`UPDATE looks SET state = 'asked', asked = @now, tries = tries + 1
		WHERE inspection = $1 AND secret = $2 AND state <> 'answered'`, l.Inspection, l.Secret)
	return place(fmt.Sprintf("ask for a look at secret %d", l.Secret), err)
}

// AnswerLook implements store.InspectionWriter.
func (t *tx) AnswerLook(l store.Look) error {
	doing := fmt.Sprintf("answer the look at secret %d", l.Secret)
	found, err := jsonText(l.Found)
	if err != nil {
		return place(doing, err)
	}
	n, err := t.exec(`UPDATE looks SET state = 'answered', verdict = $3, found = $4
		WHERE inspection = $1 AND secret = $2 AND state <> 'answered'`, l.Inspection, l.Secret, l.Verdict, found)
	if err != nil || n == 0 {
		return place(doing, err)
	}
	t.touch(store.TopicSchedule)
	t.touch(store.TopicRuns)
	one := func(v store.LookVerdict) int {
		if l.Verdict == v {
			return 1
		}
		return 0
	}
	_, err = t.exec(`UPDATE inspections SET answered = answered + 1, excused = excused + $2, broken = broken + $3, unseen = unseen + $4
		WHERE id = $1`, l.Inspection, one(store.LookExcused), one(store.LookBroken), one(store.LookUnseen))
	return place(doing, err)
}

// DeleteInspectionsBefore implements store.InspectionWriter.
func (t *tx) DeleteInspectionsBefore(before time.Time) error {
	_, err := t.exec(`DELETE FROM inspections WHERE created < $1`, micros(before))
	return place("forget old inspections", err)
}
