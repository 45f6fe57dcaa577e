package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/schedule"
)

// The naive evaluator: it looks at every minute of a stretch and asks whether
// the wall clock shows a time that the expression names. It shares nothing
// with the package: it has its own reading of the text and knows of clock
// changes only that the same wall time may come back, or be jumped over.

// naiveCron is an expression as plain tables.
type naiveCron struct {
	minute, hour, day, month, weekday, year []bool
	dayText, weekText                       string
	aws                                     bool
}

func naiveParse(expr string) naiveCron {
	n := naiveCron{aws: strings.HasPrefix(expr, "cron(")}
	f := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(expr, "cron("), ")"))
	n.minute, n.hour = naiveSet(f[0], 0, 59), naiveSet(f[1], 0, 23)
	n.dayText, n.weekText = f[2], f[4]
	n.day, n.month = naiveSet(f[2], 1, 31), naiveSet(f[3], 1, 12)
	if n.aws {
		n.weekday, n.year = naiveSet(f[4], 1, 7), naiveSet(f[5], 1970, 2199)
	} else {
		n.weekday, n.year = naiveSet(f[4], 0, 6), naiveSet("*", 1970, 2199)
	}
	return n
}

// naiveSet marks the plain numbers of a field; L, W and # parts stay out.
func naiveSet(text string, low, high int) []bool {
	set := make([]bool, high+1)
	for _, part := range strings.Split(text, ",") {
		if strings.ContainsAny(part, "LW#") {
			continue
		}
		for n := low; n <= high; n++ {
			set[n] = set[n] || naiveHas(part, n, low, high)
		}
	}
	return set
}

func naiveHas(part string, n, low, high int) bool {
	step := 1
	if before, after, ok := strings.Cut(part, "/"); ok {
		step, _ = strconv.Atoi(after)
		if part = before; !strings.ContainsAny(part, "*-") {
			part += "-" + strconv.Itoa(high)
		}
	}
	if part == "*" || part == "?" {
		part = fmt.Sprintf("%d-%d", low, high)
	}
	from, to, ok := strings.Cut(part, "-")
	if !ok {
		to = from
	}
	a, _ := strconv.Atoi(from)
	b, _ := strconv.Atoi(to)
	return a <= n && n <= b && (n-a)%step == 0
}

func (n naiveCron) matchesDay(w time.Time) bool {
	if !n.month[w.Month()] || !n.year[w.Year()] {
		return false
	}
	if !n.aws {
		day, weekday := n.day[w.Day()], n.weekday[w.Weekday()]
		if naiveStar(n.dayText) || naiveStar(n.weekText) {
			return day && weekday
		}
		return day || weekday
	}
	if n.weekText == "?" {
		return n.day[w.Day()] || n.specialDay(w)
	}
	return n.weekday[w.Weekday()+1] || n.specialWeekday(w)
}

func naiveStar(text string) bool { return text == "*" || text == "?" || text == "*/1" }

func (n naiveCron) specialDay(w time.Time) bool {
	for _, part := range strings.Split(n.dayText, ",") {
		if !strings.ContainsAny(part, "LW") {
			continue
		}
		lastDay := w.Day()
		for w.AddDate(0, 0, lastDay+1-w.Day()).Month() == w.Month() {
			lastDay++
		}
		target := lastDay
		if number, err := strconv.Atoi(strings.TrimSuffix(part, "W")); err == nil {
			target = number
		}
		if target > lastDay {
			continue
		}
		if strings.HasSuffix(part, "W") {
			target = naiveWorkday(w, target, lastDay)
		}
		if w.Day() == target {
			return true
		}
	}
	return false
}

// naiveWorkday tries the days around target, nearest first.
func naiveWorkday(w time.Time, target, lastDay int) int {
	for _, off := range []int{0, -1, 1, -2, 2} {
		d := w.AddDate(0, 0, target+off-w.Day())
		if target+off >= 1 && target+off <= lastDay && d.Weekday() != time.Saturday && d.Weekday() != time.Sunday {
			return target + off
		}
	}
	return 0
}

func (n naiveCron) specialWeekday(w time.Time) bool {
	for _, part := range strings.Split(n.weekText, ",") {
		if part == "L" {
			part = "7"
			if w.Weekday() == time.Saturday {
				return true
			}
		}
		number, _ := strconv.Atoi(part[:1])
		if int(w.Weekday())+1 != number {
			continue
		}
		if strings.HasSuffix(part, "L") && w.AddDate(0, 0, 7).Month() != w.Month() {
			return true
		}
		if _, nth, ok := strings.Cut(part, "#"); ok {
			count := 1
			for d := w.AddDate(0, 0, -7); d.Month() == w.Month(); d = d.AddDate(0, 0, -7) {
				count++
			}
			if strconv.Itoa(count) == nth {
				return true
			}
		}
	}
	return false
}

