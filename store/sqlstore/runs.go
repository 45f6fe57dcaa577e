package sqlstore

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep"
	"lockstep/store"
)

const runColumns = `r.id, r.secret, r.version, r.base, r.state, r.triggered_by, r.test_only, r.attempts, r.retry_at,
	r.deadline, r.stop, r.stop_reason, r.undo_until, r.doubt, r.job_seq, r.reason, r.hint, r.created, r.started, r.finished`

const defaultRunPage = 50

func scanRun(r row) (*lockstep.Run, error) {
	x := &lockstep.Run{}
	err := r.Scan(&x.ID, &x.Secret, &x.Version, &x.Base, &x.State, &x.Trigger, &x.TestOnly, &x.Attempts,
		timeInto{&x.RetryAt}, timeInto{&x.Deadline}, &x.Stop, &x.StopReason, timeInto{&x.UndoUntil}, &x.Doubt,
		&x.JobSeq, &x.Reason, &x.Hint, timeInto{&x.Created}, timeInto{&x.Started}, timeInto{&x.Finished})
	return x, err
}

// runArgs are the columns id, version to finished, and is_open.
func runArgs(x *lockstep.Run) []any {
	return []any{
		x.ID, x.Version, x.Base, x.State, x.Trigger, x.TestOnly, x.Attempts, micros(x.RetryAt),
		micros(x.Deadline), x.Stop, x.StopReason, micros(x.UndoUntil), x.Doubt, x.JobSeq, x.Reason, x.Hint,
		micros(x.Created), micros(x.Started), micros(x.Finished), !x.State.Final(),
	}
}

// Run implements store.RunReader.
func (t *tx) Run(id lockstep.RunID) (*lockstep.Run, error) {
	x, err := one(t.session, scanRun, `SELECT `+runColumns+` FROM runs r WHERE r.id = $1`, id)
	if err == nil {
		t.pin(x)
	}
	return x, place("read run "+string(id), err)
}

// OpenRun implements store.RunReader.
func (t *tx) OpenRun(secret lockstep.SecretID) (*lockstep.Run, error) {
	x, err := one(t.session, scanRun, `SELECT `+runColumns+` FROM runs r WHERE r.secret = $1 AND r.is_open`, secret)
	if err == nil {
		t.pin(x)
	}
	return x, place(fmt.Sprintf("read open run of secret %d", secret), err)
}

// LastRun implements store.RunReader.
func (t *tx) LastRun(secret lockstep.SecretID) (*lockstep.Run, error) {
	x, err := one(t.session, scanRun, `SELECT `+runColumns+` FROM runs r
		WHERE r.secret = $1 ORDER BY r.num DESC LIMIT 1`, secret)
	return x, place(fmt.Sprintf("read last run of secret %d", secret), err)
}

// Runs implements store.RunReader. Newest means last inserted.
func (t *tx) Runs(q store.RunQuery) ([]*lockstep.Run, error) {
	if q.Limit <= 0 {
		q.Limit = defaultRunPage
	}
	where := ` WHERE r.account = $1 AND r.region = $2`
	args := []any{q.Owner.Account, q.Owner.Region, q.Limit}
	if q.Secret != 0 {
		args = append(args, q.Secret)
		where += fmt.Sprintf(` AND r.secret = $%d`, len(args))
	}
	if q.Open {
		where += ` AND r.is_open`
	}
	if q.Failed {
		where += ` AND r.state IN ('failed', 'lost') AND r.stop <> 'discarded'`
	}
	if len(q.States) > 0 {
		var marks []string
		for _, s := range q.States {
			args = append(args, s)
			marks = append(marks, fmt.Sprintf(`$%d`, len(args)))
		}
		where += ` AND r.state IN (` + strings.Join(marks, ", ") + `)`
	}
	if q.Before != "" {
		args = append(args, q.Before)
		where += fmt.Sprintf(` AND r.num < (SELECT num FROM runs WHERE id = $%d)`, len(args))
	}
	list, err := all(t.session, scanRun, `SELECT `+runColumns+` FROM runs r`+where+` ORDER BY r.num DESC LIMIT $3`, args...)
	return list, place("list runs", err)
}

// StrandedRuns implements store.RunReader.
func (t *tx) StrandedRuns(limit int) ([]*lockstep.Run, error) {
	list, err := all(t.session, scanRun, `SELECT `+runColumns+` FROM runs r JOIN slots l ON l.secret = r.secret
		WHERE r.is_open AND r.retry_at <= (SELECT @now) AND (l.holder = '' OR l.expires <= (SELECT @now))
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.secret = r.secret AND j.kind = 'run')
		AND NOT EXISTS (SELECT 1 FROM waits w WHERE w.run = r.id)
		ORDER BY r.retry_at, r.num LIMIT $1`, limit)
	return list, place("list stranded runs", err)
}

