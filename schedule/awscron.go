package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const awsExample = "cron(0 3 ? * SUN *)"

// awsField is one of the six fields of AWS's cron.
type awsField struct {
	name     string
	min, max int
	names    []string // names[i] stands for min+i
}

var (
	awsMinute  = awsField{name: "minutes", min: 0, max: 59}
	awsHour    = awsField{name: "hours", min: 0, max: 23}
	awsDay     = awsField{name: "day of month", min: 1, max: 31}
	awsMonth   = awsField{name: "month", min: 1, max: 12, names: strings.Fields("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")}
	awsWeekday = awsField{name: "day of week", min: 1, max: 7, names: strings.Fields("SUN MON TUE WED THU FRI SAT")}
	awsYear    = awsField{name: "year", min: firstYear, max: lastYear}
)

// parseAWSCron reads the six fields between the parentheses of cron(…).
func parseAWSCron(expr, inner string) (*table, error) {
	fields := strings.Fields(strings.ToUpper(inner))
	if len(fields) != 6 {
		return nil, badExpression(expr, awsExample,
			"cron(…) has six fields (minutes hours day-of-month month day-of-week year), not %d", len(fields))
	}
	if (fields[2] == "?") == (fields[4] == "?") {
		return nil, badExpression(expr, awsExample,
			"exactly one of day of month (%s) and day of week (%s) must be ?", fields[2], fields[4])
	}
	c := &table{anyYear: fields[5] == "*"}
	err := firstError(
		awsMinute.read(fields[0], addTo(&c.minutes)),
		awsHour.read(fields[1], addTo(&c.hours)),
		c.readMonthDays(fields[2]),
		awsMonth.read(fields[3], addTo(&c.months)),
		c.readWeekdays(fields[4]),
		awsYear.read(fields[5], func(year int) { c.years.add(year - firstYear) }),
	)
	if err != nil {
		return nil, badExpression(expr, awsExample, "%s", err)
	}
	return c, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func addTo(set *uint64) func(int) { return func(n int) { *set |= 1 << uint(n) } }

// read hands each number of a comma-separated field to add.
func (f awsField) read(text string, add func(int)) error {
	for part := range strings.SplitSeq(text, ",") {
		if err := f.readPart(part, add); err != nil {
			return err
		}
	}
	return nil
}

// readPart reads *, n, n-m and each of them with /step; /step alone starts at
// the field's lowest number.
func (f awsField) readPart(part string, add func(int)) error {
	span, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > f.max {
			return fmt.Errorf("%s: the step in %q must be a number from 1 to %d", f.name, part, f.max)
		}
	}
	low, high, err := f.span(span, stepped)
	if err != nil {
		return err
	}
	for n := low; n <= high; n += step {
		add(n)
	}
	return nil
}

func (f awsField) span(text string, stepped bool) (low, high int, err error) {
	if text == "*" || text == "" && stepped {
		return f.min, f.max, nil
	}
	lowText, highText, ranged := strings.Cut(text, "-")
	if low, err = f.number(lowText); err != nil {
		return 0, 0, err
	}
	switch {
	case !ranged && stepped:
		return low, f.max, nil
	case !ranged:
		return low, low, nil
	}
	if high, err = f.number(highText); err != nil {
		return 0, 0, err
	}
	if high < low {
		return 0, 0, fmt.Errorf("%s: the range %s runs backwards; write it as two, separated by a comma", f.name, text)
	}
	return low, high, nil
}

func (f awsField) number(text string) (int, error) {
	for i, name := range f.names {
		if text == name {
			return f.min + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.min || n > f.max || text[0] == '+' {
		return 0, fmt.Errorf("%s: %q is not a number from %d to %d", f.name, text, f.min, f.max)
	}
	return n, nil
}

// readMonthDays reads the day of month: also ?, L, LW and nW.
func (c *table) readMonthDays(text string) error {
	if text == "?" {
		text = "*"
	}
	for part := range strings.SplitSeq(text, ",") {
		rule, err := monthRule(part)
		if err != nil {
			return err
		}
		if rule != nil {
			c.monthRules = append(c.monthRules, rule)
			continue
		}
		if err := awsDay.readPart(part, addTo(&c.monthDays)); err != nil {
			return err
		}
	}
	return nil
}

// monthRule returns nil if part is no L or W form.
func monthRule(part string) (dayRule, error) {
	switch {
	case part == "L":
		return func(d day) bool { return d.number == d.last }, nil
	case part == "LW":
		return func(d day) bool { return d.number == d.nearestWeekday(d.last) }, nil
	case strings.HasSuffix(part, "W"):
		want, err := awsDay.number(strings.TrimSuffix(part, "W"))
		if err != nil {
			return nil, err
		}
		return func(d day) bool { return want <= d.last && d.number == d.nearestWeekday(want) }, nil
	}
	return nil, nil
}

// nearestWeekday returns the day from Monday to Friday closest to the given
// one, without leaving the month.
func (d day) nearestWeekday(number int) int {
	switch d.weekdayOf(number) {
	case time.Saturday:
		if number == 1 {
			return 3
		}
		return number - 1
	case time.Sunday:
		if number == d.last {
			return number - 2
		}
		return number + 1
	}
	return number
}

// readWeekdays reads the day of week: also ?, L (Saturday), nL (the last such
// weekday of the month) and n#k (the k-th).
func (c *table) readWeekdays(text string) error {
	if text == "?" {
		text = "*"
	}
	for part := range strings.SplitSeq(text, ",") {
		rule, err := weekRule(part)
		if err != nil {
			return err
		}
		if rule != nil {
			c.weekRules = append(c.weekRules, rule)
			continue
		}
		if part == "L" {
			part = "SAT"
		}
		if err := awsWeekday.readPart(part, func(n int) { c.weekdays |= 1 << uint(n-1) }); err != nil {
			return err
		}
	}
	return nil
}

// weekRule returns nil if part is neither nL nor n#k.
func weekRule(part string) (dayRule, error) {
	if name, nth, ok := strings.Cut(part, "#"); ok {
		n, err := awsWeekday.number(name)
		if err != nil {
			return nil, err
		}
		if len(nth) != 1 || nth[0] < '1' || nth[0] > '5' {
			return nil, fmt.Errorf("day of week: what follows # in %q must be a number from 1 to 5", part)
		}
		k := int(nth[0] - '0')
		return func(d day) bool { return int(d.weekday) == n-1 && (d.number+6)/7 == k }, nil
	}
	if name, ok := strings.CutSuffix(part, "L"); ok && name != "" {
		n, err := awsWeekday.number(name)
		if err != nil {
			return nil, err
		}
		return func(d day) bool { return int(d.weekday) == n-1 && d.number+7 > d.last }, nil
	}
	return nil, nil
}
