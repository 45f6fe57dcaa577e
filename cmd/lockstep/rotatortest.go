package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client/admin"
)

// rotatorCase is one line of `rotator test`.
type rotatorCase struct {
	Case string `json:"case"`
	// Result is "ok", "failed" or "not tried".
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
	// Run is the rotation in which it was tried.
	Run lockstep.RunID `json:"run,omitempty"`
}

// The results.
const (
	caseOK       = "ok"
	caseFailed   = "failed"
	caseNotTried = "not tried"
)

func newRotatorTest(t *target) *cobra.Command {
	var secret string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "test NAME --secret SECRET",
		Short: "Try a registered rotator on a secret, which it rotates three times",
		Long: `Try a registered rotator on a real secret that is given for it. THE SECRET IS ROTATED
THREE TIMES, and its rotation is turned on with this rotator if it has none. Take
one whose users bear that, or an account made for it.

The rotator is called as any rotator must bear to be called: once for each step;
each step again after it has succeeded; each step with its first call cut off, or
its answer lost. After each rotation its own testSecret says whether AWSCURRENT
works. Exit 1 if a case failed. A rotation that failed may leave the target with
another value than AWSCURRENT: see "lockstep runs SECRET".`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := &trial{rotator: args[0], secret: secret, timeout: timeout}
			if err := s.prepare(cmd); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "secret %s is rotated three times\n", secret)
			s.all(cmd.Context())
			err := t.show(cmd, s.cases, func(w io.Writer) {
				row(w, "CASE", "RESULT", "DETAIL")
				for _, c := range s.cases {
					row(w, c.Case, c.Result, firstOf(c.Detail, "-"))
				}
			})
			if err == nil && s.failed {
				err = errReported
			}
			return err
		},
	}
	cmd.Flags().StringVar(&secret, "secret", "", "the secret to rotate; required")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long one rotation may take")
	_ = cmd.MarkFlagRequired("secret")
	return cmd
}

// trial is one run of `rotator test`.
type trial struct {
	rotator, secret string
	timeout         time.Duration

	admin   *admin.Client
	secrets *secretsmanager.Client
	// limit is the rotator's own timeout.
	limit  time.Duration
	cases  []rotatorCase
	failed bool
	// stuck is true once a rotation has not ended: nothing more is tried.
	stuck bool
}

// prepare finds the rotator and sees that the secret is for it.
func (s *trial) prepare(cmd *cobra.Command) (err error) {
	ctx := cmd.Context()
	if s.admin, err = adminClient(ctx, cmd.Flags()); err != nil {
		return err
	}
	if s.secrets, err = secretsClient(ctx, cmd.Flags()); err != nil {
		return err
	}
	r, err := s.admin.Rotator(ctx, s.rotator)
	if err != nil {
		return err
	}
	if s.limit, err = time.ParseDuration(r.Timeout); err != nil {
		return fmt.Errorf("read the timeout of rotator %s: %w", s.rotator, err)
	}
	d, err := s.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.secret})
	if err != nil {
		return plain(err)
	}
	if !aws.ToBool(d.RotationEnabled) {
		return nil
	}
	rotation, err := s.admin.Rotation(ctx, s.secret)
	if err == nil && rotation.Rotator != s.rotator {
		err = usagef("secret %s is rotated by %s; give a secret of its own to try %s", s.secret, rotation.Rotator, s.rotator)
	}
	return err
}

// all tries every case, each rotation followed by a test of what it made.
func (s *trial) all(ctx context.Context) {
	var first admin.Run
	s.try("a rotation, each step once", func() (run admin.Run, err error) {
		first, err = s.rotate(ctx, &secretsmanager.RotateSecretInput{RotationLambdaARN: &s.rotator})
		return first, err
	})
	s.inTime(first)
	s.works(ctx, "testSecret again after the run's end: AWSCURRENT works")
	s.try("each step again after it has succeeded", func() (admin.Run, error) { return s.trial(ctx, lockstep.TriggerTwice) })
	s.works(ctx, "AWSCURRENT works after that")
	s.try("each step cut off or its answer lost, and repeated", func() (admin.Run, error) { return s.trial(ctx, lockstep.TriggerCut) })
	s.works(ctx, "AWSCURRENT works after that")
}

func (s *trial) add(c rotatorCase) {
	s.failed = s.failed || c.Result != caseOK
	s.cases = append(s.cases, c)
}

// try notes how a rotation ended.
func (s *trial) try(name string, do func() (admin.Run, error)) {
	c := rotatorCase{Case: name, Result: caseNotTried}
	if s.stuck {
		s.add(c)
		return
	}
	run, err := do()
	c.Run = run.ID
	switch {
	case err != nil:
		c.Result, c.Detail = caseFailed, err.Error()
		s.stuck = run.ID != "" || errors.Is(err, context.Canceled)
	case run.State == lockstep.RunSucceeded:
		c.Result, c.Detail = caseOK, "in "+took(run.Created, run.Finished)
	default:
		c.Result, c.Detail = caseFailed, failedStep(run)+run.Reason
	}
	s.add(c)
}

// works has the rotator's testSecret try AWSCURRENT.
func (s *trial) works(ctx context.Context, name string) {
	s.try(name, func() (admin.Run, error) {
		return s.rotate(ctx, &secretsmanager.RotateSecretInput{RotateImmediately: aws.Bool(false)})
	})
}

// inTime compares the slowest step with the rotator's timeout.
func (s *trial) inTime(run admin.Run) {
	c := rotatorCase{Case: "each step within its timeout", Result: caseNotTried, Run: run.ID}
	var slowest time.Duration
	for _, step := range run.Steps {
		slowest = max(slowest, step.Ended.Sub(step.Started))
	}
	if run.State == lockstep.RunSucceeded {
		c.Result, c.Detail = caseOK, fmt.Sprintf("the slowest took %s of %s", slowest.Round(time.Millisecond), s.limit)
		if slowest >= s.limit {
			c.Result = caseFailed
		}
	}
	s.add(c)
}

func (s *trial) rotate(ctx context.Context, in *secretsmanager.RotateSecretInput) (admin.Run, error) {
	in.SecretId = &s.secret
	out, err := s.secrets.RotateSecret(ctx, in)
	if err != nil {
		return admin.Run{}, plain(err)
	}
	id, err := runOf(ctx, s.admin, s.secret, lockstep.VersionID(aws.ToString(out.VersionId)))
	if err != nil {
		return admin.Run{}, err
	}
	return s.ended(ctx, id)
}

func (s *trial) trial(ctx context.Context, kind lockstep.Trigger) (admin.Run, error) {
	id, err := s.admin.Trial(ctx, s.secret, kind)
	if err != nil {
		return admin.Run{}, err
	}
	return s.ended(ctx, id)
}

// ended waits for the end of a rotation.
func (s *trial) ended(ctx context.Context, id lockstep.RunID) (admin.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	for {
		run, err := s.admin.Run(ctx, id)
		if run.Final || err != nil && ctx.Err() == nil {
			return run, err
		}
		select {
		case <-ctx.Done():
			return admin.Run{ID: id}, fmt.Errorf("it has not ended within %s: %w", s.timeout, ctx.Err())
		case <-tick.C:
		}
	}
}
