package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client/admin"
)

// rotateFlags are the flags of rotate.
type rotateFlags struct {
	rotator string
	dryRun  bool
	wait    bool
	timeout time.Duration
	// all, tag and match select many; emergency goes before everything else.
	all, emergency bool
	tag, match     string
}

// many tells whether a batch is asked for.
func (f *rotateFlags) many() bool { return f.all || f.tag != "" || f.match != "" }

func newRotate(t *target) *cobra.Command {
	var f rotateFlags
	cmd := &cobra.Command{
		Use:   "rotate [NAME]",
		Short: "Rotate a secret now, or many, or say what would happen",
		Long: `Rotate a secret now. With --wait, show each step and exit 1 if the rotation
fails. With --dry-run, change nothing: say what a rotation would do and which
right is missing; exit 1 if it would fail.

With --all, --tag or --match, rotate many as one batch and wait for its end; exit 1
if any failed. The batch goes on if this command ends: see "lockstep batch". With
--emergency, go before everything else, also through freezes and pauses.

  lockstep rotate prod/db --wait
  lockstep rotate --match 'prod/*'
  lockstep rotate --tag team=payments --emergency`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			if f.many() || f.emergency {
				return t.rotateMany(cmd, f, strings.Join(args, ""))
			}
			if f.dryRun {
				return t.dryRun(cmd, args[0])
			}
			return t.rotate(cmd, args[0], f)
		},
	}
	cmd.Flags().StringVar(&f.rotator, "rotator", "", "turn rotation on with this rotator, for example postgres-alternating")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "change nothing, say what would happen")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait for the end and show the steps")
	cmd.Flags().BoolVar(&f.all, "all", false, "rotate every secret that rotates")
	cmd.Flags().StringVar(&f.tag, "tag", "", "rotate the secrets with this tag, KEY=VALUE")
	cmd.Flags().StringVar(&f.match, "match", "", "rotate the secrets whose name matches, for example prod/*")
	cmd.Flags().BoolVar(&f.emergency, "emergency", false, "go before everything else, also through freezes and pauses")
	cmd.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "how long --wait waits")
	return cmd
}

// check refuses what does not go together.
func (f *rotateFlags) check(cmd *cobra.Command, args []string) error {
	selectors := len(args)
	for _, given := range []bool{f.all, f.tag != "", f.match != ""} {
		if given {
			selectors++
		}
	}
	switch {
	case selectors != 1:
		return usagef("give a secret's name, or one of --all, --tag and --match; see %s --help", cmd.CommandPath())
	case (f.many() || f.emergency) && (f.dryRun || f.rotator != ""):
		return usagef("--dry-run and --rotator are for one secret, without --emergency")
	}
	return nil
}

func (t *target) rotate(cmd *cobra.Command, name string, f rotateFlags) error {
	client, err := secretsClient(cmd.Context(), cmd.Flags())
	if err != nil {
		return err
	}
	in := &secretsmanager.RotateSecretInput{SecretId: aws.String(name)}
	if f.rotator != "" {
		in.RotationLambdaARN = aws.String(f.rotator)
	}
	out, err := client.RotateSecret(cmd.Context(), in)
	if err != nil {
		return plain(err)
	}
	if !f.wait {
		return t.written(cmd, out.ARN, out.Name, out.VersionId, "rotating")
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	run, err := t.follow(ctx, cmd, name, lockstep.VersionID(aws.ToString(out.VersionId)))
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("secret %s: not finished after %s; it goes on by itself, see \"lockstep runs %s\"", name, f.timeout, name)
	}
	if err != nil {
		return err
	}
	return t.outcome(cmd, run)
}

// followEvery is how often the state of a run is read while waiting.
const followEvery = 50 * time.Millisecond

// follow shows the steps of the run with this version as they come, until it
// is final.
func (t *target) follow(ctx context.Context, cmd *cobra.Command, name string, version lockstep.VersionID) (admin.Run, error) {
	c, err := adminClient(ctx, cmd.Flags())
	if err != nil {
		return admin.Run{}, err
	}
	id, err := runOf(ctx, c, name, version)
	if err != nil {
		return admin.Run{}, err
	}
	asJSON, err := t.json()
	if err != nil {
		return admin.Run{}, err
	}
	shown := 0
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		run, err := c.Run(ctx, id)
		if err != nil {
			return run, err
		}
		for ; !asJSON && shown < len(run.Steps) && (run.Final || !run.Steps[shown].Ended.IsZero()); shown++ {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), stepLine(run.Steps[shown]))
		}
		if run.Final {
			return run, nil
		}
		select {
		case <-ctx.Done():
			return run, ctx.Err()
		case <-tick.C:
		}
	}
}

// runOf finds the run that owns a version.
func runOf(ctx context.Context, c *admin.Client, name string, version lockstep.VersionID) (lockstep.RunID, error) {
	page, err := c.Runs(ctx, admin.RunQuery{Secret: name, Limit: 20})
	if err != nil {
		return "", err
	}
	for _, r := range page.Runs {
		if r.VersionID == version {
			return r.ID, nil
		}
	}
	return "", fmt.Errorf("secret %s: no rotation has version %s; see \"lockstep runs %s\"", name, version, name)
}

// outcome prints how a run ended.
func (t *target) outcome(cmd *cobra.Command, run admin.Run) error {
	err := t.show(cmd, run, func(w io.Writer) {
		if run.State == lockstep.RunSucceeded {
			row(w, fmt.Sprintf("rotated %s to version %s in %s", run.Secret.Name, run.VersionID, took(run.Created, run.Finished)))
		}
	})
	if err != nil || run.State == lockstep.RunSucceeded {
		return err
	}
	failure := fmt.Errorf("secret %s: rotation %s: %s", run.Secret.Name, run.State, failedStep(run)+run.Reason)
	if run.Hint != "" {
		failure = fmt.Errorf("%w\n  do: %s", failure, run.Hint)
	}
	return fmt.Errorf("%w\n  AWSCURRENT stays as it was", failure)
}

// failedStep names the step that failed last.
func failedStep(run admin.Run) string {
	for i := len(run.Steps) - 1; i >= 0; i-- {
		if run.Steps[i].Error != "" {
			return "step " + string(run.Steps[i].Step) + ": "
		}
	}
	return ""
}

func (t *target) dryRun(cmd *cobra.Command, name string) error {
	c, err := adminClient(cmd.Context(), cmd.Flags())
	if err != nil {
		return err
	}
	plan, err := c.Plan(cmd.Context(), name)
	if err != nil {
		return err
	}
	err = t.show(cmd, plan, func(w io.Writer) {
		for i, action := range plan.Actions {
			_, _ = fmt.Fprintf(w, "%d. %s\n", i+1, action)
		}
		for _, p := range plan.Problems {
			_, _ = fmt.Fprintf(w, "would fail at %s: %s\n", p.Step, p.Problem)
			if p.Hint != "" {
				_, _ = fmt.Fprintf(w, "  do: %s\n", p.Hint)
			}
		}
		if plan.Error != "" {
			_, _ = fmt.Fprintf(w, "can't tell: %s\n", plan.Error)
		}
		if plan.Ready {
			_, _ = fmt.Fprintln(w, "ready: nothing was changed")
		}
	})
	if err == nil && !plan.Ready {
		err = errReported
	}
	return err
}