// stretch is some days of a zone around a clock change, minute by minute:
// which wall times come due in each minute. Usually that is the one that the
// clock shows; none in the second pass of a repeated hour, and after a jump
// all that were jumped over, too.
type stretch struct {
	zone string
	from time.Time
	days []time.Time
	due  [][]wallMinute
}

// wallMinute is a minute of the day on one of the stretch's days.
type wallMinute struct{ day, hour, minute int }

func newStretch(zone *time.Location, from time.Time, days int) stretch {
	s := stretch{zone: zone.String(), from: from}
	reading := func(t time.Time) time.Time {
		l := t.In(zone)
		return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
	}
	// The latest wall time that was ever shown.
	high := reading(from.Add(-time.Minute))
	for m := range days * 24 * 60 {
		now := reading(from.Add(time.Duration(m) * time.Minute))
		var due []wallMinute
		for high.Before(now) {
			high = high.Add(time.Minute)
			if day := high.Truncate(24 * time.Hour); len(s.days) == 0 || day.After(s.days[len(s.days)-1]) {
				s.days = append(s.days, day)
			}
			due = append(due, wallMinute{len(s.days) - 1, high.Hour(), high.Minute()})
		}
		s.due = append(s.due, due)
	}
	return s
}

func (s stretch) fires(n naiveCron) []time.Time {
	var matches []bool
	for _, day := range s.days {
		matches = append(matches, n.matchesDay(day))
	}
	var fires []time.Time
	for m, due := range s.due {
		for _, w := range due {
			if n.minute[w.minute] && n.hour[w.hour] && matches[w.day] {
				fires = append(fires, s.from.Add(time.Duration(m)*time.Minute))
				break
			}
		}
	}
	return fires
}

var changes = []struct{ zone, around string }{
	{"Europe/Berlin", "2026-03-29"}, {"Europe/Berlin", "2026-10-25"},
	{"America/New_York", "2026-03-08"}, {"America/New_York", "2026-11-01"},
	{"Australia/Lord_Howe", "2026-04-05"}, {"Australia/Lord_Howe", "2026-10-04"},
	{"America/Sao_Paulo", "2018-11-04"}, {"America/Sao_Paulo", "2018-02-18"},
	{"Atlantic/Azores", "2026-03-29"}, {"Atlantic/Azores", "2026-10-25"},
	{"Africa/Casablanca", "2026-02-15"}, {"Pacific/Apia", "2011-12-30"},
	{"UTC", "2028-02-29"}, {"Asia/Kolkata", "2026-12-31"},
}

func TestAgreesWithNaiveEvaluator(t *testing.T) {
	count := 10_000
	if testing.Short() {
		count = 500
	}
	var stretches []stretch
	for _, c := range changes {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		stretches = append(stretches, newStretch(zone, at(c.around).Add(-18*time.Hour), 2))
	}
	seed := uint64(20260329)
	random := rand.New(rand.NewPCG(seed, 1))
	fired := 0
	for i := range count {
		s := stretches[random.IntN(len(stretches))]
		expr := randomExpression(random, s.from.AddDate(0, 0, 1))
		want := s.fires(naiveParse(expr))
		parsed, err := schedule.Parse(schedule.Spec{Expression: expr, TimeZone: s.zone}, schedule.Options{})
		if err != nil {
			// A random date may not exist; then nothing may match it.
			if strings.Contains(err.Error(), "never fires") && len(want) == 0 {
				continue
			}
			t.Fatalf("seed %d, case %d: %v", seed, i, err)
		}
		if len(want) > 0 {
			fired++
		}
		compare(t, parsed, s, want, random)
		if t.Failed() {
			t.Fatalf("seed %d, case %d: %s in %s", seed, i, expr, s.zone)
		}
	}
	t.Logf("%d expressions agree; %d of them fire near the clock change", count, fired)
	if fired < count/4 {
		t.Errorf("only %d of %d expressions fired: the test looks at too little", fired, count)
	}
}

