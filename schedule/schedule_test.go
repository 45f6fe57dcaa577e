package schedule_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"lockstep"
	"lockstep/schedule"
)

func ExampleParse() {
	s, err := schedule.Parse(schedule.Spec{
		Expression: "cron(30 2 ? * SUN *)",
		TimeZone:   "Europe/Berlin",
		Window:     3 * time.Hour,
	}, schedule.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	// On the last Sunday of March the clock goes from 02:00 to 03:00.
	after := time.Date(2026, time.March, 20, 0, 0, 0, 0, time.UTC)
	for _, fire := range s.Preview(after, 3) {
		_, end := s.Window(fire)
		fmt.Println(fire.In(s.Location()).Format("Mon Jan _2 15:04 MST"), "until", end.In(s.Location()).Format("15:04"))
	}

	_, err = schedule.Parse(schedule.Spec{Expression: "0 0 30 2 *"}, schedule.Options{})
	fmt.Println(err)
	// Output:
	// Sun Mar 22 02:30 CET until 05:30
	// Sun Mar 29 03:00 CEST until 06:00
	// Sun Apr  5 02:30 CEST until 05:30
	// schedule expression "0 0 30 2 *": it never fires: no date matches its day and month; an example that works: "0 0 28 2 *"
}

func parse(t testing.TB, spec schedule.Spec, opts schedule.Options) *schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(spec, opts)
	if err != nil {
		t.Fatalf("parse %+v: %v", spec, err)
	}
	return s
}

func at(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC) // matches nothing
}

func times(texts ...string) []time.Time {
	var all []time.Time
	for _, text := range texts {
		all = append(all, at(text))
	}
	return all
}

