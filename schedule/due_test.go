package schedule_test

import (
	"errors"
	"testing"
	"time"

	"lockstep"
	"lockstep/schedule"
)

func calendarOf(t testing.TB, limits ...schedule.Limits) *schedule.Calendar {
	t.Helper()
	c, err := schedule.NewCalendar(limits...)
	if err != nil {
		t.Fatalf("calendar: %v", err)
	}
	return c
}

func freeze(from, to string) schedule.Limits {
	f := schedule.Freeze{Reason: "year-end close", From: at(from)}
	if to != "" {
		f.To = at(to)
	}
	return schedule.Limits{Freezes: []schedule.Freeze{f}}
}

func frozen(expr string, length time.Duration) schedule.Limits {
	return schedule.Limits{Freezes: []schedule.Freeze{{Reason: "again", Recurring: &schedule.Period{Expression: expr, For: length}}}}
}

func windows(periods ...schedule.Period) schedule.Limits { return schedule.Limits{Windows: periods} }

func TestNextAllowed(t *testing.T) {
	nights := schedule.Period{Expression: "0 22 * * *", For: 6 * time.Hour}
	sundays := schedule.Period{Expression: "cron(0 0 ? * SUN *)", For: 24 * time.Hour}
	tests := []struct {
		name     string
		limits   []schedule.Limits
		at, want string // "" for never
	}{
		{"no limits", nil, "2026-01-01 12:00", "2026-01-01 12:00"},
		{"before a freeze", []schedule.Limits{freeze("2026-01-02", "2026-01-05")}, "2026-01-01 23:59:59", "2026-01-01 23:59:59"},
		{"a freeze's first instant", []schedule.Limits{freeze("2026-01-02", "2026-01-05")}, "2026-01-02", "2026-01-05"},
		{"a freeze's end", []schedule.Limits{freeze("2026-01-02", "2026-01-05")}, "2026-01-05", "2026-01-05"},
		{"one freeze into another", []schedule.Limits{freeze("2026-01-04", "2026-01-09"), freeze("2026-01-02", "2026-01-05")}, "2026-01-03", "2026-01-09"},
		{"it never ends", []schedule.Limits{freeze("2026-01-02", "")}, "2026-01-03", ""},
		{"before it never ends", []schedule.Limits{freeze("2026-01-02", "")}, "2026-01-01", "2026-01-01"},
		{"weekends", []schedule.Limits{frozen("0 0 * * SAT,SUN", 24*time.Hour)}, "2026-01-03 12:00", "2026-01-05"},
		{"on a weekday", []schedule.Limits{frozen("0 0 * * SAT,SUN", 24*time.Hour)}, "2026-01-06 12:00", "2026-01-06 12:00"},
		{"freezes without a gap", []schedule.Limits{frozen("0 0 * * *", 24*time.Hour)}, "2026-01-03 12:00", ""},
		{"two that share the day", []schedule.Limits{frozen("0 0 * * *", 12*time.Hour), frozen("0 12 * * *", 12*time.Hour)}, "2026-01-03 12:00", ""},
		{"in a window", []schedule.Limits{windows(nights)}, "2026-01-02 03:00", "2026-01-02 03:00"},
		{"before a window", []schedule.Limits{windows(nights)}, "2026-01-02 04:00", "2026-01-02 22:00"},
		{"either window", []schedule.Limits{windows(nights, sundays)}, "2026-01-04 12:00", "2026-01-04 12:00"},
		{"both windows", []schedule.Limits{windows(nights), windows(sundays)}, "2026-01-01 12:00", "2026-01-04"},
		{"windows that never meet", []schedule.Limits{windows(nights), windows(schedule.Period{Expression: "0 12 * * *", For: time.Hour})}, "2026-01-01", ""},
		{"windows but frozen", []schedule.Limits{windows(nights), freeze("2026-01-01", "2026-01-03 02:00")}, "2026-01-01 12:00", "2026-01-03 02:00"},
		{"frozen past the window", []schedule.Limits{windows(nights), freeze("2026-01-01", "2026-01-03 05:00")}, "2026-01-01 12:00", "2026-01-03 22:00"},
		{"windows that are over", []schedule.Limits{windows(schedule.Period{Expression: "cron(0 0 1 1 ? 2020)", For: time.Hour})}, "2026-01-01", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := calendarOf(t, tt.limits...).NextAllowed(at(tt.at))
			if ok != (tt.want != "") || ok && !got.Equal(at(tt.want)) {
				t.Errorf("next allowed is %v (%v), want %q", got, ok, tt.want)
			}
		})
	}
	var none *schedule.Calendar
	if got, ok := none.NextAllowed(at("2026-01-01")); !ok || !got.Equal(at("2026-01-01")) {
		t.Errorf("the nil calendar allows %v (%v)", got, ok)
	}
}