// InsertRun implements store.RunWriter. ErrExists if the id is taken.
func (t *tx) InsertRun(x *lockstep.Run) error {
	doing := fmt.Sprintf("insert run %s of secret %d", x.ID, x.Secret)
	err := changed(t.session, lockstep.ErrConflict, `INSERT INTO runs (id, version, base, state, triggered_by, test_only,
		attempts, retry_at, deadline, stop, stop_reason, undo_until, doubt, job_seq, reason, hint,
		created, started, finished, is_open, secret, account, region)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
		s.id, s.account, s.region FROM secrets s WHERE s.id = $21
		ON CONFLICT DO NOTHING`, append(runArgs(x), x.Secret)...)
	if errors.Is(err, lockstep.ErrConflict) {
		err = t.whyNoRun(x, err)
	}
	t.touch(store.TopicRuns)
	return place(doing, err)
}

// whyNoRun tells the reasons apart for which InsertRun wrote nothing.
func (t *tx) whyNoRun(x *lockstep.Run, conflict error) error {
	if there, err := exists(t.session, `SELECT 1 FROM secrets WHERE id = $1`, x.Secret); err != nil {
		return err
	} else if !there {
		return lockstep.ErrNotFound
	}
	if taken, err := exists(t.session, `SELECT 1 FROM runs WHERE id = $1`, x.ID); err != nil {
		return err
	} else if taken {
		return lockstep.ErrExists
	}
	return fmt.Errorf("another run is open: %w", conflict)
}

// pinnedRun are the columns of a Run that have an index or that never change.
type pinnedRun struct {
	version           lockstep.VersionID
	trigger           lockstep.Trigger
	testOnly, open    bool
	created, finished int64
	retryAt           int64
}

func pinned(x *lockstep.Run) pinnedRun {
	return pinnedRun{
		version: x.Version, trigger: x.Trigger, testOnly: x.TestOnly, open: !x.State.Final(),
		created: micros(x.Created), finished: micros(x.Finished), retryAt: micros(x.RetryAt),
	}
}

// pin remembers a Run as it is in the database, if this transaction keeps every
// other writer off its Secret.
func (t *tx) pin(x *lockstep.Run) {
	if _, locked := t.marks[x.Secret]; !locked {
		return
	}
	if t.pinned == nil {
		t.pinned = make(map[lockstep.RunID]pinnedRun)
	}
	t.pinned[x.ID] = pinned(x)
}

// saving is the statement that writes a Run, and its arguments but the lease's:
// the one that leaves every index alone, if that is all that changed.
func (t *tx) saving(x *lockstep.Run) (query string, args []any) {
	if known, ok := t.pinned[x.ID]; !ok || known != pinned(x) {
		return saveRun, append(runArgs(x), x.Secret)
	}
	return moveRun, []any{
		x.ID, x.Secret, x.Base, x.State, x.Attempts, micros(x.Deadline), x.Stop, x.StopReason,
		micros(x.UndoUntil), x.Doubt, x.JobSeq, x.Reason, x.Hint, micros(x.Started),
	}
}

const moveRun = `UPDATE runs SET base = $3, state = $4, attempts = $5, deadline = $6, stop = $7, stop_reason = $8,
	undo_until = $9, doubt = $10, job_seq = $11, reason = $12, hint = $13, started = $14
	WHERE id = $1 AND secret = $2`

const saveRun = `UPDATE runs SET version = $2, base = $3, state = $4, triggered_by = $5, test_only = $6,
	attempts = $7, retry_at = $8, deadline = $9, stop = $10, stop_reason = $11, undo_until = $12, doubt = $13,
	job_seq = $14, reason = $15, hint = $16, created = $17, started = $18, finished = $19, is_open = $20
	WHERE id = $1 AND secret = $21`

// SaveRun implements store.RunWriter. ErrConflict if a final Run is opened
// again while another is open.
func (t *tx) SaveRun(x *lockstep.Run, lease *lockstep.Lease) error {
	doing := "save run " + string(x.ID)
	query, args := t.saving(x)
	delete(t.pinned, x.ID)
	t.touch(store.TopicRuns)
	if lease == nil {
		return place(doing, changed(t.session, lockstep.ErrNotFound, query, args...))
	}
	if lease.Secret != x.Secret {
		return fmt.Errorf("%s: the lease is of secret %d: %w", doing, lease.Secret, lockstep.ErrFenced)
	}
	// The row lock keeps a newer claim from slipping in before the commit.
	if err := t.guard(*lease); err != nil {
		return place(doing, err)
	}
	err := changed(t.session, lockstep.ErrFenced, query+fmt.Sprintf(` AND EXISTS (SELECT 1 FROM slots l
		WHERE l.secret = runs.secret AND l.fence = $%d AND l.holder = $%d AND l.expires > @now)`, len(args)+1, len(args)+2),
		append(args, lease.Fence, lease.Holder)...)
	if errors.Is(err, lockstep.ErrFenced) {
		if there, readErr := exists(t.session, `SELECT 1 FROM runs WHERE id = $1`, x.ID); readErr == nil && !there {
			err = lockstep.ErrNotFound
		}
	}
	return place(doing, err)
}

