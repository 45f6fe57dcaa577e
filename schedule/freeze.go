package schedule

import (
	"time"
)

// Period is a stretch of time that comes back.
type Period struct {
	// Expression is when each stretch begins: any form that Spec takes.
	Expression string `json:"expression"`
	// TimeZone is an IANA name; empty means UTC.
	TimeZone string `json:"timeZone,omitempty"`
	// For is how long a stretch lasts; at most the time until the next one
	// begins. It must be positive. In JSON it is in nanoseconds.
	For time.Duration `json:"for"`
	// Anchor is where the grid of a rate or @every starts; zero means the
	// Unix epoch.
	Anchor time.Time `json:"anchor,omitzero"`
}

// Freeze forbids rotations for a time: once, or again and again.
type Freeze struct {
	// Reason is shown to whoever waits: "year-end close".
	Reason string `json:"reason"`
	// From is the first frozen instant of a freeze that happens once; zero
	// means since ever.
	From time.Time `json:"from,omitzero"`
	// To is the first instant after it; zero means that it never ends.
	To time.Time `json:"to,omitzero"`
	// Recurring, if set, makes the freeze come back; From and To are then zero.
	Recurring *Period `json:"recurring,omitempty"`
}

// Limits is what one Secret, target or tag allows.
type Limits struct {
	// Windows: rotations are allowed inside any of them. Nil means always.
	Windows []Period `json:"windows,omitempty"`
	// Freezes: rotations are allowed outside all of them.
	Freezes []Freeze `json:"freezes,omitempty"`
}

// Calendar says when several Limits together allow a rotation. The nil
// Calendar always does. It is immutable and safe for concurrent use.
type Calendar struct {
	windows [][]*Schedule // inside one of each group
	freezes []freeze
}

// freeze is a Freeze that was checked; recurring is nil if it happens once.
type freeze struct {
	Freeze
	recurring *Schedule
}

// NewCalendar checks all limits and joins them: an instant is allowed if each
// of them allows it. It fails with an *Error for a malformed period, and for a
// freeze that ends before it begins.
//
// A freeze that never ends is no error here, since a pause is one; whoever
// sets a deadline beside it asks CheckDeadline.
func NewCalendar(limits ...Limits) (*Calendar, error) {
	c := &Calendar{}
	for _, l := range limits {
		var group []*Schedule
		for _, p := range l.Windows {
			s, err := p.parse("window")
			if err != nil {
				return nil, err
			}
			group = append(group, s)
		}
		if group != nil {
			c.windows = append(c.windows, group)
		}
		for _, f := range l.Freezes {
			checked, err := f.check()
			if err != nil {
				return nil, err
			}
			c.freezes = append(c.freezes, checked)
		}
	}
	return c, nil
}

func (p Period) parse(field string) (*Schedule, error) {
	if p.For <= 0 {
		return nil, &Error{Field: field, Input: p.For.String(), Problem: "how long it lasts must be positive", Example: "4h"}
	}
	return Parse(Spec{Expression: p.Expression, TimeZone: p.TimeZone, Window: p.For, Anchor: p.Anchor}, Options{})
}

func (f Freeze) check() (freeze, error) {
	if f.Recurring == nil {
		if !f.To.IsZero() && !f.To.After(f.From) {
			return freeze{}, &Error{Field: "freeze", Input: shorten(f.Reason), Problem: "it ends before it begins",
				Example: "from 2026-12-20T00:00:00Z to 2027-01-04T00:00:00Z"}
		}
		return freeze{Freeze: f}, nil
	}
	if !f.From.IsZero() || !f.To.IsZero() {
		return freeze{}, &Error{Field: "freeze", Input: shorten(f.Reason),
			Problem: "it either comes back or has a beginning and an end, not both", Example: "cron(0 18 ? * FRI *) for 62h"}
	}
	s, err := f.Recurring.parse("freeze")
	return freeze{Freeze: f, recurring: s}, err
}

// span returns the frozen stretch that t stands in; false if t is not frozen.
// A zero end means never.
func (f freeze) span(t time.Time) (from, to time.Time, frozen bool) {
	if f.recurring == nil {
		frozen = !t.Before(f.From) && (f.To.IsZero() || t.Before(f.To))
		return f.From, f.To, frozen
	}
	from, to = f.recurring.Window(t)
	return from, to, !from.IsZero() && !from.After(t)
}

