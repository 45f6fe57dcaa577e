package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"lockstep"
	"lockstep/runs"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

// claimed is how many secrets are made due for one claim.
const claimed = 100

// measureScale measures what a server with many scheduled secrets costs that are
// not due: its start, its memory, and the admission of a few that are.
func measureScale(ctx context.Context, b *bench, out io.Writer) error {
	fmt.Fprintf(out, "\nScheduled secrets in the store (admission of %d that are due, rows and jobs written)\n", claimed)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "store\tsecrets\tfilled in\tstart to ready\theap MB\tresident MB\tadmission ms (median)\tlook for the next ms\tload\t")
	for _, kind := range stores {
		for _, n := range []int{1000, b.secrets} {
			f, err := b.scale(ctx, kind, n)
			if err != nil {
				return err
			}
			fmt.Fprintf(t, "%s\t%d\t%v\t%v\t%.0f\t%.0f\t%.1f\t%.2f\t%s\t\n", kind, n, f.filled.Round(time.Millisecond), f.start.Round(time.Millisecond),
				f.heap, f.resident, median(f.admission), median(f.next), loadAverage())
		}
	}
	return t.Flush()
}

type scaleFigures struct {
	filled, start  time.Duration
	heap, resident float64
	admission      []float64
	next           []float64
}

func (b *bench) scale(ctx context.Context, kind string, n int) (f scaleFigures, err error) {
	p, err := b.at(ctx, kind, fmt.Sprintf("scale_%d", n))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.remove(context.WithoutCancel(ctx))) }()
	begun := time.Now()
	if err := p.fill(ctx, n); err != nil {
		return f, err
	}
	f.filled = time.Since(begun)
	begun = time.Now()
	server, err := p.start(ctx, 16)
	if err != nil {
		return f, err
	}
	f.start = time.Since(begun)
	f.heap, f.resident = memory()
	server.Stop()
	f.admission, f.next, err = admissions(ctx, p.dsn, b.rounds)
	return f, err
}

// fill makes n scheduled Secrets.
func (p *place) fill(ctx context.Context, n int) error {
	first, err := p.firstScheduled(ctx)
	if err != nil {
		return err
	}
	return cloneMany(ctx, p.dsn, first, n-1)
}

// firstScheduled makes the Secret that is copied and returns its name.
func (p *place) firstScheduled(ctx context.Context) (string, error) {
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: p.dsn})
	if err != nil {
		return "", err
	}
	var name string
	err = s.Update(ctx, func(tx store.Tx) error {
		secret := scheduledSecret(tx.Now())
		name = secret.Name
		return tx.InsertSecret(secret)
	})
	return name, errors.Join(err, s.Close())
}

func scheduledSecret(now time.Time) *lockstep.Secret {
	const name = "bulk/first"
	return &lockstep.Secret{
		Account: "000000000000", Region: region, Name: name, ARN: lockstep.ARN("arn:aws:secretsmanager:" + region + ":000000000000:secret:" + name),
		Created: now, Changed: now, LastRotated: now, Target: "target-0", NextRotation: now.Add(24 * time.Hour),
		Rotation: &lockstep.Rotation{Enabled: true, Rotator: "postgres", Schedule: lockstep.Schedule{Expression: "rate(30 days)", Anchor: now}},
	}
}

// anyTraits says that every rotator has a target.
type anyTraits struct{}

func (anyTraits) Traits(string) (lockstep.Traits, error) { return lockstep.Traits{}, nil }

// admissions measures the engine alone: no server runs.
func admissions(ctx context.Context, dsn string, rounds int) (admission, next []float64, err error) {
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: dsn})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	engine := runs.New(runs.Config{Store: s, Rotators: anyTraits{}})
	for round := range rounds {
		if err := makeDue(ctx, s, round); err != nil {
			return nil, nil, err
		}
		begun := time.Now()
		n, err := engine.AdmitDue(ctx, 2*claimed)
		if err != nil {
			return nil, nil, err
		}
		if n < claimed {
			return nil, nil, fmt.Errorf("admitted %d of %d", n, claimed)
		}
		admission = append(admission, float64(time.Since(begun))/1e6)
		begun = time.Now()
		if _, _, err := engine.NextDue(ctx); err != nil {
			return nil, nil, err
		}
		next = append(next, float64(time.Since(begun))/1e6)
	}
	return admission, next, nil
}

func makeDue(ctx context.Context, s store.Store, round int) error {
	return s.Update(ctx, func(tx store.Tx) error {
		for i := range claimed {
			secret, err := tx.LockSecret(lockstep.SecretID(1 + round*claimed + i))
			if err != nil {
				return err
			}
			secret.NextRotation = tx.Now()
			if err := tx.SaveSecret(secret); err != nil {
				return err
			}
		}
		return nil
	})
}

// memory is the heap in use after a collection, and what the process has resident,
// in MB.
func memory() (heap, resident float64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	heap = float64(m.HeapInuse) / (1 << 20)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return heap, 0
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return heap, kb / 1024
		}
	}
	return heap, 0
}