// compare asks for the fire after each one; of many, for a random part, since
// Next depends on nothing but the instant it is given.
func compare(t *testing.T, parsed *schedule.Schedule, s stretch, want []time.Time, random *rand.Rand) {
	t.Helper()
	const most = 60
	end := s.from.Add(time.Duration(len(s.due)) * time.Minute)
	instants := append([]time.Time{s.from.Add(-time.Nanosecond)}, want...)
	for i, after := range instants {
		if i > 0 && i < len(want) && random.IntN(len(instants)) >= most {
			continue
		}
		fire := parsed.Next(after)
		if i < len(want) && !fire.Equal(want[i]) {
			t.Errorf("after %v comes %v, want %v", after, fire, want[i])
			return
		}
		if i == len(want) && !fire.IsZero() && fire.Before(end) {
			t.Errorf("fires at %v, too", fire)
		}
	}
}

// Days alone, over eight years, since the stretches above are short.
func TestDaysAgreeWithNaiveEvaluator(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	from := at("2023-12-31")
	for i := range 300 {
		expr := "cron(0 0 " + randomDays(random, from) + " *)"
		if i%3 == 0 {
			expr = "0 0 " + randomFiveDays(random, from)
		}
		naive := naiveParse(expr)
		var want []time.Time
		for day := from.AddDate(0, 0, 1); day.Year() < 2032; day = day.AddDate(0, 0, 1) {
			if naive.matchesDay(day) {
				want = append(want, day)
			}
		}
		parsed, err := schedule.Parse(schedule.Spec{Expression: expr}, schedule.Options{})
		if err != nil {
			if strings.Contains(err.Error(), "never fires") && len(want) == 0 {
				continue
			}
			t.Fatal(err)
		}
		if got := parsed.Preview(from, len(want)); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s: fires differ:\n got %v\nwant %v", expr, got, want)
		}
	}
}

func randomExpression(r *rand.Rand, around time.Time) string {
	minute, hour := randomField(r, 0, 59, r.IntN(60)), randomField(r, 0, 23, r.IntN(5))
	if r.IntN(2) == 0 {
		return minute + " " + hour + " " + randomFiveDays(r, around)
	}
	year := "*"
	if r.IntN(4) == 0 {
		year = randomField(r, 1970, 2199, around.Year())
	}
	return "cron(" + minute + " " + hour + " " + randomDays(r, around) + " " + year + ")"
}

func randomFiveDays(r *rand.Rand, around time.Time) string {
	return randomField(r, 1, 31, around.Day()) + " " + randomField(r, 1, 12, int(around.Month())) + " " + randomField(r, 0, 6, int(around.Weekday()))
}

func randomDays(r *rand.Rand, around time.Time) string {
	month := randomField(r, 1, 12, int(around.Month()))
	if r.IntN(2) == 0 {
		special := []string{"L", "LW", fmt.Sprintf("%dW", 1+r.IntN(31)), fmt.Sprintf("%dW", around.Day())}
		return randomPart(r, special, randomField(r, 1, 31, around.Day())) + " " + month + " ?"
	}
	weekday := int(around.Weekday()) + 1
	special := []string{"L", fmt.Sprintf("%dL", 1+r.IntN(7)), fmt.Sprintf("%dL", weekday),
		fmt.Sprintf("%d#%d", weekday, (around.Day()+6)/7), fmt.Sprintf("%d#%d", 1+r.IntN(7), 1+r.IntN(5))}
	return "? " + month + " " + randomPart(r, special, randomField(r, 1, 7, weekday))
}

func randomPart(r *rand.Rand, special []string, plain string) string {
	switch r.IntN(3) {
	case 0:
		return special[r.IntN(len(special))]
	case 1:
		return special[r.IntN(len(special))] + "," + special[r.IntN(len(special))]
	}
	return plain
}

// randomField makes a field that often holds likely, so that it often matches.
func randomField(r *rand.Rand, low, high, likely int) string {
	pick := func() int { return low + r.IntN(high-low+1) }
	switch r.IntN(7) {
	case 0, 1:
		return "*"
	case 2:
		return strconv.Itoa(likely)
	case 3:
		return fmt.Sprintf("%d-%d", low+r.IntN(likely-low+1), likely+r.IntN(high-likely+1))
	case 4:
		return fmt.Sprintf("*/%d", 1+r.IntN(min(high, 12)))
	case 5:
		return fmt.Sprintf("%d/%d", pick(), 1+r.IntN(min(high, 12)))
	default:
		return fmt.Sprintf("%d,%d,%d", pick(), likely, pick())
	}
}
