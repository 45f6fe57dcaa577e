package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	types []string
	since string
	state string
}

func newWatch(t *target) *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch [PATTERN]",
		Short: "Show events as they happen",
		Long: `Show events as they happen: first the last state of each secret, then every
event, each once and in order per secret. Lost connections come back by
themselves, and what was missed is shown.

PATTERN is a secret's name; * stands for any characters of one part of it, ** for
one part or more: "prod/db/*", "prod/**". With --state FILE, a watch that is
stopped and started again goes on where it ended.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := f.config(args)
			if err != nil {
				return err
			}
			return t.watch(cmd, cfg, f.state)
		},
	}
	cmd.Flags().StringSliceVar(&f.types, "type", nil, "only these types, for example version.current")
	cmd.Flags().StringVar(&f.since, "since", "", "events from this time on: RFC 3339, or a duration such as 10m")
	cmd.Flags().StringVar(&f.state, "state", "", "file that keeps how far this watch has come")
	return cmd
}

func (f *watchFlags) config(args []string) (client.WatchConfig, error) {
	var cfg client.WatchConfig
	if len(args) == 1 {
		cfg.Pattern = args[0]
	}
	for _, typ := range f.types {
		cfg.Types = append(cfg.Types, lockstep.EventType(strings.TrimPrefix(typ, lockstep.EventTypePrefix)))
	}
	if f.since != "" {
		since, err := parseSince(f.since)
		if err != nil {
			return cfg, err
		}
		cfg.Since = since
	}
	if f.state == "" {
		return cfg, nil
	}
	raw, err := os.ReadFile(f.state)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cfg, nil
	case err != nil:
		return cfg, fmt.Errorf("read --state: %w", err)
	}
	if err := json.Unmarshal(raw, &cfg.State); err != nil {
		return cfg, fmt.Errorf("read --state %s: %w; remove the file to begin anew", f.state, err)
	}
	return cfg, nil
}

func parseSince(s string) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return time.Now().Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usagef("--since %q: a time such as 2026-01-31T12:00:00Z, or a duration such as 10m", s)
	}
	return at, nil
}

// watch prints events until the command is interrupted.
func (t *target) watch(cmd *cobra.Command, cfg client.WatchConfig, stateFile string) error {
	asJSON, err := t.json()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	env, err := environmentOf(cmd.Flags())
	if err != nil {
		return err
	}
	c, err := client.New(ctx, env.clientConfig("lockstep watch"))
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := c.Watch(ctx, cfg)
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		e, err := w.Next(ctx)
		var gap *client.GapError
		switch {
		case errors.As(err, &gap):
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "lockstep: %v\n", gap)
			continue
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if err := printEvent(cmd.OutOrStdout(), e, asJSON); err != nil {
			return err
		}
		if err := saveState(stateFile, w.State()); err != nil {
			return err
		}
	}
}

func printEvent(out io.Writer, e lockstep.Event, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(e)
	}
	line := fmt.Sprintf("%s  %-18s  %s", e.Time.Local().Format("15:04:05.000"), e.Type, e.Name)
	if e.Data.VersionID != "" {
		line += "  version " + short(string(e.Data.VersionID))
	}
	if e.Data.Step != "" {
		line += "  step " + string(e.Data.Step)
	}
	if e.Data.Reason != "" {
		line += "  " + e.Data.Reason
	}
	if e.Data.Hint != "" {
		line += " (" + e.Data.Hint + ")"
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

// saveState replaces the state file as a whole.
func saveState(path string, s client.State) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keep --state: %w", err)
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("keep --state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keep --state: %w", err)
	}
	return nil
}
