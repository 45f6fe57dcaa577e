package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
)

func newSchedulePreview(t *target) *cobra.Command {
	var s admin.Schedule
	var n int
	cmd := &cobra.Command{
		Use: "preview [NAME]", Short: "Print the next dates of a secret, or of an expression",
		Long: `Print the next dates at which a secret will rotate, as its schedule, its maximum
age and the freezes that are set now tell; or, with --expr, those of an expression
that no secret has yet.

  lockstep schedule preview prod/db -n 10
  lockstep schedule preview --expr '0 3 * * SUN' --time-zone Europe/Berlin`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (s.Expression != "") {
				return usagef("give a secret's name or --expr; see %s --help", cmd.CommandPath())
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			var p admin.Preview
			if len(args) == 1 {
				p, err = c.PreviewSecret(cmd.Context(), args[0], n)
			} else {
				p, err = c.PreviewSchedule(cmd.Context(), s, n)
			}
			if err != nil {
				return err
			}
			return t.show(cmd, p, func(w io.Writer) { previewTable(w, p) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Expression, "expr", "", "the expression to look at")
	flags.StringVar(&s.TimeZone, "time-zone", "", "IANA zone of the expression (default UTC)")
	flags.StringVar(&s.Duration, "window", "", "length of the window, in hours: 2h")
	flags.IntVarP(&n, "number", "n", 5, "how many dates, at most 100")
	return cmd
}

func previewTable(w io.Writer, p admin.Preview) {
	zone, err := time.LoadLocation(p.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	if len(p.Fires) == 0 {
		row(w, "it never fires")
		return
	}
	show := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return at.In(zone).Format("Mon 2006-01-02 15:04:05 MST")
	}
	row(w, "AT", "UNTIL", "WHY")
	for _, f := range p.Fires {
		row(w, show(f.At), show(f.Until), f.Why)
	}
}

func newScheduleLoad(t *target) *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use: "load", Short: "Show how many rotations come in each hour of the coming days",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			l, err := c.Load(cmd.Context(), days)
			if err != nil {
				return err
			}
			return t.show(cmd, l, func(w io.Writer) { loadChart(w, l) })
		},
	}
	cmd.Flags().IntVar(&days, "days", 7, "how many days, at most 31")
	return cmd
}

// bars are the heights of an hour's column; the first is none at all.
const bars = "·▁▂▃▄▅▆▇█"

// loadChart draws one line for each day, one column for each hour (UTC).
func loadChart(w io.Writer, l admin.Load) {
	most, at := 0, 0
	for i, n := range l.Hours {
		if n > most {
			most, at = n, i
		}
	}
	_, _ = fmt.Fprintf(w, "%-10s  %s  %s\n", "DAY (UTC)", "0     6     12    18    ", "ROTATIONS")
	heights := []rune(bars)
	offset := l.From.UTC().Hour()
	day := l.From.UTC().Truncate(24 * time.Hour)
	for first := -offset; first < len(l.Hours); first += 24 {
		var line strings.Builder
		sum := 0
		for h := first; h < first+24; h++ {
			if h < 0 || h >= len(l.Hours) {
				line.WriteByte(' ')
				continue
			}
			sum += l.Hours[h]
			line.WriteRune(heights[height(l.Hours[h], most, len(heights)-1)])
		}
		_, _ = fmt.Fprintf(w, "%-10s  %s  %s\n", day.Format(time.DateOnly), line.String(), strconv.Itoa(sum))
		day = day.Add(24 * time.Hour)
	}
	if most > 0 {
		_, _ = fmt.Fprintf(w, "most in one hour: %d, %s UTC; %d secrets have a schedule\n",
			most, l.From.UTC().Add(time.Duration(at)*time.Hour).Format("2006-01-02 15:00"), l.Secrets)
	}
}

// height is a share of the highest column, at least 1 for anything at all.
func height(n, most, steps int) int {
	if n == 0 {
		return 0
	}
	return max(1, n*steps/most)
}
