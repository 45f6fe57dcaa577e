// Command bench measures Lockstep in one process on one machine, beside the
// least that any program could do, and prints medians of interleaved rounds:
//
//   - Rotations per second of real PostgreSQL credentials, through every part of
//     a server (scheduler, store, outbox, NATS, workers, rotator, events), beside
//     the raw limit: ALTER ROLE … PASSWORD on an open admin connection and one
//     login with the new password, as many at once, on the same server.
//   - The delay from the commit of a rotation to its event at the subscribers.
//   - GetSecretValue over HTTPS with Signature Version 4.
//   - The same with and without an audit log.
//   - The same with the root key in a file and in an HSM (SoftHSM2); re-wrapping of
//     data keys; verification of an audit log.
//   - Start, memory and admission with a million scheduled secrets in the store.
//   - Ten thousand secrets that are due in one second, alone (storm) and among a
//     million others (crowd), with a rotator that has no target.
//   - How late a single secret is that is due on an idle server.
//   - The first page of ListSecrets among a hundred thousand, by several filters.
//
// Everything (PostgreSQL with fsync, the server, the subscribers and the
// clients) shares the machine, so absolute figures are those of the machine;
// what counts is the ratio. A round measures both sides right after each other,
// since a machine that others use changes its speed by the second.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds  int
	window  time.Duration
	only    string
	clear   bool
	profile string
	secrets int
	due     int
	workers string
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each measurement; the medians are printed")
	flags.DurationVar(&o.window, "window", 2*time.Second, "how long each side of a round is measured")
	flags.StringVar(&o.only, "only", "rotations,delay,reads,audit,keys,lists,scale,storm,crowd,lateness", "what to measure")
	flags.BoolVar(&o.clear, "raw-clear", false, "let the raw limit send clear passwords, so that PostgreSQL computes the verifier")
	flags.IntVar(&o.secrets, "secrets", 1_000_000, "scheduled secrets in the store, for scale")
	flags.IntVar(&o.due, "due", 10_000, "secrets that are due in one second, for storm and crowd")
	flags.StringVar(&o.workers, "workers", "1,8,16", "numbers of workers, for rotations")
	flags.StringVar(&o.profile, "cpuprofile", "", "write CPU profiles of the rotations (not of the raw limit), delays and reads to `file`.1, .2, …")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.secrets < 1000 || o.rounds*claimed > 1000 || o.window < 100*time.Millisecond {
		return o, errors.New("one round to ten, a window of 100ms, and a thousand secrets at least")
	}
	return o, nil
}

// section is one measurement.
type section struct {
	name    string
	measure func(ctx context.Context, b *bench, out io.Writer) error
}

func sections() []section {
	return []section{
		{"rotations", measureRotations}, {"delay", measureDelay}, {"reads", measureReads},
		{"audit", measureAudit}, {"keys", measureKeys}, {"lists", measureLists}, {"scale", measureScale},
		{"storm", measureStorm}, {"crowd", measureCrowd}, {"lateness", measureLateness},
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(context.WithoutCancel(ctx))) }()
	if err := b.describe(ctx, out); err != nil {
		return err
	}
	for _, s := range sections() {
		if !strings.Contains(o.only, s.name) {
			continue
		}
		if err := s.measure(ctx, b, out); err != nil {
			return fmt.Errorf("measure %s: %w", s.name, err)
		}
	}
	_, err = fmt.Fprintf(out, "\nLoad average now: %s. Figures are this machine's, at this hour.\n", loadAverage())
	return err
}