// BeginStep implements store.RunWriter.
func (t *tx) BeginStep(rec lockstep.StepRecord) (int, error) {
	seq, err := one(t.session, value[int], `INSERT INTO steps (run, seq, step, attempt, holder, started, ended, ok, outcome, error, hint)
		SELECT r.id, 1 + coalesce((SELECT max(s.seq) FROM steps s WHERE s.run = r.id), 0), $2, $3, $4, $5, $6, $7, $8, $9, $10
		FROM runs r WHERE r.id = $1 RETURNING seq`,
		rec.Run, rec.Step, rec.Attempt, rec.Holder, micros(rec.Started),
		micros(rec.Ended), rec.OK, int(rec.Outcome), rec.Error, rec.Hint)
	return seq, place(fmt.Sprintf("begin step %s of run %s", rec.Step, rec.Run), err)
}

// EndStep implements store.RunWriter.
func (t *tx) EndStep(rec lockstep.StepRecord) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE steps SET ended = $3, ok = $4, outcome = $5, error = $6, hint = $7
		WHERE run = $1 AND seq = $2`, rec.Run, rec.Seq, micros(rec.Ended), rec.OK, int(rec.Outcome), rec.Error, rec.Hint)
	return place(fmt.Sprintf("end step %d of run %s", rec.Seq, rec.Run), err)
}

func scanStep(r row) (lockstep.StepRecord, error) {
	var s lockstep.StepRecord
	var outcome int
	err := r.Scan(&s.Run, &s.Seq, &s.Step, &s.Attempt, &s.Holder, timeInto{&s.Started}, timeInto{&s.Ended},
		&s.OK, &outcome, &s.Error, &s.Hint)
	s.Outcome = lockstep.Outcome(outcome)
	return s, err
}

// Steps implements store.RunReader.
func (t *tx) Steps(run lockstep.RunID) ([]lockstep.StepRecord, error) {
	list, err := all(t.session, scanStep, `SELECT run, seq, step, attempt, holder, started, ended, ok, outcome, error, hint
		FROM steps WHERE run = $1 ORDER BY seq`, run)
	return list, place("read steps of run "+string(run), err)
}

// planBody is the JSON column of a dry run.
type planBody struct {
	Actions  []string            `json:"actions,omitempty"`
	Problems []store.PlanProblem `json:"problems,omitempty"`
	Sessions []store.PlanSession `json:"sessions,omitempty"`
}

func scanPlan(r row) (*store.Plan, error) {
	p, body := &store.Plan{}, planBody{}
	err := r.Scan(&p.ID, &p.Secret, timeInto{&p.Created}, &p.Done, jsonInto{&body}, &p.Error, &p.Kind)
	p.Actions, p.Problems, p.Sessions = body.Actions, body.Problems, body.Sessions
	return p, err
}

// Plan implements store.RunReader.
func (t *tx) Plan(id string) (*store.Plan, error) {
	p, err := one(t.session, scanPlan, `SELECT id, secret, created, done, body, error, kind FROM plans WHERE id = $1`, id)
	return p, place("read plan "+id, err)
}

// OpenPlan implements store.RunReader.
func (t *tx) OpenPlan(secret lockstep.SecretID, kind store.JobKind, since time.Time) (*store.Plan, error) {
	p, err := one(t.session, scanPlan, `SELECT id, secret, created, done, body, error, kind FROM plans
		WHERE secret = $1 AND kind = $2 AND created >= $3 AND NOT done ORDER BY created DESC LIMIT 1`, secret, kind, micros(since))
	return p, place(fmt.Sprintf("read open plan of secret %d", secret), err)
}

// SavePlan implements store.RunWriter.
func (t *tx) SavePlan(p *store.Plan) error {
	body, err := json.Marshal(planBody{Actions: p.Actions, Problems: p.Problems, Sessions: p.Sessions})
	if err == nil {
		_, err = t.exec(`INSERT INTO plans (id, secret, created, done, body, error, kind) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (id) DO UPDATE SET secret = excluded.secret, created = excluded.created,
			done = excluded.done, body = excluded.body, error = excluded.error`,
			p.ID, p.Secret, micros(p.Created), p.Done, string(body), p.Error, cmp.Or(p.Kind, store.JobPlan))
	}
	return place("save plan "+p.ID, err)
}

// DeletePlansBefore implements store.RunWriter.
func (t *tx) DeletePlansBefore(before time.Time) error {
	_, err := t.exec(`DELETE FROM plans WHERE created < $1`, micros(before))
	return place("delete old plans", err)
}