func TestFires(t *testing.T) {
	tests := []struct {
		expr, zone, after string
		want              []time.Time // in UTC
	}{
		// Grids, anchored at the epoch here.
		{"rate(1 minute)", "", "2026-01-01 00:00:30", times("2026-01-01 00:01", "2026-01-01 00:02")},
		{"rate(4 hours)", "", "2026-01-01 00:00", times("2026-01-01 04:00", "2026-01-01 08:00")},
		{"rate(1 day)", "", "2026-01-01 00:00", times("2026-01-02", "2026-01-03")},
		{"@every 90m", "", "1970-01-01 00:00", times("1970-01-01 01:30", "1970-01-01 03:00")},
		// Five fields and descriptors.
		{"*/20 3 * * *", "", "2026-01-01 03:30", times("2026-01-01 03:40", "2026-01-02 03:00")},
		{"0 3 * * SUN", "", "2026-01-01 00:00", times("2026-01-04 03:00", "2026-01-11 03:00")},
		{"0 0 13 * 5", "", "2026-01-01 00:00", times("2026-01-02", "2026-01-09", "2026-01-13")}, // day OR weekday
		{"0 0 29 2 *", "", "2096-03-01 00:00", times("2104-02-29")},                             // 2100 is no leap year
		{"@daily", "", "2026-01-01 12:00", times("2026-01-02", "2026-01-03")},
		{"@hourly", "", "2026-01-01 12:00", times("2026-01-01 13:00", "2026-01-01 14:00")},
		{"@monthly", "", "2026-01-01 12:00", times("2026-02-01", "2026-03-01")},
		// AWS's six fields.
		{"cron(0 8 1 * ? *)", "", "2026-01-01 08:00", times("2026-02-01 08:00", "2026-03-01 08:00")},
		{"cron(0 /8 * * ? *)", "", "2026-01-01 00:00", times("2026-01-01 08:00", "2026-01-01 16:00", "2026-01-02 00:00")},
		{"cron(5/20 10 ? * 2-6 *)", "", "2026-01-02 10:30", times("2026-01-02 10:45", "2026-01-05 10:05")},
		{"cron(0 0 L * ? *)", "", "2028-02-01 00:00", times("2028-02-29", "2028-03-31", "2028-04-30")},
		{"cron(0 0 LW * ? *)", "", "2026-05-01 00:00", times("2026-05-29", "2026-06-30")},
		{"cron(0 0 1W * ? *)", "", "2026-07-20 00:00", times("2026-08-03", "2026-09-01")},  // Saturday the 1st: not back into July
		{"cron(0 0 31W * ? *)", "", "2026-05-01 00:00", times("2026-05-29", "2026-07-31")}, // Sunday the 31st: not on into June
		{"cron(0 0 15W * ? *)", "", "2026-02-01 00:00", times("2026-02-16", "2026-03-16", "2026-04-15")},
		{"cron(0 0 ? * L *)", "", "2026-01-01 00:00", times("2026-01-03", "2026-01-10")},     // Saturdays
		{"cron(0 0 ? * 6L *)", "", "2026-01-01 00:00", times("2026-01-30", "2026-02-27")},    // last Friday
		{"cron(0 0 ? * TUE#2 *)", "", "2026-01-01 00:00", times("2026-01-13", "2026-02-10")}, // Patch Tuesday
		{"cron(0 0 ? * 2#5 *)", "", "2026-01-01 00:00", times("2026-03-30", "2026-06-29")},
		{"cron(15 12 1 JAN,jul ? 2030-2031)", "", "2026-01-01 00:00", times("2030-01-01 12:15", "2030-07-01 12:15", "2031-01-01 12:15", "2031-07-01 12:15", "")},
		{"cron(0 0 1 1 ? 2020)", "", "2026-01-01 00:00", times("")},
		// Clock changes. Berlin: 2026-03-29 02:00 → 03:00, 2026-10-25 03:00 → 02:00.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", times("2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30")},
		{"*/30 * * * *", "Europe/Berlin", "2026-03-29 00:00", times("2026-03-29 00:30", "2026-03-29 01:00", "2026-03-29 01:30")},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", times("2026-10-25 00:30", "2026-10-26 01:30")},
		{"*/30 * * * *", "Europe/Berlin", "2026-10-25 00:00", times("2026-10-25 00:30", "2026-10-25 02:00")},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25 01:30", times("2026-10-26 01:30")}, // asked in the second 02:30
		{"0 0 * * *", "America/Sao_Paulo", "2018-11-03 12:00", times("2018-11-04 03:00", "2018-11-05 02:00")},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00", times("2026-10-03 15:30", "2026-10-04 15:15")},              // half an hour
		{"0 12 31 12 *", "Europe/Berlin", "2184-01-01 00:00", times("2184-12-31 11:00", "2185-12-31 11:00")},                  // beyond the zone table, a leap year's last day
		{"0 12 * * *", "Pacific/Apia", "2011-12-29 12:00", times("2011-12-29 22:00", "2011-12-30 10:00", "2011-12-30 22:00")}, // a day skipped
	}
	for _, tt := range tests {
		t.Run(tt.expr+" "+tt.zone, func(t *testing.T) {
			s := parse(t, schedule.Spec{Expression: tt.expr, TimeZone: tt.zone}, schedule.Options{})
			fire := at(tt.after)
			for i, want := range tt.want {
				if want.Year() == 1 {
					want = time.Time{}
				}
				if fire = s.Next(fire); !fire.Equal(want) {
					t.Fatalf("fire %d is %v, want %v", i+1, fire, want)
				}
			}
		})
	}
}

