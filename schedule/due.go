package schedule

import (
	"time"
)

// CatchUp is what becomes of a fire whose window has passed.
type CatchUp string

const (
	// CatchUpNow: run as soon as the calendar allows, outside the Schedule's
	// own window. The default; the empty CatchUp means it too.
	CatchUpNow CatchUp = "now"
	// CatchUpNextWindow: run in the window that is open, or in the next one.
	// An AfterDays schedule has one each day.
	CatchUpNextWindow CatchUp = "next-window"
	// CatchUpSkip: drop it; the next regular fire counts.
	CatchUpSkip CatchUp = "skip"
)

// ParseCatchUp reads a policy; empty means CatchUpNow. Another word is an
// *Error.
func ParseCatchUp(s string) (CatchUp, error) {
	switch c := CatchUp(s); c {
	case "":
		return CatchUpNow, nil
	case CatchUpNow, CatchUpNextWindow, CatchUpSkip:
		return c, nil
	}
	return "", &Error{Field: "catch-up", Input: shorten(s), Problem: "must be now, next-window or skip", Example: string(CatchUpNow)}
}

// Why tells which rule set the time of a Due.
type Why string

const (
	// Regular: the fire is carried out in its own window.
	Regular Why = "regular"
	// CaughtUp: the fire was missed and is carried out by CatchUpNow.
	CaughtUp Why = "caught-up"
	// NextWindow: the fire was missed and waits for CatchUpNextWindow.
	NextWindow Why = "next-window"
	// Skipped: the fire was missed and dropped; At is a later fire.
	Skipped Why = "skipped"
	// Deadline: the credential would grow too old; the window is outranked.
	Deadline Why = "deadline"
)

// Situation is what Due decides about.
type Situation struct {
	// Fire is the fire in question, from Next; it may have passed. Zero means
	// that the schedule has none left.
	Fire time.Time
	// Now is the present.
	Now time.Time
	// CatchUp is the policy for a missed fire.
	CatchUp CatchUp
	// Deadline is when the credential is too old: the last rotation plus its
	// maximum age. Zero means none.
	Deadline time.Time
	// Margin is how long before the Deadline a run must start so as to be
	// done in time. Zero means none.
	Margin time.Duration
	// Calendar holds the windows and freezes that apply; nil means none.
	Calendar *Calendar
}

// Due is when a Run may start.
type Due struct {
	// At is the moment, never before Now; zero if there is none, ever.
	At time.Time
	// Until is the end of the Schedule's own window that At is in; zero if
	// none bounds this Run (caught up, or by deadline).
	Until time.Time
	// Why tells which rule set At.
	Why Why
	// Late is true if At is after the Deadline, or never: only a freeze can do
	// that, or a Deadline that has passed already. It calls for an alarm.
	Late bool
}

// Due says when the run for a fire may start. A fire whose window has not
// ended runs in it, as far as the calendar allows; a missed one follows the
// catch-up policy. If that would be after the deadline, less the margin, the
// run starts then at the latest, outside any window; a freeze still holds, so
// the run moves before it, and if it is too late for that, after it.
//
// A Schedule without a Window of its own takes the windows of the calendar in
// place of its default one: the fire waits for them.
func (s *Schedule) Due(q Situation) Due {
	due := s.byWindow(q)
	if q.Deadline.IsZero() {
		return due
	}
	latest := q.Deadline.Add(-q.Margin)
	if latest.Before(q.Now) {
		latest = q.Now
	}
	if due.At.IsZero() || due.At.After(latest) {
		if at, ok := q.byDeadline(latest); ok && (due.At.IsZero() || at.Before(due.At)) {
			due = Due{At: at, Why: Deadline}
		}
	}
	due.Late = due.At.IsZero() || due.At.After(q.Deadline)
	return due
}

func (q Situation) byDeadline(latest time.Time) (time.Time, bool) {
	if at, ok := q.Calendar.lastUnfrozen(latest, q.Now, q.Margin); ok {
		return at, true
	}
	return q.Calendar.nextUnfrozen(latest)
}

// byWindow is Due without the deadline.
func (s *Schedule) byWindow(q Situation) Due {
	if q.Fire.IsZero() {
		return Due{Why: Regular}
	}
	_, end := s.Window(q.Fire)
	start := later(q.Fire, q.Now)
	at, ok := q.Calendar.NextAllowed(start)
	if start.Before(end) && ok {
		if at.Before(end) {
			return Due{At: at, Until: end, Why: Regular}
		}
		if s.yields(q.Calendar) {
			return Due{At: at, Why: Regular}
		}
	}
	switch q.CatchUp {
	case CatchUpSkip:
		return s.skip(q)
	case CatchUpNextWindow:
		return s.nextWindow(q, later(end, q.Now))
	}
	if !ok {
		return Due{Why: CaughtUp}
	}
	return Due{At: at, Why: CaughtUp}
}

// yields tells whether the calendar's windows replace the Schedule's own.
func (s *Schedule) yields(c *Calendar) bool {
	return s.spec.Window == 0 && c != nil && len(c.windows) > 0
}

// skip finds the first later fire that can be carried out in its window.
func (s *Schedule) skip(q Situation) Due {
	fire := s.Next(later(q.Fire, q.Now))
	for range searchSteps {
		if fire.IsZero() {
			break
		}
		_, end := s.Window(fire)
		at, ok := q.Calendar.NextAllowed(fire)
		if !ok {
			break
		}
		if at.Before(end) {
			return Due{At: at, Until: end, Why: Skipped}
		}
		if s.yields(q.Calendar) {
			return Due{At: at, Why: Skipped}
		}
		// Nothing before at is allowed: go on with the fire whose window holds
		// at or comes after it.
		open, _ := s.Window(at)
		fire = s.Next(open.Add(-time.Nanosecond))
	}
	return Due{Why: Skipped}
}

// nextWindow finds the first allowed instant at or after from inside a window.
func (s *Schedule) nextWindow(q Situation, from time.Time) Due {
	if s.yields(q.Calendar) {
		at, ok := q.Calendar.NextAllowed(from)
		if !ok {
			return Due{Why: NextWindow}
		}
		return Due{At: at, Why: NextWindow}
	}
	daily := s.daily()
	for range searchSteps {
		open, end := daily.Window(from)
		if open.IsZero() {
			break
		}
		// In a window yet to open, the jitter of its fire spreads the runs.
		start := later(from, open.Add(daily.delay(open)))
		at, ok := q.Calendar.NextAllowed(start)
		if !ok {
			break
		}
		if at.Before(end) {
			return Due{At: at, Until: end, Why: NextWindow}
		}
		from = at
	}
	return Due{Why: NextWindow}
}

// daily returns the Schedule whose windows a missed fire may use: its own, but
// for AfterDays one each day, at the same time of day.
func (s *Schedule) daily() *Schedule {
	g, ok := s.timing.(grid)
	if s.spec.AfterDays == 0 || !ok {
		return s
	}
	const day = 24 * time.Hour
	copied := *s
	copied.spec.Window = min(s.spec.Window, day)
	copied.timing = grid{g.anchor, day}
	return &copied
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
