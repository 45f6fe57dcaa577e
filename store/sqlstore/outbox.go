package sqlstore

import (
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

const jobColumns = `num, kind, secret, account, region, name, run, version, plan, seq, due_at, awaits_slot`

func scanJob(r row) (store.Job, error) {
	var j store.Job
	err := r.Scan(&j.Row, &j.Kind, &j.Secret, &j.Account, &j.Region, &j.Name, &j.Run, &j.Version, &j.Plan, &j.Seq, timeInto{&j.DueAt}, &j.AwaitsSlot)
	return j, err
}

// Jobs implements store.OutboxReader.
func (t *tx) Jobs(limit int) ([]store.Job, error) {
	list, err := all(t.session, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE due_at <= (SELECT @now)
		ORDER BY due_at, num LIMIT $1`, limit)
	return list, place("list jobs", err)
}

// NextJob implements store.OutboxReader.
func (t *tx) NextJob() (time.Time, error) {
	n, err := one(t.session, orZero, `SELECT min(due_at) FROM jobs WHERE due_at > (SELECT @now)`)
	return instant(n), place("read the next job", err)
}

// AddJob implements store.OutboxWriter. The row is always a new one, so that
// JobSent of the one it replaces cannot take it away.
func (t *tx) AddJob(j *store.Job) error {
	t.touch(store.TopicOutbox)
	err := t.DropJobs(j.Secret, j.Kind)
	if err == nil {
		// The conflict is with another transaction that adds the same Job at
		// the same time, without the Secret's lock.
		j.Row, err = one(t.session, value[int64], `INSERT INTO jobs (kind, secret, account, region, name, run, version, plan, seq, due_at, awaits_slot)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (secret, kind) DO UPDATE SET num = @newnum, account = excluded.account, region = excluded.region,
			name = excluded.name, run = excluded.run, version = excluded.version, plan = excluded.plan,
			seq = excluded.seq, due_at = excluded.due_at, awaits_slot = excluded.awaits_slot RETURNING num`,
			j.Kind, j.Secret, j.Account, j.Region, j.Name, j.Run, j.Version, j.Plan, j.Seq, micros(j.DueAt), j.AwaitsSlot)
	}
	return place(fmt.Sprintf("add %s job of secret %d", j.Kind, j.Secret), err)
}

// DropJobs implements store.OutboxWriter.
func (t *tx) DropJobs(secret lockstep.SecretID, kind store.JobKind) error {
	_, err := t.exec(`DELETE FROM jobs WHERE secret = $1 AND kind = $2`, secret, kind)
	return place(fmt.Sprintf("drop %s jobs of secret %d", kind, secret), err)
}

// JobsSent implements store.OutboxWriter. A row that is gone is no error.
func (t *tx) JobsSent(rows []int64) error {
	if len(rows) == 0 {
		return nil
	}
	list, err := jsonText(rows)
	if err == nil {
		_, err = t.exec(`DELETE FROM jobs WHERE num IN (@numbers($1))`, list)
	}
	return place(fmt.Sprintf("remove %d jobs", len(rows)), err)
}

// DelayJob implements store.OutboxWriter. A row that is gone is no error.
func (t *tx) DelayJob(num int64, until time.Time) error {
	t.touch(store.TopicOutbox)
	_, err := t.exec(`UPDATE jobs SET due_at = $2 WHERE num = $1`, num, micros(until))
	return place(fmt.Sprintf("delay job %d", num), err)
}
