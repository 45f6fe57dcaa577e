package main

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client/admin"
)

// pauseName is the name of a pause: one of everything, or one for each tag.
func pauseName(tag string) string {
	if tag == "" {
		return "pause"
	}
	return "pause-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._=@-", r) {
			return r
		}
		return '_'
	}, tag)
}

// tagOf reads KEY=VALUE; nil for an empty text.
func tagOf(given string) (*admin.Tag, error) {
	if given == "" {
		return nil, nil
	}
	key, value, ok := strings.Cut(given, "=")
	if !ok || key == "" {
		return nil, usagef("--tag %q: write it as KEY=VALUE", given)
	}
	return &admin.Tag{Key: key, Value: value}, nil
}

func newPause(t *target) *cobra.Command {
	var tag, reason string
	cmd := &cobra.Command{
		Use: "pause", Short: "Start no rotation until resume; those under way go on",
		Long: `Start no rotation, of anything or of the secrets with a tag, until "lockstep
resume". What is under way goes on to its end. What comes due, or is asked for,
waits as a queued run and goes when the pause ends. "lockstep rotate --emergency"
passes.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			of, err := tagOf(tag)
			if err != nil {
				return err
			}
			return t.setHold(cmd, pauseName(tag), admin.HoldSpec{Kind: lockstep.HoldPause, Tag: of, Reason: reason})
		},
	}
	cmd.Flags().StringVar(&tag, "tag", "", "only secrets with this tag, KEY=VALUE")
	cmd.Flags().StringVar(&reason, "reason", "", "why; whoever waits sees it")
	return cmd
}

func newResume(t *target) *cobra.Command {
	var tag string
	cmd := &cobra.Command{
		Use: "resume", Short: "End a pause: what waited goes on", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := tagOf(tag); err != nil {
				return err
			}
			return t.removeHold(cmd, pauseName(tag), "resumed")
		},
	}
	cmd.Flags().StringVar(&tag, "tag", "", "the pause of this tag, KEY=VALUE")
	return cmd
}

func newFreeze(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "freeze", Short: "Keep rotations out of a time", RunE: needSubcommand}
	cmd.AddCommand(newFreezeAdd(t), newFreezeList(t), newFreezeRemove(t))
	return cmd
}

func newFreezeAdd(t *target) *cobra.Command {
	var spec admin.HoldSpec
	var tag string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Start no rotation in a time, once or again and again",
		Long: `Start no rotation in a time: of anything, of secrets whose name matches a pattern,
or of those with a tag. What comes due in it runs when it ends; a credential with
a maximum age rotates before it.

  lockstep freeze add year-end --from 2026-12-20T00:00:00Z --to 2027-01-04T00:00:00Z
  lockstep freeze add weekends --expression '0 18 * * FRI' --for 62h --match 'prod/*'`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := tagOf(tag)
			if err != nil {
				return err
			}
			spec.Kind, spec.Tag = lockstep.HoldFreeze, of
			if lasts > 0 {
				spec.For = lasts.String()
			}
			return t.setHold(cmd, args[0], spec)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.From, "from", "", "when it begins, RFC 3339")
	flags.StringVar(&spec.To, "to", "", "when it ends, RFC 3339; without it, never")
	flags.StringVar(&spec.Expression, "expression", "", "when each stretch begins, for one that comes back")
	flags.StringVar(&spec.TimeZone, "time-zone", "", "IANA zone of the expression (default UTC)")
	flags.DurationVar(&lasts, "for", 0, "how long each stretch lasts")
	flags.StringVar(&spec.Match, "match", "", "only secrets whose name matches, for example prod/*")
	flags.StringVar(&tag, "tag", "", "only secrets with this tag, KEY=VALUE")
	flags.StringVar(&spec.Reason, "reason", "", "why; whoever waits sees it")
	return cmd
}

func newFreezeList(t *target) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List freezes and pauses", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			holds, err := c.Holds(cmd.Context())
			if err != nil {
				return err
			}
			return t.show(cmd, holds, func(w io.Writer) { holdTable(w, holds) })
		},
	}
}

func newFreezeRemove(t *target) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "End a freeze: what waited goes on", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return t.removeHold(cmd, args[0], "removed") },
	}
}

func (t *target) setHold(cmd *cobra.Command, name string, spec admin.HoldSpec) error {
	c, err := adminClient(cmd.Context(), cmd.Flags())
	if err != nil {
		return err
	}
	hold, err := c.SetHold(cmd.Context(), name, spec)
	if err != nil {
		return err
	}
	return t.show(cmd, hold, func(w io.Writer) { holdTable(w, []admin.Hold{hold}) })
}

func (t *target) removeHold(cmd *cobra.Command, name, said string) error {
	c, err := adminClient(cmd.Context(), cmd.Flags())
	if err != nil {
		return err
	}
	if err := c.RemoveHold(cmd.Context(), name); err != nil {
		return err
	}
	return t.show(cmd, struct{}{}, func(w io.Writer) { row(w, said+": "+name) })
}

func holdTable(w io.Writer, holds []admin.Hold) {
	if len(holds) == 0 {
		row(w, "nothing is frozen or paused")
		return
	}
	row(w, "NAME", "KIND", "SECRETS", "WHEN", "REASON", "BY")
	for _, h := range holds {
		row(w, h.Name, string(h.Kind), holdOn(h), holdWhen(h), firstOf(h.Reason, "-"), h.By)
	}
}

func holdOn(h admin.Hold) string {
	switch {
	case h.Match != "":
		return h.Match
	case h.Tag != nil:
		return h.Tag.Key + "=" + h.Tag.Value
	}
	return "all"
}

func holdWhen(h admin.Hold) string {
	if h.Expression != "" {
		return strings.TrimSpace(h.Expression+" "+h.TimeZone) + " for " + h.For
	}
	return firstOf(h.From, "since "+when(h.Created)) + " to " + firstOf(h.To, "its end by hand")
}