// searchSteps bounds the search for an allowed instant. Each step passes a
// whole stretch, so it is decades of nightly ones; beyond, "never" is the
// answer.
const searchSteps = 20_000

// NextAllowed returns the first instant at or after t that the Calendar
// allows; false if there is none.
func (c *Calendar) NextAllowed(t time.Time) (time.Time, bool) {
	return c.settle(t, c.advance)
}

// nextUnfrozen is NextAllowed without the windows: what a deadline asks.
func (c *Calendar) nextUnfrozen(t time.Time) (time.Time, bool) {
	return c.settle(t, c.thaw)
}

func (c *Calendar) settle(t time.Time, step func(time.Time) (time.Time, bool)) (time.Time, bool) {
	if c == nil {
		return t, true
	}
	for range searchSteps {
		later, ok := step(t)
		if !ok {
			return time.Time{}, false
		}
		if later.Equal(t) {
			return t, true
		}
		t = later
	}
	return time.Time{}, false
}

// advance moves t out of a freeze or into windows, if it has to; false if it
// never can.
func (c *Calendar) advance(t time.Time) (time.Time, bool) {
	t, ok := c.thaw(t)
	if !ok {
		return t, false
	}
	for _, group := range c.windows {
		if t, ok = enter(group, t); !ok {
			return t, false
		}
	}
	return t, true
}

func (c *Calendar) thaw(t time.Time) (time.Time, bool) {
	for _, f := range c.freezes {
		_, to, frozen := f.span(t)
		if frozen && to.IsZero() {
			return t, false
		}
		if frozen {
			t = to
		}
	}
	return t, true
}

// enter returns t if it is inside one of the windows, else the next opening.
func enter(group []*Schedule, t time.Time) (time.Time, bool) {
	var first time.Time
	for _, s := range group {
		open, _ := s.Window(t)
		if open.IsZero() {
			continue
		}
		if !open.After(t) {
			return t, true
		}
		if first.IsZero() || open.Before(first) {
			first = open
		}
	}
	return first, !first.IsZero()
}

// lastUnfrozen returns the latest instant from earliest to t that is not
// frozen, margin before a freeze where one is in the way; false if there is
// none.
func (c *Calendar) lastUnfrozen(t, earliest time.Time, margin time.Duration) (time.Time, bool) {
	for range searchSteps {
		from, frozen := c.frozenSince(t)
		if !frozen {
			return t, true
		}
		if !from.After(earliest) {
			return time.Time{}, false
		}
		// From itself is frozen; leave a run the time it needs before it.
		t = from.Add(-max(margin, time.Millisecond))
		if t.Before(earliest) {
			t = earliest
		}
	}
	return time.Time{}, false
}

func (c *Calendar) frozenSince(t time.Time) (time.Time, bool) {
	if c == nil {
		return time.Time{}, false
	}
	for _, f := range c.freezes {
		if from, _, frozen := f.span(t); frozen {
			return from, true
		}
	}
	return time.Time{}, false
}

// Frozen returns the first freeze that holds at t, for whoever asks why a
// rotation waits.
func (c *Calendar) Frozen(t time.Time) (Freeze, bool) {
	if c == nil {
		return Freeze{}, false
	}
	for _, f := range c.freezes {
		if _, _, frozen := f.span(t); frozen {
			return f.Freeze, true
		}
	}
	return Freeze{}, false
}

// CheckDeadline refuses a deadline that falls into a freeze which never ends:
// the credential could never be replaced in time. The error is an *Error. A
// zero deadline is none.
func (c *Calendar) CheckDeadline(deadline time.Time) error {
	if c == nil || deadline.IsZero() {
		return nil
	}
	if _, ok := c.nextUnfrozen(deadline); ok {
		return nil
	}
	f, _ := c.Frozen(deadline)
	return &Error{Field: "freeze", Input: shorten(f.Reason), Example: "end it at " + deadline.Add(-time.Hour).UTC().Format(time.RFC3339),
		Problem: "it never ends, and the deadline " + deadline.UTC().Format(time.RFC3339) + " lies inside it"}
}