func TestCalendarRefuses(t *testing.T) {
	tests := map[string]schedule.Limits{
		"it ends before it begins":   freeze("2026-01-05", "2026-01-02"),
		"malformed window":           windows(schedule.Period{Expression: "sometimes", For: time.Hour}),
		"window without length":      windows(schedule.Period{Expression: "@daily"}),
		"window beyond the interval": windows(schedule.Period{Expression: "@daily", For: 25 * time.Hour}),
		"malformed freeze":           frozen("0 0 30 2 *", time.Hour),
		"both forms": {Freezes: []schedule.Freeze{{From: at("2026-01-01"),
			Recurring: &schedule.Period{Expression: "@daily", For: time.Hour}}}},
	}
	for name, limits := range tests {
		if c, err := schedule.NewCalendar(limits); c != nil || !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%s: %v, %v; want ErrInvalid", name, c, err)
		}
	}
}

func TestCheckDeadline(t *testing.T) {
	endless := calendarOf(t, freeze("2026-01-02", ""))
	var problem *schedule.Error
	if err := endless.CheckDeadline(at("2026-02-01")); !errors.As(err, &problem) || problem.Example == "" {
		t.Errorf("deadline inside an endless freeze: %v", err)
	}
	for name, err := range map[string]error{
		"before it":          endless.CheckDeadline(at("2026-01-01")),
		"no deadline":        endless.CheckDeadline(time.Time{}),
		"freeze that ends":   calendarOf(t, freeze("2026-01-02", "2027-01-01")).CheckDeadline(at("2026-02-01")),
		"windows are no bar": calendarOf(t, windows(schedule.Period{Expression: "cron(0 0 1 1 ? 2020)", For: time.Hour})).CheckDeadline(at("2026-02-01")),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDue(t *testing.T) {
	nightly := schedule.Spec{Expression: "0 2 * * *", Window: 2 * time.Hour}
	open := schedule.Spec{Expression: "0 2 * * *"}
	monthly := schedule.Spec{AfterDays: 30, Anchor: at("2025-12-02 02:00"), Window: 2 * time.Hour} // first 2026-01-01 02:00
	const now, next, skip = schedule.CatchUpNow, schedule.CatchUpNextWindow, schedule.CatchUpSkip
	tests := []struct {
		name      string
		spec      schedule.Spec
		fire, now string
		policy    schedule.CatchUp
		deadline  string
		limits    []schedule.Limits
		at, until string
		why       schedule.Why
		late      bool
	}{
		{"ahead", nightly, "2026-01-01 02:00", "2026-01-01 00:00", now, "", nil, "2026-01-01 02:00", "2026-01-01 04:00", schedule.Regular, false},
		{"a little late", nightly, "2026-01-01 02:00", "2026-01-01 03:00", skip, "", nil, "2026-01-01 03:00", "2026-01-01 04:00", schedule.Regular, false},
		{"missed, now", nightly, "2026-01-01 02:00", "2026-01-01 12:00", now, "", nil, "2026-01-01 12:00", "", schedule.CaughtUp, false},
		{"missed, empty policy", nightly, "2026-01-01 02:00", "2026-01-01 12:00", "", "", nil, "2026-01-01 12:00", "", schedule.CaughtUp, false},
		{"missed, next window", nightly, "2026-01-01 02:00", "2026-01-01 12:00", next, "", nil, "2026-01-02 02:00", "2026-01-02 04:00", schedule.NextWindow, false},
		{"missed, in the next window already", nightly, "2026-01-01 02:00", "2026-01-03 03:00", next, "", nil, "2026-01-03 03:00", "2026-01-03 04:00", schedule.NextWindow, false},
		{"missed, skip", nightly, "2026-01-01 02:00", "2026-01-03 03:00", skip, "", nil, "2026-01-04 02:00", "2026-01-04 04:00", schedule.Skipped, false},
		{"missed, a month's schedule waits a day", monthly, "2026-01-01 02:00", "2026-01-01 12:00", next, "", nil, "2026-01-02 02:00", "2026-01-02 04:00", schedule.NextWindow, false},
		{"missed, a month's schedule skips a month", monthly, "2026-01-01 02:00", "2026-01-01 12:00", skip, "", nil, "2026-01-31 02:00", "2026-01-31 04:00", schedule.Skipped, false},

		{"frozen within the window", nightly, "2026-01-01 02:00", "2026-01-01 00:00", skip, "", []schedule.Limits{freeze("2026-01-01", "2026-01-01 03:00")},
			"2026-01-01 03:00", "2026-01-01 04:00", schedule.Regular, false},
		{"frozen over the window, now", nightly, "2026-01-01 02:00", "2026-01-01 00:00", now, "", []schedule.Limits{freeze("2026-01-01", "2026-01-03 12:00")},
			"2026-01-03 12:00", "", schedule.CaughtUp, false},
		{"frozen over the window, next", nightly, "2026-01-01 02:00", "2026-01-01 00:00", next, "", []schedule.Limits{freeze("2026-01-01", "2026-01-03 12:00")},
			"2026-01-04 02:00", "2026-01-04 04:00", schedule.NextWindow, false},
		{"frozen over the window, skip", nightly, "2026-01-01 02:00", "2026-01-01 00:00", skip, "", []schedule.Limits{freeze("2026-01-01", "2026-01-03 12:00")},
			"2026-01-04 02:00", "2026-01-04 04:00", schedule.Skipped, false},
		{"frozen for ever", nightly, "2026-01-01 02:00", "2026-01-01 00:00", now, "", []schedule.Limits{freeze("2026-01-01", "")}, "", "", schedule.CaughtUp, false},
		{"the target's window replaces the default", open, "2026-01-01 02:00", "2026-01-01 00:00", skip, "",
			[]schedule.Limits{windows(schedule.Period{Expression: "0 6 * * SUN", For: time.Hour})}, "2026-01-04 06:00", "", schedule.Regular, false},

		{"deadline far off", nightly, "2026-01-02 02:00", "2026-01-01 12:00", now, "2026-01-05", nil, "2026-01-02 02:00", "2026-01-02 04:00", schedule.Regular, false},
		{"deadline before the fire", nightly, "2026-01-02 02:00", "2026-01-01 12:00", now, "2026-01-01 20:00", nil, "2026-01-01 19:00", "", schedule.Deadline, false},
		{"deadline before the next window", nightly, "2026-01-01 02:00", "2026-01-01 12:00", next, "2026-01-01 20:00", nil, "2026-01-01 19:00", "", schedule.Deadline, false},
		{"deadline has passed", nightly, "2026-01-02 02:00", "2026-01-01 12:00", next, "2025-12-25", nil, "2026-01-01 12:00", "", schedule.Deadline, true},
		{"deadline outranks the target's window", open, "2026-01-01 02:00", "2026-01-01 00:00", skip, "2026-01-02",
			[]schedule.Limits{windows(schedule.Period{Expression: "0 6 * * SUN", For: time.Hour})}, "2026-01-01 23:00", "", schedule.Deadline, false},
		{"deadline in a freeze moves before it", nightly, "2026-01-02 02:00", "2026-01-01 12:00", now, "2026-01-05", []schedule.Limits{freeze("2026-01-01 20:00", "2026-01-09")},
			"2026-01-01 19:00", "", schedule.Deadline, false},
		{"deadline in a freeze that holds already", nightly, "2026-01-02 02:00", "2026-01-01 12:00", now, "2026-01-05", []schedule.Limits{freeze("2026-01-01 10:00", "2026-01-09 01:00")},
			"2026-01-09 01:00", "", schedule.CaughtUp, true},
		{"deadline and frozen for ever", nightly, "2026-01-02 02:00", "2026-01-01 12:00", now, "2026-01-05", []schedule.Limits{freeze("2026-01-01 10:00", "")},
			"", "", schedule.CaughtUp, true},
		{"deadline without any fire", nightly, "", "2026-01-01 12:00", now, "2026-01-05", nil, "2026-01-04 23:00", "", schedule.Deadline, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.spec, schedule.Options{})
			q := schedule.Situation{Now: at(tt.now), CatchUp: tt.policy, Margin: time.Hour, Calendar: calendarOf(t, tt.limits...)}
			q.Fire, q.Deadline = optional(tt.fire), optional(tt.deadline)
			got := s.Due(q)
			want := schedule.Due{At: optional(tt.at), Until: optional(tt.until), Why: tt.why, Late: tt.late}
			if !got.At.Equal(want.At) || !got.Until.Equal(want.Until) || got.Why != want.Why || got.Late != want.Late {
				t.Errorf("due\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

func optional(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	return at(text)
}

func TestParseCatchUp(t *testing.T) {
	for _, word := range []string{"", "now", "next-window", "skip"} {
		if c, err := schedule.ParseCatchUp(word); err != nil || word != "" && string(c) != word || c == "" {
			t.Errorf("%q: %q, %v", word, c, err)
		}
	}
	if _, err := schedule.ParseCatchUp("later"); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("unknown word: %v", err)
	}
}

func BenchmarkParseAndNext(b *testing.B) {
	for _, spec := range []schedule.Spec{{Expression: "rate(1 day)", Jitter: time.Hour}, {Expression: "0 3 * * *", TimeZone: "Europe/Berlin", Jitter: time.Hour},
		{Expression: "cron(0 3 L * ? *)", Window: 3 * time.Hour}} {
		b.Run(spec.Expression, func(b *testing.B) {
			for b.Loop() {
				s, err := schedule.Parse(spec, schedule.Options{Key: "arn"})
				if err != nil || s.Next(at("2026-01-01")).IsZero() {
					b.Fatal(err)
				}
			}
		})
	}
}
