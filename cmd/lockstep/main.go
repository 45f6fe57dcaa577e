// Command lockstep is the secrets manager: the server, its command line, and a
// demonstration, in one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules name zones; a minimal image has no zone files

	"github.com/spf13/cobra"
)

// version is set at build time (-ldflags "-X main.version=…").
var version = "dev"

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := exitCode(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr), os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	return root.ExecuteContext(ctx)
}

// usageError marks a mistake in how the command was called: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// errReported ends a command whose failure was already shown in full.
var errReported = errors.New("failed")

func exitCode(err error, errOut io.Writer) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(errOut, "lockstep: %v\n", err)
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailure
	}
	_, _ = fmt.Fprintf(errOut, "lockstep: %v\n", err)
	return exitFailure
}

// newRoot builds the command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "lockstep",
		Short: "Secrets manager and rotation engine",
		Long: `Lockstep keeps secrets and rotates the credentials behind them on a schedule,
without an outage and without losing one.

Start a server with "lockstep serve"; then, in another shell,
  eval "$(lockstep env)"
  lockstep secret list`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // RunE says what is wrong with them
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; see lockstep --help", args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	t := &target{}
	t.flags(root)
	root.AddCommand(newServe(), newEnv(t), newVersion(),
		newSecret(t), newRotate(t), newBatch(t), newGraph(t), newRuns(t), newRetire(t), newSessions(t), newSchedule(t), newFreeze(t), newPause(t), newResume(t), newWatch(t), newCheck(t), newDemo(),
		newCluster(), newUser(t), newGroup(t), newRole(t), newPolicy(t), newApply(t), newAudit(t), newKeys(t), newBackup(t), newRestore(), newRotator(t))
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "lockstep", version)
			return err
		},
	}
}

// noArgs, exactArgs and maxArgs are cobra's checks, with our exit code.
func noArgs(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 0, 0) }

func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, n, n) }
}

func maxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 0, n) }
}

func countArgs(cmd *cobra.Command, args []string, least, most int) error {
	if len(args) < least || len(args) > most {
		return usagef("%s takes %s; see %s --help", cmd.CommandPath(), cmd.Use, cmd.CommandPath())
	}
	return nil
}
