package schedule

import (
	"strings"
	"time"
)

// A wall time is the reading of a clock on a wall, kept as a time.Time in UTC
// with that reading. It becomes an instant only together with a zone.

// wallOf reads the zone's wall clock at t.
func wallOf(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// farthestOffset exceeds every offset from UTC that the zone database knows.
const farthestOffset = 26 * time.Hour

// instantOf returns the first instant at which the zone's wall clock shows
// wall or later. This one rule covers all clock changes: a wall time that
// happens twice gives its first instant, one that is skipped gives the instant
// of the change, and later wall times never give earlier instants.
func instantOf(wall time.Time, zone *time.Location) time.Time {
	from := wall.Add(-farthestOffset).In(zone)
	for {
		_, offset := from.Zone()
		end := segmentEnd(from)
		at := wall.Add(-time.Duration(offset) * time.Second)
		switch {
		case at.Before(from):
			return from.UTC()
		case end.IsZero() || at.Before(end):
			return at
		}
		from = end
	}
}

// segmentEnd returns until when, at least, the zone's offset at t holds; zero
// if for ever. For years beyond the zone database's table ZoneBounds takes
// each year for 365 days, so on the last day of a leap year its end is not
// after t; the offset then holds until the day is over.
func segmentEnd(t time.Time) time.Time {
	_, end := t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		const day = 24 * time.Hour
		return t.Truncate(day).Add(day)
	}
	return end
}

// endOfDay returns the first instant of the zone's next day after t.
func endOfDay(t time.Time, zone *time.Location) time.Time {
	year, month, day := wallOf(t, zone).Date()
	return instantOf(time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC), zone)
}

// loadZone finds an IANA zone by name. "Local" is refused since it means
// another thing on each node, and right/ zones since they count leap seconds.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || strings.HasPrefix(name, "right/") {
		return nil, &Error{Field: "time zone", Input: shorten(name),
			Problem: "not the name of an IANA time zone", Example: "Europe/Berlin"}
	}
	return zone, nil
}
