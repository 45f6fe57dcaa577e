package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// Schedule answers when a Secret is due. It is immutable and safe for
// concurrent use; make one with Parse.
type Schedule struct {
	spec   Spec
	key    string
	zone   *time.Location
	timing timing
}

// Parse checks spec and makes its Schedule. Every error is an *Error and a
// lockstep.ErrInvalid: malformed text, an expression that can never fire, an
// unknown zone, fires closer together than opts.MinInterval, a window longer
// than the shortest time between two fires, jitter longer than the window.
//
// A cron(…) whose years have all passed is not an error here, since there is
// no clock: its Next is zero, which whoever sets a schedule should refuse.
func Parse(spec Spec, opts Options) (*Schedule, error) {
	zone, err := loadZone(spec.TimeZone)
	if err != nil {
		return nil, err
	}
	anchor := spec.Anchor.UTC()
	if spec.Anchor.IsZero() {
		anchor = time.Unix(0, 0).UTC()
	}
	if anchor.Year() < firstYear || anchor.Year() > lastYear {
		return nil, &Error{Field: "anchor", Input: anchor.Format(time.RFC3339),
			Problem: fmt.Sprintf("its year must be from %d to %d", firstYear, lastYear), Example: "2026-01-01T00:00:00Z"}
	}
	s := &Schedule{spec: spec, key: opts.Key, zone: zone}
	if s.timing, err = specTiming(spec, anchor, zone); err != nil {
		return nil, err
	}
	if err := s.checkLengths(opts.MinInterval); err != nil {
		return nil, err
	}
	return s, nil
}

func specTiming(spec Spec, anchor time.Time, zone *time.Location) (timing, error) {
	switch {
	case spec.Expression != "" && spec.AfterDays != 0:
		return nil, &Error{Field: "expression", Input: shorten(spec.Expression),
			Problem: "a schedule has either an expression or a number of days, not both", Example: "rate(30 days)"}
	case spec.Expression != "":
		return parseTiming(spec.Expression, anchor, zone)
	case spec.AfterDays < 1 || spec.AfterDays > MaxAfterDays:
		return nil, &Error{Field: "days", Input: strconv.Itoa(spec.AfterDays),
			Problem: fmt.Sprintf("without an expression, the number of days must be within 1-%d", MaxAfterDays), Example: "30"}
	}
	return grid{anchor, time.Duration(spec.AfterDays) * 24 * time.Hour}, nil
}

func (s *Schedule) checkLengths(minInterval time.Duration) error {
	if minInterval <= 0 {
		minInterval = DefaultMinInterval
	}
	if gap, short := s.timing.gapBelow(minInterval); short {
		return &Error{Field: "expression", Input: s.expression(), Example: `"@every ` + minInterval.String() + `"`,
			Problem: fmt.Sprintf("fires come %v apart, and this server allows %v at least", gap, minInterval)}
	}
	if err := s.checkLength("window", s.spec.Window); err != nil {
		return err
	}
	if err := s.checkLength("jitter", s.spec.Jitter); err != nil {
		return err
	}
	if s.spec.Window > 0 && s.spec.Jitter > s.spec.Window {
		return &Error{Field: "jitter", Input: s.spec.Jitter.String(), Example: s.spec.Window.String(),
			Problem: fmt.Sprintf("longer than the window of %v, which every fire must stay in", s.spec.Window)}
	}
	return nil
}

func (s *Schedule) checkLength(field string, length time.Duration) error {
	if length < 0 {
		return &Error{Field: field, Input: length.String(), Problem: "must not be negative", Example: "0s"}
	}
	if gap, short := s.timing.gapBelow(length); short {
		return &Error{Field: field, Input: length.String(), Example: gap.String(),
			Problem: fmt.Sprintf("longer than the time between two fires of %s, which come %v apart", s.expression(), gap)}
	}
	return nil
}

// Spec returns what the Schedule was parsed from.
func (s *Schedule) Spec() Spec { return s.spec }

// Location returns the zone of the Spec, in which a person wants to see fires.
func (s *Schedule) Location() *time.Location { return s.zone }

// expression names the schedule in messages.
func (s *Schedule) expression() string {
	if s.spec.Expression == "" {
		return strconv.Itoa(s.spec.AfterDays) + " days"
	}
	return s.spec.Expression
}

// Next returns the first fire after the given instant, in UTC; zero if there
// is none (before the year 2200). Fires never come in another order than
// their nominal times.
func (s *Schedule) Next(after time.Time) time.Time {
	from := after
	if s.spec.Jitter > 0 {
		// A fire whose nominal time has passed may still be ahead.
		from = after.Add(-s.spec.Jitter)
	}
	for nominal := s.timing.next(from); !nominal.IsZero(); nominal = s.timing.next(nominal) {
		if fire := nominal.Add(s.delay(nominal)); fire.After(after) {
			return fire.UTC()
		}
	}
	return time.Time{}
}

// Preview returns the next n fires after the given instant, fewer if the
// schedule ends before.
func (s *Schedule) Preview(after time.Time, n int) []time.Time {
	var fires []time.Time
	for fire := s.Next(after); !fire.IsZero() && len(fires) < n; fire = s.Next(fire) {
		fires = append(fires, fire)
	}
	return fires
}

// Window returns the window that t stands in, or, if t is in none, the next
// one to open: open <= instant < end. A fire is always inside its own window,
// so Window(fire) is that one. Both are zero if no window is left.
func (s *Schedule) Window(t time.Time) (open, end time.Time) {
	for open = s.timing.next(t.Add(-s.lookback())); !open.IsZero(); open = s.timing.next(open) {
		if end = s.windowEnd(open); end.After(t) {
			return open.UTC(), end.UTC()
		}
	}
	return time.Time{}, time.Time{}
}

// lookback is how far before t a window that holds t can have opened.
func (s *Schedule) lookback() time.Duration {
	length := s.spec.Window
	switch {
	case length > 0:
	case s.timing.often():
		length = time.Hour
	default:
		length = farthestOffset // a day of clock changes is shorter
	}
	if g, ok := s.timing.(grid); ok {
		length = min(length, g.interval)
	}
	return length
}

// windowEnd returns when the window that opens at a nominal time closes.
func (s *Schedule) windowEnd(open time.Time) time.Time {
	var end time.Time
	switch {
	case s.spec.Window > 0:
		end = open.Add(s.spec.Window)
	case s.timing.often():
		end = open.Add(time.Hour)
	default:
		end = endOfDay(open, s.zone)
		if hour := open.Add(time.Hour); end.Before(hour) {
			end = hour
		}
	}
	if next := s.timing.next(open); !next.IsZero() && next.Before(end) {
		return next
	}
	return end
}

// delay returns the jitter of one fire: the same for the same key and nominal
// time on every node, and short enough to stay inside the window.
func (s *Schedule) delay(nominal time.Time) time.Duration {
	if s.spec.Jitter <= 0 {
		return 0
	}
	span := min(s.spec.Jitter, s.windowEnd(nominal).Sub(nominal))
	if steps := uint64(span / time.Millisecond); steps > 0 { // #nosec G115 -- both are bounded by the length of the jitter
		return time.Duration(s.hash(nominal)%steps) * time.Millisecond // #nosec G115 -- both are bounded by the length of the jitter
	}
	return 0
}

func (s *Schedule) hash(nominal time.Time) uint64 {
	text := binary.BigEndian.AppendUint64([]byte(s.key), uint64(nominal.UnixNano()))
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8])
}
