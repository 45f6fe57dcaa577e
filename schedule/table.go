package schedule

import (
	"math/bits"
	"time"
)

// The years that AWS's cron knows, and beyond which nothing fires.
const (
	firstYear = 1970
	lastYear  = 2199
)

// bitset holds small numbers.
type bitset [4]uint64

func (b *bitset) add(n int)      { b[n/64] |= 1 << (n % 64) }
func (b *bitset) has(n int) bool { return n >= 0 && n < 256 && b[n/64]>>(n%64)&1 == 1 }

// A dayRule is a day of the month that depends on the month: AWS's L, W and #.
type dayRule func(d day) bool

// day is a date with what the rules ask about it.
type day struct {
	number  int          // of the month, from 1
	last    int          // number of the month's last day
	weekday time.Weekday // 0 is Sunday
}

func dayOf(t time.Time) day {
	last := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return day{number: t.Day(), last: last, weekday: t.Weekday()}
}

// weekdayOf returns the weekday of another day of the same month.
func (d day) weekdayOf(number int) time.Weekday {
	return time.Weekday(((int(d.weekday)+number-d.number)%7 + 7) % 7)
}

// table is a cron expression of either dialect, as sets.
type table struct {
	minutes, hours, months uint64
	monthDays              uint64 // bits 1 to 31
	weekdays               uint64 // bits 0 (Sunday) to 6
	monthRules, weekRules  []dayRule
	// eitherDay: a day counts if its number or its weekday matches (five-field
	// cron with both given); else both have to.
	eitherDay bool
	anyYear   bool
	years     bitset // offset from firstYear; unused if anyYear
}

func (c *table) matchesDate(t time.Time) bool {
	if c.months>>uint(t.Month())&1 == 0 || !c.matchesYear(t.Year()) {
		return false
	}
	d := dayOf(t)
	number := c.monthDays>>uint(d.number)&1 == 1 || anyRule(c.monthRules, d)
	weekday := c.weekdays>>uint(d.weekday)&1 == 1 || anyRule(c.weekRules, d)
	if c.eitherDay {
		return number || weekday
	}
	return number && weekday
}

func anyRule(rules []dayRule, d day) bool {
	for _, rule := range rules {
		if rule(d) {
			return true
		}
	}
	return false
}

func (c *table) matchesYear(year int) bool {
	if year < firstYear || year > lastYear {
		return false
	}
	return c.anyYear || c.years.has(year-firstYear)
}

// next returns the first wall time after the given one that the table names,
// or false if there is none up to lastYear.
func (c *table) next(after time.Time) (time.Time, bool) {
	from := after.Truncate(time.Minute).Add(time.Minute)
	date := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
	if c.matchesDate(date) {
		if minute, ok := c.timeFrom(from.Hour()*60 + from.Minute()); ok {
			return date.Add(time.Duration(minute) * time.Minute), true
		}
	}
	date, ok := c.nextDate(date)
	if !ok {
		return time.Time{}, false
	}
	minute, ok := c.timeFrom(0)
	return date.Add(time.Duration(minute) * time.Minute), ok
}

// nextDate returns the first matching date after the given one.
func (c *table) nextDate(date time.Time) (time.Time, bool) {
	date = date.AddDate(0, 0, 1)
	if date.Year() < firstYear {
		date = time.Date(firstYear, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	for date.Year() <= lastYear {
		switch {
		case !c.matchesYear(date.Year()):
			date = time.Date(date.Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC)
		case c.months>>uint(date.Month())&1 == 0:
			date = time.Date(date.Year(), date.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case c.matchesDate(date):
			return date, true
		default:
			date = date.AddDate(0, 0, 1)
		}
	}
	return time.Time{}, false
}

// timeFrom returns the first minute of the day, at or after the given one,
// that the table names.
func (c *table) timeFrom(minute int) (int, bool) {
	for hour := minute / 60; hour < 24; hour++ {
		if c.hours>>uint(hour)&1 == 0 {
			minute = 0
			continue
		}
		start := 0
		if hour == minute/60 {
			start = minute % 60
		}
		if rest := c.minutes >> uint(start); rest != 0 {
			return hour*60 + start + bits.TrailingZeros64(rest), true
		}
		minute = 0
	}
	return 0, false
}

const dayMinutes = 24 * 60

// gapBelow returns the shortest time between two fires if it is shorter than
// need. It looks no further than need demands, so that reading a stored
// schedule stays cheap.
func (c *table) gapBelow(need time.Duration) (time.Duration, bool) {
	first, last, shortest := c.timesOfDay()
	if gap := time.Duration(shortest) * time.Minute; shortest > 0 && gap < need {
		return gap, true
	}
	overnight := time.Duration(first+dayMinutes-last) * time.Minute
	const oneDay = 24 * time.Hour
	if overnight >= need {
		return 0, false
	}
	reach := int((need-overnight-1)/oneDay) + 1 // days apart that would be too close
	if days, ok := c.datesWithin(reach); ok {
		return overnight + time.Duration(days-1)*oneDay, true
	}
	return 0, false
}

// timesOfDay returns the first and last minute of a day that fires, and the
// shortest distance between two; 0 if there is but one.
func (c *table) timesOfDay() (first, last, shortest int) {
	first, ok := c.timeFrom(0)
	last = first
	for at := first; ok && shortest != 1; {
		at, ok = c.timeFrom(last + 1)
		if !ok {
			break
		}
		if gap := at - last; shortest == 0 || gap < shortest {
			shortest = gap
		}
		last = at
	}
	// The loop stops early at the shortest gap there can be; the last time is
	// still needed.
	last = 63 - bits.LeadingZeros64(c.hours)
	last = last*60 + 63 - bits.LeadingZeros64(c.minutes)
	return first, last, shortest
}

// datesWithin returns the shortest distance in days between two matching
// dates, if it is at most reach.
func (c *table) datesWithin(reach int) (int, bool) {
	// The calendar repeats itself after 28 years within these centuries.
	from, until := 2001, 2029
	if !c.anyYear {
		from, until = firstYear, lastYear
	}
	shortest := reach + 1
	previous := time.Time{}
	date := time.Date(from, time.January, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -1)
	for {
		next, ok := c.nextDate(date)
		if !ok || next.Year() > until {
			return shortest, shortest <= reach
		}
		if days := int(next.Sub(previous) / (24 * time.Hour)); !previous.IsZero() && days < shortest {
			shortest = days
		}
		if shortest == 1 {
			return 1, true
		}
		previous, date = next, next
	}
}
