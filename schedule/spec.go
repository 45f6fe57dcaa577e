package schedule

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"lockstep"
)

// Limits of AWS's API that hold here too.
const (
	// MaxExpressionLength is the longest Expression, in bytes.
	MaxExpressionLength = 256
	// MaxAfterDays is the largest AfterDays.
	MaxAfterDays = 1000
	// DefaultMinInterval is the shortest time between two fires that Parse
	// allows when Options do not say otherwise. (AWS: four hours.)
	DefaultMinInterval = time.Minute
)

// Spec is a schedule as the user sets it and the store keeps it. It marshals
// to JSON with durations as text ("1h30m0s"). Exactly one of Expression and
// AfterDays is set.
type Spec struct {
	// Expression is rate(…), cron(…), five-field cron, a descriptor such as
	// @daily, or "@every 10s".
	Expression string
	// AfterDays is AWS's AutomaticallyAfterDays, 1 to 1000: that many days of
	// 24 hours after Anchor.
	AfterDays int
	// TimeZone is the IANA name of the zone whose wall clock a calendar
	// expression means, and whose days end default windows. Empty means UTC.
	// Grids count real time, whatever the zone.
	TimeZone string
	// Window is how long after its nominal time a fire may still be carried
	// out. It may not exceed the shortest time between two fires. Zero means
	// AWS's default: an hour if there can be several fires a day, else the
	// rest of the day (but an hour at least); never beyond the next fire.
	Window time.Duration
	// Jitter is the longest delay by which fires are spread; at most Window.
	// Zero means none.
	Jitter time.Duration
	// Anchor is where grids start: the moment the schedule was set, or for
	// AfterDays the last rotation. The first fire is one interval later. Zero
	// means the Unix epoch; calendars do not use it.
	Anchor time.Time
}

// Options is what the server, not the user, contributes.
type Options struct {
	// MinInterval is the shortest time between two fires that the server
	// allows; zero means DefaultMinInterval. It is meant for the moment a
	// schedule is set: to read one that was accepted before, give a
	// millisecond, so that a stricter server does not stop it.
	MinInterval time.Duration
	// Key is what jitter is hashed from: the Secret's ARN. Empty is allowed
	// where jitter does not matter, as in a check of the Spec alone.
	Key string
}

type specJSON struct {
	Expression string     `json:"expression,omitempty"`
	AfterDays  int        `json:"afterDays,omitempty"`
	TimeZone   string     `json:"timeZone,omitempty"`
	Window     string     `json:"window,omitempty"`
	Jitter     string     `json:"jitter,omitempty"`
	Anchor     *time.Time `json:"anchor,omitempty"`
}

// MarshalJSON writes the Spec; zero fields are left out. It fails only for an
// Anchor whose year JSON cannot express.
func (s Spec) MarshalJSON() ([]byte, error) {
	out := specJSON{Expression: s.Expression, AfterDays: s.AfterDays, TimeZone: s.TimeZone,
		Window: durationText(s.Window), Jitter: durationText(s.Jitter)}
	if !s.Anchor.IsZero() {
		anchor := s.Anchor.UTC()
		out.Anchor = &anchor
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote. It does not check the schedule
// itself: Parse does. A malformed duration is an *Error.
func (s *Spec) UnmarshalJSON(data []byte) error {
	var in specJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read schedule: %w", err)
	}
	window, err := durationOf("window", in.Window)
	if err != nil {
		return err
	}
	jitter, err := durationOf("jitter", in.Jitter)
	if err != nil {
		return err
	}
	*s = Spec{Expression: in.Expression, AfterDays: in.AfterDays, TimeZone: in.TimeZone, Window: window, Jitter: jitter}
	if in.Anchor != nil {
		s.Anchor = in.Anchor.UTC()
	}
	return nil
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func durationOf(field, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &Error{Field: field, Input: shorten(text), Problem: "not a duration", Example: "1h30m"}
	}
	return d, nil
}

// SpecOf reads a Schedule of the domain, whose window is in AWS's words. It
// does not check the rest: Parse does. A malformed Duration is an *Error. The
// catch-up policy is read by ParseCatchUp.
func SpecOf(s lockstep.Schedule) (Spec, error) {
	window, err := ParseWindow(s.Duration)
	if err != nil {
		return Spec{}, err
	}
	return Spec{Expression: s.Expression, AfterDays: s.AfterDays, TimeZone: s.TimeZone,
		Window: window, Jitter: s.Jitter, Anchor: s.Anchor}, nil
}

var awsDuration = regexp.MustCompile(`^[0-9]{1,2}h$`)

// ParseWindow reads AWS's Duration of a rotation window: two or three
// characters, whole hours, such as "3h". Empty means 0, the default window.
// Anything else is an *Error.
func ParseWindow(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	bad := &Error{Field: "window", Input: shorten(s), Problem: `must be whole hours from "1h" to "99h"`, Example: "3h"}
	if !awsDuration.MatchString(s) {
		return 0, bad
	}
	hours, err := strconv.Atoi(s[:len(s)-1])
	if err != nil || hours == 0 {
		return 0, bad
	}
	return time.Duration(hours) * time.Hour, nil
}
