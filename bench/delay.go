package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"lockstep"
	"lockstep/internal/node"
)

const (
	// So many rotations a second are made while delays are measured: the
	// server is at work, and not at its limit.
	delaySecrets = 10
	delayEvery   = time.Second
)

// receipt is one event at one subscriber.
type receipt struct {
	version  lockstep.VersionID
	at, said time.Time
}

// receipts collects those of all subscribers.
type receipts struct {
	mu  sync.Mutex
	all []receipt
}

func (r *receipts) add(e lockstep.Event, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, receipt{e.Data.VersionID, at, e.Time})
}

func (r *receipts) take() []receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.all
	r.all = nil
	return out
}

// delays are how long events took, in milliseconds.
type delays struct{ fromCommit, fromEvent []float64 }

// measureDelay measures with one subscriber and with a hundred, each with a
// connection (TLS) of its own.
func measureDelay(ctx context.Context, b *bench, out io.Writer) error {
	if err := b.prepare(ctx, delaySecrets, delayEvery); err != nil {
		return err
	}
	server, err := b.start(ctx, 16)
	if err != nil {
		return err
	}
	defer server.Stop()
	numbers := []int{1, 100}
	all := map[int]*delays{1: {}, 100: {}}
	for range max(1, b.rounds/2) {
		for _, n := range numbers {
			if err := b.delayRound(ctx, server, n, all[n]); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(out, "\nEvent delay, finish to receipt, %d rotations a second (ms; all receipts of all subscribers)\n", delaySecrets)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "subscribers\treceipts\tafter commit p50\tp99\twith the commit itself p50\tp99\t")
	for _, n := range numbers {
		d := all[n]
		fmt.Fprintf(t, "%d\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", n, len(d.fromCommit),
			quantile(d.fromCommit, 0.5), quantile(d.fromCommit, 0.99), quantile(d.fromEvent, 0.5), quantile(d.fromEvent, 0.99))
	}
	return t.Flush()
}

// delayRound subscribes n clients and measures for a few windows.
func (b *bench) delayRound(ctx context.Context, server *node.Node, n int, into *delays) error {
	var got receipts
	for i := range n {
		w, err := b.watch(ctx, server, fmt.Sprintf("subscriber-%d", i), got.add)
		if err != nil {
			return err
		}
		defer w.stop()
	}
	// Then connecting is over and everybody has the present state, which does
	// not count.
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	b.commits.take()
	got.take()
	stopProfile, err := b.startProfile()
	if err != nil {
		return err
	}
	if err := errors.Join(pause(ctx, 4*b.window), stopProfile()); err != nil {
		return err
	}
	commits, all := b.commits.take(), got.take()
	for _, r := range all {
		if at, ok := commits[r.version]; ok {
			into.fromCommit = append(into.fromCommit, milliseconds(r.at.Sub(at)))
			into.fromEvent = append(into.fromEvent, milliseconds(r.at.Sub(r.said)))
		}
	}
	if len(into.fromCommit) == 0 {
		return fmt.Errorf("%d commits and %d receipts, and none belong together", len(commits), len(all))
	}
	return nil
}
