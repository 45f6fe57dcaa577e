package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
)

func newCheck(t *target) *cobra.Command {
	var targets bool
	var resume string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for broken invariants over the whole store; exit 1 if there are any",
		Long: `Look for broken invariants over the whole store. With --targets, workers also look
at the target of every secret that rotates: AWSCURRENT logs in (unless a run is
changing the only password there is, or the secret is known to be unverified), and
no retired version does. What could not be seen counts as broken. Exit 1 if
anything is.

  lockstep check --targets
  lockstep check --resume inspection-…    follow one that was started before`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := t.json()
			if err != nil {
				return err
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			list := &violationList{out: cmd.OutOrStdout(), json: asJSON}
			if resume == "" {
				if err := c.EachViolation(cmd.Context(), list.add); err != nil {
					return err
				}
			}
			if targets || resume != "" {
				if err := inspect(cmd, c, resume, list); err != nil {
					return err
				}
			}
			return list.end()
		},
	}
	cmd.Flags().BoolVar(&targets, "targets", false, "also look at the targets; workers do it, and it goes on by itself")
	cmd.Flags().StringVar(&resume, "resume", "", "follow the look at the targets with this id, and show what it found")
	return cmd
}

// violationList writes each violation as it comes, so that any number fits.
type violationList struct {
	out  io.Writer
	json bool
	n    int
}

func (l *violationList) add(v admin.Violation) error {
	l.n++
	if !l.json {
		_, err := fmt.Fprintf(l.out, "%s  %s  %s\n", v.Rule, v.ARN, v.Detail)
		return err
	}
	body, err := json.MarshalIndent(v, "    ", "  ")
	if err != nil {
		return err
	}
	lead := "{\n  \"violations\": [\n    "
	if l.n > 1 {
		lead = ",\n    "
	}
	_, err = fmt.Fprintf(l.out, "%s%s", lead, body)
	return err
}

// end closes the list. Errors: errReported if there is anything in it.
func (l *violationList) end() error {
	var last string
	switch {
	case l.json && l.n == 0:
		last = "{\n  \"violations\": [],\n  \"ok\": true\n}"
	case l.json:
		last = "\n  ],\n  \"ok\": false\n}"
	case l.n == 0:
		last = "every invariant holds"
	default:
		last = fmt.Sprintf("%d violations", l.n)
	}
	if _, err := fmt.Fprintln(l.out, last); err != nil {
		return err
	}
	if l.n > 0 {
		return errReported
	}
	return nil
}

// inspect has the targets looked at, shows the progress, and lists what was found.
func inspect(cmd *cobra.Command, c *admin.Client, id string, list *violationList) error {
	ctx, out := cmd.Context(), cmd.ErrOrStderr()
	i, err := beginInspection(ctx, c, id)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s; it goes on by itself if this command ends\n", i.ID)
	if err := followInspection(ctx, c, out, i); err != nil {
		_, _ = fmt.Fprintf(out, "\n\"lockstep check --resume %s\" follows it\n", i.ID)
		return err
	}
	return c.EachFinding(ctx, i.ID, list.add)
}

func beginInspection(ctx context.Context, c *admin.Client, id string) (admin.Inspection, error) {
	if id != "" {
		return c.Inspection(ctx, id)
	}
	return c.Inspect(ctx)
}

// followInspection shows how far it is until it is done: a bar on a terminal, else
// a line whenever something changed.
func followInspection(ctx context.Context, c *admin.Client, out io.Writer, i admin.Inspection) error {
	bar := onTerminal(out)
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	last := ""
	for {
		words := inspectionWords(i)
		switch {
		case bar:
			_, _ = fmt.Fprintf(out, "\r\x1b[K%s %s", barOf(i.Answered, i.Total), words)
		case words != last:
			_, _ = fmt.Fprintln(out, words)
		}
		last = words
		if i.Done {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		next, err := c.Inspection(ctx, i.ID)
		if err != nil {
			return err
		}
		i = next
	}
	if bar {
		_, _ = fmt.Fprint(out, "\r\x1b[K")
	}
	return nil
}

func inspectionWords(i admin.Inspection) string {
	words := fmt.Sprintf("%d/%d", i.Answered, i.Total)
	if !i.Expanded {
		words += "+"
	}
	words += " targets looked at"
	for _, c := range []struct {
		n    int
		what string
	}{{i.Excused, "excused"}, {i.Broken, "broken"}, {i.Unseen, "unseen"}} {
		if c.n > 0 {
			words += fmt.Sprintf("  %d %s", c.n, c.what)
		}
	}
	return words
}

func barOf(done, total int) string {
	full := 0
	if total > 0 {
		full = barWidth * done / total
	}
	return "[" + strings.Repeat("█", full) + strings.Repeat("·", barWidth-full) + "]"
}
