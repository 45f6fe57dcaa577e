package sqlstore

import (
	"strconv"
	"time"

	"lockstep/store"
)

// counted is the number of rows of a query, up to the most that is told.
func (t *tx) counted(what, query string) (int, error) {
	n, err := one(t.session, value[int64], `SELECT count(*) FROM (SELECT 1 FROM `+query+` LIMIT `+strconv.Itoa(store.FiguresMost)+`) found`)
	return int(n), place("count "+what, err)
}

// Figures implements store.FigureReader.
func (t *tx) Figures() (store.Figures, error) {
	f := store.Figures{At: t.Now()}
	for _, c := range []struct {
		into  *int
		what  string
		query string
	}{
		{&f.OpenRuns, "open runs", `runs WHERE is_open`},
		{&f.DueSecrets, "due secrets", `secrets WHERE rotation_due IS NOT NULL AND rotation_due <= (SELECT @now)`},
		{&f.WaitingJobs, "waiting jobs", `jobs WHERE due_at <= (SELECT @now)`},
		{&f.UnsentEvents, "unsent events", `events WHERE NOT sent`},
		{&f.Retirements, "retirements", `versions WHERE retire_due IS NOT NULL`},
	} {
		n, err := t.counted(c.what, c.query)
		if err != nil {
			return f, err
		}
		*c.into = n
	}
	for _, c := range []struct {
		into  *time.Time
		what  string
		query string
	}{
		{&f.OldestDue, "oldest due secret", `SELECT min(rotation_due) FROM secrets WHERE rotation_due IS NOT NULL AND rotation_due <= (SELECT @now)`},
		{&f.OldestJob, "oldest waiting job", `SELECT min(due_at) FROM jobs WHERE due_at > 0 AND due_at <= (SELECT @now)`},
		{&f.OldestEvent, "oldest unsent event", `SELECT min(at) FROM (SELECT at FROM events WHERE NOT sent ORDER BY num LIMIT 1) first`},
		{&f.OldestRotated, "oldest credential", `SELECT min(CASE WHEN last_rotated > 0 THEN last_rotated ELSE created END) FROM secrets WHERE rotation_due IS NOT NULL`},
	} {
		n, err := one(t.session, orZero, c.query)
		if err != nil {
			return f, place("find the "+c.what, err)
		}
		*c.into = instant(n)
	}
	return f, nil
}
