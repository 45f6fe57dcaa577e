package schedule

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// timing says when the nominal fires are.
type timing interface {
	// next returns the first nominal fire after t, or zero if there is none.
	next(t time.Time) time.Time
	// gapBelow returns the shortest time between two fires if it is below need.
	gapBelow(need time.Duration) (time.Duration, bool)
	// often tells whether there can be several fires on one day.
	often() bool
}

// longestInterval keeps grid arithmetic far from overflow.
const longestInterval = 100 * 365 * 24 * time.Hour

// grid is anchor + k × interval for k = 1, 2, …
type grid struct {
	anchor   time.Time
	interval time.Duration
}

func (g grid) next(t time.Time) time.Time {
	if t.Before(g.anchor) {
		return g.anchor.Add(g.interval)
	}
	if t.Year() > lastYear {
		return time.Time{}
	}
	k := t.Sub(g.anchor)/g.interval + 1
	return g.anchor.Add(k * g.interval)
}

func (g grid) gapBelow(need time.Duration) (time.Duration, bool) {
	return g.interval, g.interval < need
}

func (g grid) often() bool { return g.interval < 24*time.Hour }

// calendar is a table on the wall clock of a zone.
type calendar struct {
	*table
	zone *time.Location
}

func (c calendar) next(t time.Time) time.Time {
	wall := wallOf(t, c.zone)
	for {
		var ok bool
		if wall, ok = c.table.next(wall); !ok {
			return time.Time{}
		}
		// In the second pass of a repeated hour the wall times are those that
		// fired in the first.
		if at := instantOf(wall, c.zone); at.After(t) {
			return at
		}
	}
}

func (c calendar) often() bool {
	first, last, _ := c.timesOfDay()
	return first != last
}

var (
	expressionText = regexp.MustCompile(`^[0-9A-Za-z()#?*\-/, @.]+$`)
	rateText       = regexp.MustCompile(`^([0-9]+) (minutes?|hours?|days?)$`)
)

// parseTiming reads any expression. anchor is never zero.
func parseTiming(expr string, anchor time.Time, zone *time.Location) (timing, error) {
	switch {
	case len(expr) > MaxExpressionLength:
		return nil, badExpression(expr, awsExample, "longer than %d characters", MaxExpressionLength)
	case !expressionText.MatchString(expr):
		return nil, badExpression(expr, awsExample,
			"holds a character that no schedule has (a time zone goes into its own field)")
	case strings.HasPrefix(expr, "rate("):
		interval, err := parseRate(expr)
		return grid{anchor, interval}, err
	case strings.HasPrefix(expr, "@every"):
		interval, err := parseEvery(expr)
		return grid{anchor, interval}, err
	}
	c, err := parseTable(expr)
	if err != nil {
		return nil, err
	}
	return calendar{c, zone}, nil
}

func parseTable(expr string) (c *table, err error) {
	if inner, ok := strings.CutPrefix(expr, "cron("); ok {
		inner, closed := strings.CutSuffix(inner, ")")
		if !closed {
			return nil, badExpression(expr, awsExample, "the closing parenthesis is missing")
		}
		c, err = parseAWSCron(expr, inner)
	} else {
		c, err = parseFiveField(expr)
	}
	if err != nil {
		return nil, err
	}
	start := time.Date(firstYear, time.January, 1, 0, 0, 0, 0, time.UTC).Add(-time.Minute)
	if _, ok := c.next(start); ok {
		return c, nil
	}
	example := `"0 0 28 2 *"`
	if strings.HasPrefix(expr, "cron(") {
		example = "cron(0 0 L 2 ? *)"
	}
	return nil, badExpression(expr, example, "it never fires: no date matches its day and month")
}

func parseRate(expr string) (time.Duration, error) {
	const example = "rate(4 hours)"
	inner, closed := strings.CutSuffix(strings.TrimPrefix(expr, "rate("), ")")
	parts := rateText.FindStringSubmatch(inner)
	if !closed || parts == nil {
		return 0, badExpression(expr, example, "rate(…) holds a whole number and minute(s), hour(s) or day(s)")
	}
	value, err := strconv.ParseInt(parts[1], 10, 32)
	unit, plural := strings.CutSuffix(parts[2], "s")
	if err != nil || value < 1 {
		return 0, badExpression(expr, example, "the number must be from 1 to 2147483647")
	}
	if plural == (value == 1) {
		return 0, badExpression(expr, example, "the unit is singular for 1 and plural for more: rate(1 %[1]s), rate(5 %[1]ss)", unit)
	}
	length := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[unit]
	if value > int64(longestInterval/length) {
		return 0, badExpression(expr, example, "the interval is longer than a hundred years")
	}
	return time.Duration(value) * length, nil
}

func parseEvery(expr string) (time.Duration, error) {
	const example = `"@every 90m"`
	text, ok := strings.CutPrefix(expr, "@every ")
	interval, err := time.ParseDuration(strings.TrimSpace(text))
	switch {
	case !ok || err != nil:
		return 0, badExpression(expr, example, "what follows @every must be a duration in h, m and s")
	case interval < time.Millisecond:
		return 0, badExpression(expr, example, "the interval must be positive")
	case interval > longestInterval:
		return 0, badExpression(expr, example, "the interval is longer than a hundred years")
	}
	return interval, nil
}
