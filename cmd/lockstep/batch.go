package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client/admin"
)

func newBatch(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "batch", Short: "See and steer rotations of many secrets", RunE: needSubcommand}
	cmd.AddCommand(newBatchList(t), newBatchShow(t), newBatchResume(t), newBatchCancel(t))
	return cmd
}

func newBatchList(t *target) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List batches, newest first", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			list, err := c.Batches(cmd.Context(), 0)
			if err != nil {
				return err
			}
			return t.show(cmd, list, func(w io.Writer) {
				if len(list) == 0 {
					row(w, "no batches yet")
					return
				}
				row(w, "CREATED", "BATCH", "SECRETS", "STATE", "PROGRESS")
				for _, b := range list {
					row(w, when(b.Created), b.ID, batchOf(b), b.State, progressWords(b))
				}
			})
		},
	}
}

func newBatchShow(t *target) *cobra.Command {
	return t.batchCommand(handWords{use: "show BATCH", short: "Show how far a batch is, and what failed"}, (*admin.Client).Batch)
}

func newBatchCancel(t *target) *cobra.Command {
	return t.batchCommand(handWords{
		use: "cancel BATCH", short: "Start nothing more of a batch; what is at its target goes on",
	}, (*admin.Client).CancelBatch)
}

func (t *target) batchCommand(words handWords, do func(*admin.Client, context.Context, string) (admin.Batch, error)) *cobra.Command {
	return &cobra.Command{
		Use: words.use, Short: words.short, Long: words.long, Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			b, err := do(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, b, func(w io.Writer) { batchTable(w, b) })
		},
	}
}

func newBatchResume(t *target) *cobra.Command {
	return &cobra.Command{
		Use: "resume BATCH", Short: "Go on with a batch, rotate again what failed, and wait for its end",
		Long: `Go on with a batch that was cancelled or whose command was interrupted; start a new
rotation for each of its secrets that failed. Wait for the end; exit 1 if any
failed.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			b, err := c.ResumeBatch(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.followBatch(cmd, c, b)
		},
	}
}

// rotateMany starts a batch and waits for its end.
func (t *target) rotateMany(cmd *cobra.Command, f rotateFlags, name string) error {
	tag, err := tagOf(f.tag)
	if err != nil {
		return err
	}
	spec := admin.BatchSpec{Match: f.match, Tag: tag}
	if name != "" {
		spec.Match = name
	}
	c, err := adminClient(cmd.Context(), cmd.Flags())
	if err != nil {
		return err
	}
	start := c.StartBatch
	if f.emergency {
		start = c.StartEmergencyBatch
	}
	b, err := start(cmd.Context(), spec)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "batch %s; it goes on by itself if this command ends\n", b.ID)
	return t.followBatch(cmd, c, b)
}

// batchEvery is how often a batch that is followed is read.
const batchEvery = 200 * time.Millisecond

// followBatch shows the progress of a batch until it is done, and its summary:
// a bar on a terminal, else a line whenever something changed.
func (t *target) followBatch(cmd *cobra.Command, c *admin.Client, b admin.Batch) error {
	ctx, out := cmd.Context(), cmd.ErrOrStderr()
	bar := onTerminal(out)
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	last := ""
	for !b.Done {
		words := progressWords(b)
		switch {
		case bar:
			_, _ = fmt.Fprintf(out, "\r\x1b[K%s %s", barOf(finished(b), b.Total), words)
		case words != last:
			_, _ = fmt.Fprintln(out, words)
		}
		last = words
		select {
		case <-ctx.Done():
			_, _ = fmt.Fprintf(out, "\nit goes on by itself; \"lockstep batch resume %s\" follows it\n", b.ID)
			return ctx.Err()
		case <-tick.C:
		}
		next, err := c.Batch(ctx, b.ID)
		if err != nil {
			return err
		}
		b = next
	}
	if bar {
		_, _ = fmt.Fprint(out, "\r\x1b[K")
	}
	if err := t.show(cmd, b, func(w io.Writer) { batchTable(w, b) }); err != nil {
		return err
	}
	if b.Count("succeeded") < b.Total || b.Total == 0 {
		return errReported
	}
	return nil
}

// onTerminal tells whether a person watches.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const barWidth = 30

// finished is how many secrets of a batch need nothing more.
func finished(b admin.Batch) int {
	sum := b.Count("refused")
	for _, s := range lockstep.RunStates() {
		if s.Final() {
			sum += b.Count(string(s))
		}
	}
	return sum
}

func progressWords(b admin.Batch) string {
	words := fmt.Sprintf("%d/%d", finished(b), b.Total)
	if !b.Expanded {
		words += "+"
	}
	for _, c := range b.Counts {
		words += fmt.Sprintf("  %d %s", c.Secrets, c.State)
	}
	return words
}

func batchOf(b admin.Batch) string {
	switch {
	case b.Match != "":
		return b.Match
	case b.Tag != nil:
		return b.Tag.Key + "=" + b.Tag.Value
	}
	return "all"
}

func batchTable(w io.Writer, b admin.Batch) {
	row(w, "batch", b.ID)
	row(w, "secrets", batchOf(b))
	row(w, "state", b.State)
	row(w, "progress", progressWords(b))
	if b.Total == 0 && b.Expanded {
		row(w, "note", "no secret with rotation turned on was selected")
	}
	for _, f := range b.Failures {
		row(w, f.State, f.Secret, string(f.Run), f.Reason)
	}
}
