package schedule_test

import (
	"container/heap"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/schedule"
)

// The proof's size. Ten years hold some 45,000 fires of these.
const (
	yearsLong    = 10
	yearsSecrets = 1000
)

// planned is a Secret as the engine keeps it: its schedule, its next rotation and
// its last.
type planned struct {
	name     string
	schedule *schedule.Schedule
	maxAge   time.Duration
	next     time.Time
	last     time.Time
	// ran is when a fire was carried out.
	ran []time.Time
}

// agenda is the index by which the engine finds what is due.
type agenda []*planned

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].next.Before(a[j].next) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(*planned)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

func plan(t testing.TB, i int, start time.Time, c *schedule.Calendar) *planned {
	t.Helper()
	specs := []schedule.Spec{
		{Expression: "cron(30 2 L 1/3 ? *)", TimeZone: "America/New_York", Window: 3 * time.Hour},
		{AfterDays: 90, Window: 6 * time.Hour},
		{Expression: "0 4 1 */4 *", TimeZone: "Asia/Kolkata", Window: time.Hour, Jitter: 30 * time.Minute},
		{Expression: "rate(120 days)", Window: 4 * time.Hour, Jitter: 4 * time.Hour},
		{Expression: "cron(15 10 ? 1/3 6#3 *)", TimeZone: "Australia/Lord_Howe", Window: 90 * time.Minute},
		{Expression: "rate(180 days)"},
		{Expression: "30 1 1 */4 *", TimeZone: "Europe/London", Window: time.Hour},
	}
	weekly := schedule.Spec{Expression: "cron(0 3 ? * SUN *)", TimeZone: "Europe/Berlin", Window: 2 * time.Hour, Jitter: time.Hour}
	p := &planned{name: fmt.Sprintf("secret-%d", i)}
	spec := specs[i%len(specs)]
	if i%50 == 0 {
		spec = weekly
	}
	spec.Anchor = start.Add(time.Duration(i) * 7 * time.Minute)
	if i%5 == 0 {
		p.maxAge = 100 * 24 * time.Hour
	}
	var err error
	if p.schedule, err = schedule.Parse(spec, schedule.Options{Key: p.name}); err != nil {
		t.Fatal(err)
	}
	p.last = start
	p.advance(c, start)
	return p
}

// advance names the next fire: the schedule's, or an earlier time if the
// credential would grow too old until then.
func (p *planned) advance(c *schedule.Calendar, now time.Time) {
	p.next = p.schedule.Next(now)
	if p.maxAge > 0 {
		q := schedule.Situation{Fire: p.next, Now: now, Calendar: c, Margin: time.Hour, Deadline: now.Add(p.maxAge)}
		p.next = p.schedule.Due(q).At
	}
}

// yearsCalendar freezes each December's second half, and one whole February.
func yearsCalendar(t testing.TB, start time.Time) *schedule.Calendar {
	t.Helper()
	return calendarOf(t, schedule.Limits{Freezes: []schedule.Freeze{
		{Reason: "year-end", Recurring: &schedule.Period{Expression: "0 0 16 12 *", For: 16 * 24 * time.Hour, Anchor: start}},
		{Reason: "migration", From: start.AddDate(4, 1, 0), To: start.AddDate(4, 2, 0)},
	}})
}

// carry does what the engine does about one fire that is due (runs.AdmitDue): it
// runs, or is moved. The engine itself is held to the same in package runs.
func (p *planned) carry(c *schedule.Calendar, now time.Time) (moved bool) {
	q := schedule.Situation{Fire: p.next, Now: now, Calendar: c, Margin: time.Hour}
	if p.maxAge > 0 {
		q.Deadline = p.last.Add(p.maxAge)
	}
	if due := p.schedule.Due(q); due.At.After(now) {
		p.next = due.At
		return true
	}
	p.ran, p.last = append(p.ran, now), now
	p.advance(c, now)
	return false
}

// TestTenYears lets ten years pass for a thousand Secrets: each fire is carried out
// in its window, once, unless a freeze covers it; nothing runs in a freeze; no
// credential with a maximum age gets older.
func TestTenYears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		end := start.AddDate(yearsLong, 0, 0)
		c := yearsCalendar(t, start)
		var secrets agenda
		for i := range yearsSecrets {
			secrets = append(secrets, plan(t, i, start, c))
		}
		heap.Init(&secrets)
		ran, moved := 0, 0
		for secrets[0].next.Before(end) {
			time.Sleep(time.Until(secrets[0].next))
			if secrets[0].carry(c, time.Now()) {
				moved++
			} else {
				ran++
			}
			heap.Fix(&secrets, 0)
		}
		for _, p := range secrets {
			p.check(t, c, start, end)
		}
		t.Logf("%d secrets, %d runs, %d moved by a freeze, %v passed", len(secrets), ran, moved, time.Since(start))
	})
}

// check compares what ran with the schedule's own windows, and not with what the
// planner thought.
func (p *planned) check(t *testing.T, c *schedule.Calendar, start, end time.Time) {
	t.Helper()
	windows := make(map[time.Time]int) // by opening
	for _, at := range p.ran {
		if f, frozen := c.Frozen(at); frozen {
			t.Errorf("%s ran at %v, in the freeze %s", p.name, at, f.Reason)
		}
		if open, _ := p.schedule.Window(at); !open.After(at) {
			windows[open]++
		}
	}
	for fire := p.schedule.Next(start); fire.Before(end); fire = p.schedule.Next(fire) {
		open, until := p.schedule.Window(fire)
		if until.After(end) {
			break
		}
		free, ok := c.NextAllowed(fire)
		reachable := ok && free.Before(until)
		switch n := windows[open]; {
		case n > 1:
			t.Errorf("%s ran %d times in the window of %v", p.name, n, fire)
		case n == 0 && reachable && p.maxAge == 0:
			t.Errorf("%s missed the fire of %v", p.name, fire)
		case n == 1 && !reachable:
			t.Errorf("%s ran in the window of %v, which is frozen", p.name, fire)
		}
	}
	p.checkAges(t, start)
}

func (p *planned) checkAges(t *testing.T, start time.Time) {
	t.Helper()
	last := start
	for _, at := range p.ran {
		if p.maxAge > 0 && at.Sub(last) > p.maxAge {
			t.Errorf("%s: the credential of %v was %v old", p.name, last, at.Sub(last))
		}
		last = at
	}
}