func TestGridDoesNotDrift(t *testing.T) {
	anchor := at("2026-05-01T10:00:00.123Z")
	for _, spec := range []schedule.Spec{{Expression: "@every 10s", Anchor: anchor}, {Expression: "rate(7 minutes)", Anchor: anchor}, {AfterDays: 30, Anchor: anchor}} {
		s := parse(t, spec, schedule.Options{MinInterval: time.Second})
		interval := s.Next(anchor).Sub(anchor)
		if got := s.Next(anchor.Add(-time.Hour)); !got.Equal(anchor.Add(interval)) {
			t.Errorf("%+v: before the anchor the next fire is %v, want the first", spec, got)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 1000 {
			after := anchor.Add(time.Duration(random.Int64N(int64(1000 * interval))))
			fire := s.Next(after)
			if off := fire.Sub(anchor) % interval; off != 0 || !fire.After(after) || fire.Sub(after) > interval {
				t.Fatalf("%+v: after %v comes %v, %v off the grid", spec, after, fire, off)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	spec := func(expr string) schedule.Spec { return schedule.Spec{Expression: expr} }
	tests := []struct {
		name string
		spec schedule.Spec
		says string
	}{
		{"nothing", spec(""), "1-1000"},
		{"both kinds", schedule.Spec{Expression: "rate(1 day)", AfterDays: 1}, "not both"},
		{"too many days", schedule.Spec{AfterDays: 1001}, "1-1000"},
		{"negative days", schedule.Spec{AfterDays: -1}, "1-1000"},
		{"words", spec("every now and then"), "five-field"},
		{"too long", spec(strings.Repeat("0,", 130) + " * * * *"), "256"},
		{"line break", spec("0 0 * *\n*"), "character"},
		{"zone inside", spec("CRON_TZ=UTC 0 0 * * *"), "own field"},
		{"zone inside, cut", spec("TZ="), "own field"},
		{"minute 60", spec("60 * * * *"), "five-field"},
		{"six fields bare", spec("0 0 0 * * *"), "five-field"},
		{"February 30", spec("0 0 30 2 *"), "never fires"},
		{"February 30 on AWS", spec("cron(0 0 30 2 ? *)"), "never fires"},
		{"no leap year", spec("cron(0 0 29 FEB ? 2027)"), "never fires"},
		{"no fifth Monday", spec("cron(0 0 ? 2 MON#5 2027)"), "never fires"},
		{"rate without unit", spec("rate(5)"), "whole number"},
		{"rate open", spec("rate(5 minutes"), "whole number"},
		{"rate of weeks", spec("rate(1 week)"), "whole number"},
		{"rate fraction", spec("rate(1.5 hours)"), "whole number"},
		{"rate plural", spec("rate(5 minute)"), "rate(5 minutes)"},
		{"rate singular", spec("rate(1 minutes)"), "rate(1 minute)"},
		{"rate zero", spec("rate(0 minutes)"), "2147483647"},
		{"rate enormous", spec("rate(99999999999999999999 days)"), "2147483647"},
		{"rate of centuries", spec("rate(2147483647 days)"), "hundred years"},
		{"every nothing", spec("@every"), "duration"},
		{"every backwards", spec("@every -5m"), "positive"},
		{"every other thing", spec("@every tuesday"), "duration"},
		{"unknown descriptor", spec("@reboot"), "five-field"},
		{"cron with five fields", spec("cron(0 0 * * ?)"), "six fields"},
		{"cron open", spec("cron(0 0 * * ? *"), "parenthesis"},
		{"two stars", spec("cron(0 0 * * * *)"), "exactly one"},
		{"two question marks", spec("cron(0 0 ? * ? *)"), "exactly one"},
		{"cron minute 60", spec("cron(60 0 * * ? *)"), "minutes"},
		{"cron hour 24", spec("cron(0 24 * * ? *)"), "hours"},
		{"cron day 0", spec("cron(0 0 0 * ? *)"), "day of month"},
		{"cron weekday 8", spec("cron(0 0 ? * 8 *)"), "day of week"},
		{"cron month", spec("cron(0 0 1 FOO ? *)"), "month"},
		{"cron year", spec("cron(0 0 1 1 ? 1969)"), "year"},
		{"cron backwards", spec("cron(0 22-4 * * ? *)"), "backwards"},
		{"cron step 0", spec("cron(*/0 * * * ? *)"), "step"},
		{"cron sixth Monday", spec("cron(0 0 ? * MON#6 *)"), "1 to 5"},
		{"cron empty part", spec("cron(1,,2 * * * ? *)"), "minutes"},
		{"zone", schedule.Spec{Expression: "@daily", TimeZone: "Mars/Olympus"}, "IANA"},
		{"zone of the machine", schedule.Spec{Expression: "@daily", TimeZone: "Local"}, "IANA"},
		{"zone outside", schedule.Spec{Expression: "@daily", TimeZone: "../../etc/passwd"}, "IANA"},
		{"too often", spec("@every 10s"), "10s apart"},
		{"window beyond a grid's interval", schedule.Spec{Expression: "rate(2 hours)", Window: 3 * time.Hour}, "come 2h0m0s apart"},
		{"window beyond the day's gap", schedule.Spec{Expression: "0 9,11 * * *", Window: 3 * time.Hour}, "come 2h0m0s apart"},
		{"window beyond the night's gap", schedule.Spec{Expression: "0 1,23 * * *", Window: 3 * time.Hour}, "come 2h0m0s apart"},
		{"window beyond the weekend's gap", schedule.Spec{Expression: "0 0 * * SAT,SUN", Window: 25 * time.Hour}, "come 24h0m0s apart"},
		{"window beyond the turn of the month", schedule.Spec{Expression: "cron(0 0 1,L * ? *)", Window: 30 * time.Hour}, "come 24h0m0s apart"},
		{"window negative", schedule.Spec{Expression: "@daily", Window: -time.Hour}, "negative"},
		{"jitter beyond the window", schedule.Spec{Expression: "@daily", Window: time.Hour, Jitter: 2 * time.Hour}, "window of 1h"},
		{"jitter beyond the interval", schedule.Spec{Expression: "@hourly", Jitter: 2 * time.Hour}, "come 1h0m0s apart"},
		{"jitter negative", schedule.Spec{Expression: "@daily", Jitter: -time.Hour}, "negative"},
		{"anchor", schedule.Spec{Expression: "rate(1 day)", Anchor: at("1900-01-01")}, "year"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := schedule.Parse(tt.spec, schedule.Options{})
			var problem *schedule.Error
			if s != nil || !errors.As(err, &problem) || !errors.Is(err, lockstep.ErrInvalid) {
				t.Fatalf("parse: %v, %v; want no schedule and an *Error", s, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
			tryExample(t, tt.spec, problem)
		})
	}
}

// tryExample puts the error's example in place of what was refused.
func tryExample(t *testing.T, spec schedule.Spec, e *schedule.Error) {
	t.Helper()
	example := strings.Trim(e.Example, `"`)
	var err error
	switch e.Field {
	case "expression":
		spec = schedule.Spec{Expression: example}
	case "days":
		spec = schedule.Spec{}
		_, err = fmt.Sscan(example, &spec.AfterDays)
	case "time zone":
		spec.TimeZone = example
	case "window":
		spec.Window, err = time.ParseDuration(example)
	case "jitter":
		spec.Jitter, err = time.ParseDuration(example)
	case "anchor":
		spec.Anchor, err = time.Parse(time.RFC3339, example)
	default:
		t.Fatalf("unknown field %q", e.Field)
	}
	if err == nil {
		_, err = schedule.Parse(spec, schedule.Options{})
	}
	if err != nil {
		t.Errorf("the example %q of %q does not work: %v", e.Example, e, err)
	}
}

func TestMinInterval(t *testing.T) {
	tests := []struct {
		expr string
		min  time.Duration
		ok   bool
	}{
		{"@every 10s", 10 * time.Second, true},
		{"@every 10s", 11 * time.Second, false},
		{"@every 200ms", 100 * time.Millisecond, true},
		{"* * * * *", time.Minute, true},
		{"* * * * *", time.Hour, false},
		{"0 * * * *", time.Hour, true},
		{"59 * * * *", 61 * time.Minute, false},
		{"0,59 * * * *", 2 * time.Minute, false},
		{"0 0,23 * * *", 2 * time.Hour, false},
		{"0 0,23 1 * *", 2 * time.Hour, true}, // no two days in a row
		{"cron(0 3 L * ? *)", 28 * 24 * time.Hour, true},
		{"cron(0 3 L * ? *)", 29 * 24 * time.Hour, false},
		{"cron(0 3 1,L * ? 2026)", 36 * time.Hour, false},
		{"cron(0 3 1,L 1 ? 2026)", 36 * time.Hour, true},
		{"cron(0 3 1 1 ? 2026)", 9000 * time.Hour, true},
	}
	for _, tt := range tests {
		_, err := schedule.Parse(schedule.Spec{Expression: tt.expr}, schedule.Options{MinInterval: tt.min})
		if (err == nil) != tt.ok {
			t.Errorf("%s with minimum %v: %v", tt.expr, tt.min, err)
		}
	}
}

func TestWindow(t *testing.T) {
	tests := []struct {
		name      string
		spec      schedule.Spec
		at        string
		open, end string
	}{
		{"own length", schedule.Spec{Expression: "0 22 * * *", Window: 6 * time.Hour}, "2026-01-02 03:59", "2026-01-01 22:00", "2026-01-02 04:00"},
		{"its end is outside", schedule.Spec{Expression: "0 22 * * *", Window: 6 * time.Hour}, "2026-01-02 04:00", "2026-01-02 22:00", "2026-01-03 04:00"},
		{"default of hourly ones", schedule.Spec{Expression: "rate(4 hours)"}, "2026-01-01 04:30", "2026-01-01 04:00", "2026-01-01 05:00"},
		{"default of frequent ones", schedule.Spec{Expression: "rate(10 minutes)"}, "2026-01-01 04:39", "2026-01-01 04:30", "2026-01-01 04:40"},
		{"default of daily ones", schedule.Spec{Expression: "0 3 * * *"}, "2026-01-01 23:59", "2026-01-01 03:00", "2026-01-02 00:00"},
		{"default in its zone", schedule.Spec{Expression: "0 3 * * *", TimeZone: "Asia/Tokyo"}, "2026-01-01 00:00", "2025-12-31 18:00", "2026-01-01 15:00"},
		{"default late in the day", schedule.Spec{Expression: "59 23 * * *"}, "2026-01-02 00:30", "2026-01-01 23:59", "2026-01-02 00:59"},
		{"days", schedule.Spec{AfterDays: 10, Anchor: at("2026-01-01 06:00")}, "2026-01-11 07:00", "2026-01-11 06:00", "2026-01-12 00:00"},
		{"before the first", schedule.Spec{AfterDays: 10, Anchor: at("2026-01-01 06:00")}, "2025-01-11 07:00", "2026-01-11 06:00", "2026-01-12 00:00"},
		{"the last is over", schedule.Spec{Expression: "cron(0 0 1 1 ? 2025)", Window: time.Hour}, "2026-01-01", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			open, end := parse(t, tt.spec, schedule.Options{}).Window(at(tt.at))
			wantOpen, wantEnd := at(tt.open), at(tt.end)
			if tt.open == "" {
				wantOpen, wantEnd = time.Time{}, time.Time{}
			}
			if !open.Equal(wantOpen) || !end.Equal(wantEnd) {
				t.Errorf("window %v to %v, want %v to %v", open, end, wantOpen, wantEnd)
			}
		})
	}
}

func TestJitter(t *testing.T) {
	specs := []schedule.Spec{
		{Expression: "@hourly", Jitter: time.Hour},
		{Expression: "*/15 * * * *", TimeZone: "Europe/Berlin", Window: 15 * time.Minute, Jitter: 15 * time.Minute},
		{Expression: "50 23 * * *", Jitter: 20 * time.Hour},
		{Expression: "@every 10s", Jitter: 10 * time.Second},
		{Expression: "0 2,3 * * *", TimeZone: "Europe/Berlin", Jitter: time.Hour},
	}
	for _, spec := range specs {
		t.Run(spec.Expression, func(t *testing.T) {
			opts := schedule.Options{Key: "arn:one", MinInterval: time.Second}
			s := parse(t, spec, opts)
			bare := spec
			bare.Jitter = 0
			nominal := parse(t, bare, opts)
			previous := at("2026-03-27 00:00:05")
			open, _ := s.Window(previous)
			for previous = s.Next(open.Add(-time.Nanosecond)); previous.Before(at("2026-03-27 00:00:05")); previous = s.Next(previous) {
			}
			at0 := nominal.Next(nominalOf(nominal, previous).Add(-time.Nanosecond))
			for i := range 500 {
				open, end := s.Window(previous)
				if !open.Equal(at0) || previous.Before(open) || !previous.Before(end) || previous.Sub(open) >= spec.Jitter {
					t.Fatalf("fire %d at %v is not inside the window %v to %v of %v", i, previous, open, end, at0)
				}
				if again := parse(t, spec, opts).Next(previous.Add(-time.Nanosecond)); !again.Equal(previous) {
					t.Fatalf("asked again, the fire is %v, not %v", again, previous)
				}
				previous, at0 = s.Next(previous), nominal.Next(at0)
			}
		})
	}
}

// nominalOf returns the opening of the window that the fire is in.
func nominalOf(s *schedule.Schedule, fire time.Time) time.Time {
	open, _ := s.Window(fire)
	return open
}

func TestJitterSpreads(t *testing.T) {
	perMinute := make([]int, 60)
	for i := range 6000 {
		s := parse(t, schedule.Spec{Expression: "@daily", Window: time.Hour, Jitter: time.Hour}, schedule.Options{Key: fmt.Sprintf("arn:%d", i)})
		perMinute[s.Next(at("2026-01-01 12:00")).Minute()]++
	}
	if low, high := slices.Min(perMinute), slices.Max(perMinute); low < 50 || high > 160 {
		t.Errorf("6000 secrets due within an hour start %d to %d a minute", low, high)
	}
}

func TestPreviewEnds(t *testing.T) {
	s := parse(t, schedule.Spec{Expression: "cron(0 0 1 1 ? 2030-2031)"}, schedule.Options{})
	if got := s.Preview(at("2026-01-01"), 5); !slices.EqualFunc(got, times("2030-01-01", "2031-01-01"), time.Time.Equal) {
		t.Errorf("preview %v", got)
	}
	if got := s.Preview(at("2026-01-01"), 1); len(got) != 1 {
		t.Errorf("preview of one: %v", got)
	}
}

func TestSpecJSON(t *testing.T) {
	for _, tt := range []struct {
		spec schedule.Spec
		want string
	}{
		{schedule.Spec{}, `{}`},
		{schedule.Spec{AfterDays: 30}, `{"afterDays":30}`},
		{schedule.Spec{Expression: "rate(1 day)", TimeZone: "Asia/Tokyo", Window: 90 * time.Minute, Jitter: time.Second, Anchor: at("2026-01-01T00:00:00.5Z")},
			`{"expression":"rate(1 day)","timeZone":"Asia/Tokyo","window":"1h30m0s","jitter":"1s","anchor":"2026-01-01T00:00:00.5Z"}`},
	} {
		text, err := json.Marshal(tt.spec)
		if err != nil || string(text) != tt.want {
			t.Errorf("marshal: %s, %v; want %s", text, err, tt.want)
		}
		var back schedule.Spec
		if err := json.Unmarshal(text, &back); err != nil || back != tt.spec {
			t.Errorf("unmarshal %s: %+v, %v; want %+v", text, back, err, tt.spec)
		}
	}
	var s schedule.Spec
	if err := json.Unmarshal([]byte(`{"window":"a while"}`), &s); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("malformed window: %v, want ErrInvalid", err)
	}
}

func TestSpecOf(t *testing.T) {
	got, err := schedule.SpecOf(lockstep.Schedule{AfterDays: 7, Duration: "3h", Anchor: at("2026-01-01")})
	if want := (schedule.Spec{AfterDays: 7, Window: 3 * time.Hour, Anchor: at("2026-01-01")}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"3", "h", "0h", "100h", "3m", "-3h", "3H", "3h "} {
		if _, err := schedule.SpecOf(lockstep.Schedule{AfterDays: 7, Duration: bad}); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("window %q: %v, want ErrInvalid", bad, err)
		}
	}
}

// In UTC and without rare leap days robfig/cron's own evaluation is right.
func TestAgreesWithRobfig(t *testing.T) {
	for _, expr := range []string{"*/7 1-5,22 * * *", "0 0 */2 * 1", "0 0 1-7 * */2", "5 4 31 * *", "@weekly", "@yearly", "59 23 28-31 2,4 *", "? ? ? * MON-FRI"} {
		theirs, err := cron.ParseStandard("CRON_TZ=UTC " + expr)
		if err != nil {
			t.Fatal(err)
		}
		ours := parse(t, schedule.Spec{Expression: expr}, schedule.Options{})
		for i, now := 0, at("2026-01-01"); i < 150; i++ {
			want := theirs.Next(now)
			if now = ours.Next(now); !now.Equal(want) {
				t.Fatalf("%s: fire %d is %v, robfig says %v", expr, i, now, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, expr := range []string{"rate(4 hours)", "cron(0 8 1 * ? *)", "cron(0 0 LW * ? 2030)", "cron(0/15 * ? * TUE#2,6L *)", "*/5 * * * *", "@daily",
		"@every 10s", "TZ=", "@", "cron()", "rate()", "0 0 30 2 *"} {
		f.Add(expr, "Europe/Berlin", int64(0), int64(0))
	}
	f.Fuzz(func(t *testing.T, expr, zone string, window, jitter int64) {
		spec := schedule.Spec{Expression: expr, TimeZone: zone, Window: time.Duration(window), Jitter: time.Duration(jitter)}
		s, err := schedule.Parse(spec, schedule.Options{MinInterval: time.Second})
		if err != nil {
			if !errors.Is(err, lockstep.ErrInvalid) {
				t.Errorf("error %v is no ErrInvalid", err)
			}
			return
		}
		now := at("2026-03-28 12:00")
		for range 5 {
			fire := s.Next(now)
			if fire.IsZero() {
				return
			}
			open, end := s.Window(fire)
			if !fire.After(now) || fire.Before(open) || !fire.Before(end) {
				t.Fatalf("after %v comes %v, in window %v to %v", now, fire, open, end)
			}
			now = fire
		}
	})
}
