package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client/admin"
)

// handWords are what a command that acts on a run says of itself.
type handWords struct {
	use, short, long string
	// done is what is said when it is done; the run's id follows.
	done string
}

func newRunsShow(t *target) *cobra.Command {
	return t.runCommand(handWords{
		use: "show RUN", short: "Show one run with every step",
	}, (*admin.Client).Run)
}

func newRunsRetry(t *target) *cobra.Command {
	return t.runCommand(handWords{
		use: "retry RUN", short: "Try a waiting run now, or start another for a failed one", done: "under way",
		long: `Make a run that waits for its next try due now. A run that failed or was
cancelled stays as it is: another is started for its secret.`,
	}, (*admin.Client).RetryRun)
}

func newRunsDiscard(t *target) *cobra.Command {
	return t.runCommand(handWords{
		use: "discard RUN", short: "Throw the pending version of a run away, or set a failed run aside", done: "discarded",
		long: `End an open run without finishing it: what the target was told is undone first,
and rotation stays on. A run that failed already is no longer listed by
"lockstep runs --failed".`,
	}, (*admin.Client).DiscardRun)
}

func newRunsCancel(t *target) *cobra.Command {
	return t.runCommand(handWords{
		use: "cancel RUN", short: "End a run and turn its secret's rotation off", done: "cancelled",
		long: `End an open run as discard does, and turn rotation of its secret off.
"lockstep schedule set" turns it on again.`,
	}, (*admin.Client).CancelRun)
}

func (t *target) runCommand(words handWords, do func(*admin.Client, context.Context, lockstep.RunID) (admin.Run, error)) *cobra.Command {
	return &cobra.Command{
		Use: words.use, Short: words.short, Long: words.long, Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			run, err := do(c, cmd.Context(), lockstep.RunID(args[0]))
			if err != nil {
				return err
			}
			return t.show(cmd, run, func(w io.Writer) {
				if words.done != "" {
					_, _ = fmt.Fprintf(w, "%s: %s\n", words.done, run.Secret.Name)
				}
				historyTable(w, []admin.Run{run})
			})
		},
	}
}

func newRunsDead(t *target) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "dead", Short: "List jobs that nobody could carry out, with the reason",
		Long: `List the messages of the stream LOCKSTEP_DEAD, newest first: jobs of an unknown
kind, truncated or forged. Nothing waits for them: what has to be done is in the
store, and gets another job.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			jobs, err := c.DeadJobs(cmd.Context(), limit)
			if err != nil {
				return err
			}
			return t.show(cmd, jobs, func(w io.Writer) {
				if len(jobs) == 0 {
					row(w, "no dead jobs")
					return
				}
				row(w, "NUMBER", "TIME", "BYTES", "SUBJECT", "REASON")
				for _, j := range jobs {
					row(w, strconv.FormatInt(j.Number, 10), when(j.Time), strconv.Itoa(j.Bytes), j.Subject, j.Reason)
				}
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at the most")
	return cmd
}

func newRetire(t *target) *cobra.Command {
	var override bool
	var version string
	cmd := &cobra.Command{
		Use: "retire NAME", Short: "Let a secret's old credential go",
		Long: `Remove the old credential of a secret at its target: where the policy is manual
and waits for a person, or where a removal failed and waits for its next try. With
--override, also where the policy would keep it longer; who did that stands in
the event and in the audit log.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			do := c.ReleaseRetirement
			if override {
				do = c.OverrideRetirement
			}
			released, err := do(cmd.Context(), args[0], lockstep.VersionID(version))
			if err != nil {
				return err
			}
			return t.show(cmd, released, func(w io.Writer) {
				for _, v := range released.Versions {
					row(w, fmt.Sprintf("%s: version %s is being removed at the target", released.Secret.Name, v))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&override, "override", false, "also what the policy would keep")
	cmd.Flags().StringVar(&version, "version", "", "this version alone")
	return cmd
}
