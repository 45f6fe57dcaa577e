package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client/admin"
)

func newRuns(t *target) *cobra.Command {
	var q admin.RunQuery
	var states []string
	cmd := &cobra.Command{
		Use:   "runs [NAME | RUN]",
		Short: "Show rotations, and retry, discard or cancel one",
		Long: `Show rotations, newest first. With a secret's name, each is shown with its
steps: when each began, how long it took and, if it failed, what the target said
and what to do. With the id of a run (run-…), that one alone.

  lockstep runs --failed
  lockstep runs --state queued,setting
  lockstep runs prod/db`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			for _, s := range states {
				q.States = append(q.States, lockstep.RunState(s))
			}
			runs, err := findRuns(cmd, c, args, q)
			if err != nil {
				return err
			}
			return t.show(cmd, runs, func(w io.Writer) {
				if len(args) == 1 {
					historyTable(w, runs)
					return
				}
				runsTable(w, runs)
			})
		},
	}
	cmd.Flags().BoolVar(&q.Open, "open", false, "only those that are not finished")
	cmd.Flags().BoolVar(&q.Failed, "failed", false, "only those that failed and that nobody has discarded")
	cmd.Flags().StringSliceVar(&states, "state", nil, "only those in these states, for example queued,setting")
	cmd.Flags().IntVar(&q.Limit, "limit", 20, "how many at the most")
	cmd.AddCommand(newRunsShow(t), newRunsRetry(t), newRunsDiscard(t), newRunsCancel(t), newRunsDead(t))
	return cmd
}

// findRuns reads a page of runs; for one secret, with their steps.
func findRuns(cmd *cobra.Command, c *admin.Client, args []string, q admin.RunQuery) ([]admin.Run, error) {
	ctx := cmd.Context()
	if len(args) == 1 && isRunID(args[0]) {
		run, err := c.Run(ctx, lockstep.RunID(args[0]))
		return []admin.Run{run}, err
	}
	if len(args) == 1 {
		q.Secret = args[0]
	}
	page, err := c.Runs(ctx, q)
	if err != nil || len(args) == 0 {
		return append([]admin.Run{}, page.Runs...), err
	}
	runs := []admin.Run{}
	for _, r := range page.Runs {
		full, err := c.Run(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		runs = append(runs, full)
	}
	return runs, nil
}

func isRunID(s string) bool {
	return len(s) == len("run-")+32 && s[:4] == "run-"
}

func runsTable(w io.Writer, runs []admin.Run) {
	if len(runs) == 0 {
		row(w, "no rotations yet")
		return
	}
	row(w, "STARTED", "RUN", "SECRET", "STATE", "WHY", "TOOK", "NOTE")
	for _, r := range runs {
		row(w, when(r.Created), string(r.ID), r.Secret.Name, stateWord(r), string(r.Trigger), took(r.Created, r.Finished), note(r))
	}
}

// note says why a run waits or failed: the step, the target's words, and what to
// do.
func note(r admin.Run) string {
	words := r.Reason
	if r.FailedStep != "" && words != "" {
		words = string(r.FailedStep) + ": " + words
	}
	if r.Hint != "" {
		words += " (" + r.Hint + ")"
	}
	return words
}

// stateWord is the state, with what a person would ask next.
func stateWord(r admin.Run) string {
	switch {
	case !r.Final && !r.RetryAt.IsZero():
		return fmt.Sprintf("%s, next try %s", r.State, when(r.RetryAt))
	case !r.Final && r.Stop != "", r.Stop == lockstep.StopDiscarded:
		return fmt.Sprintf("%s (%s)", r.State, r.Stop)
	}
	return string(r.State)
}

func historyTable(w io.Writer, runs []admin.Run) {
	if len(runs) == 0 {
		row(w, "no rotations yet")
		return
	}
	for i, r := range runs {
		if i > 0 {
			row(w, "")
		}
		_, _ = fmt.Fprintf(w, "%s  %s  %s  version %s\n", r.ID, stateWord(r), r.Trigger, r.VersionID)
		if r.Reason != "" {
			_, _ = fmt.Fprintf(w, "  why: %s\n", r.Reason)
		}
		if r.Hint != "" {
			_, _ = fmt.Fprintf(w, "  do:  %s\n", r.Hint)
		}
		for _, s := range r.Steps {
			_, _ = fmt.Fprintln(w, stepLine(s))
		}
	}
}

// stepLine is one step in one line for people.
func stepLine(s admin.Step) string {
	line := fmt.Sprintf("  %s  %-6s  %-11s  %9s", s.Started.Local().Format("15:04:05.000"), s.Step, firstOf(s.Outcome, "under way"), took(s.Started, s.Ended))
	if s.Attempt > 1 {
		line += fmt.Sprintf("  try %d", s.Attempt)
	}
	if s.Error != "" {
		line += "  " + s.Error
	}
	if s.Hint != "" {
		line += " (" + s.Hint + ")"
	}
	return line
}
