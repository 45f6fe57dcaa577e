package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"lockstep/internal/node"
)

// auditSide is a server with or without an audit log, and what was measured of
// it by the number of connections.
type auditSide struct {
	name  string
	audit node.AuditConfig
	rates map[int][]float64
	times map[int][]float64
	// cpu is the processor time of one read, server and client, in milliseconds:
	// it tells more than the rate where others use the machine.
	cpu map[int][]float64
}

func newAuditSide(name string) *auditSide {
	return &auditSide{name: name, rates: make(map[int][]float64), times: make(map[int][]float64), cpu: make(map[int][]float64)}
}

// measureAudit measures what a durable audit record costs a read: GetSecretValue
// with and without it, in turns.
func measureAudit(ctx context.Context, b *bench, out io.Writer) error {
	if err := b.prepare(ctx, 0, time.Hour); err != nil {
		return err
	}
	numbers := []int{16, 64}
	without, with := newAuditSide("off"), newAuditSide("on, durable")
	without.audit.Off = true
	for round := range b.rounds {
		sides := []*auditSide{without, with}
		if round%2 == 1 { // who comes second may find the machine in another mood
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := b.auditRound(ctx, side, numbers); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(out, "\nGetSecretValue with and without an audit log (each record synced before its answer)")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "connections\taudit\treads/s\tp50 ms\tp99 ms\tless reads/s\tCPU ms/read\t")
	for _, n := range numbers {
		for _, side := range []*auditSide{without, with} {
			fmt.Fprintf(t, "%d\t%s\t%.0f\t%.2f\t%.2f\t%.1f %%\t%.3f\t\n", n, side.name, median(side.rates[n]),
				quantile(side.times[n], 0.5), quantile(side.times[n], 0.99), 100*lost(without.rates[n], side.rates[n]), median(side.cpu[n]))
		}
	}
	return t.Flush()
}

// lost is the median of what each round lost.
func lost(base, rates []float64) float64 {
	var out []float64
	for i := range base {
		out = append(out, 1-rates[i]/base[i])
	}
	return median(out)
}

// auditRound starts a server, measures it and stops it.
func (b *bench) auditRound(ctx context.Context, side *auditSide, numbers []int) error {
	server, err := node.Start(ctx, node.Config{
		DataDir: filepath.Join(b.dir, "data"), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0",
		MinInterval: minInterval, Version: "bench", Audit: side.audit, Logger: b.commits.logger(),
	})
	if err != nil {
		return err
	}
	defer server.Stop()
	for _, n := range numbers {
		got, took, err := b.profiledReads(ctx, server, n)
		if err != nil {
			return err
		}
		side.cpu[n] = append(side.cpu[n], got.cpu)
		side.rates[n], side.times[n] = append(side.rates[n], got.perSecond), append(side.times[n], took...)
	}
	return nil
}
