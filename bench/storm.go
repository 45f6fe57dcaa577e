package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

const (
	// stormWorkers is the server's default.
	stormWorkers = 16
	// beforeStorm is how long a server has been up when the first is due.
	beforeStorm = 8 * time.Second
	// stormTime bounds one storm.
	stormTime = 15 * time.Minute
	// creators make the secrets of a storm at the same time.
	creators = 32
)

// measureStorm lets many secrets be due in one second.
func measureStorm(ctx context.Context, b *bench, out io.Writer) error {
	return b.storms(ctx, out, "storm", 0)
}

// measureCrowd does so among many others that are not due.
func measureCrowd(ctx context.Context, b *bench, out io.Writer) error {
	return b.storms(ctx, out, "crowd", b.secrets)
}

func (b *bench) storms(ctx context.Context, out io.Writer, name string, others int) error {
	fmt.Fprintf(out, "\n%d secrets due in one second among %d others, a rotator without a target, %d workers, durable commits\n", b.due, others, stormWorkers)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "store\tall finished after s\truns/s\tfirst step late s p50\tp99\town CPU ms a run\tload\t")
	for _, kind := range stores {
		f, err := b.storm(ctx, kind, name, others)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.0f\t%.2f\t%.2f\t%.2f\t%s\t\n", kind, f.all.Seconds(), float64(b.due)/f.all.Seconds(),
			quantile(f.late, 0.5), quantile(f.late, 0.99), f.cpu, loadAverage())
	}
	return t.Flush()
}

type stormFigures struct {
	// all is from the time of the first to the end of the last.
	all  time.Duration
	late []float64
	cpu  float64
}

func (b *bench) storm(ctx context.Context, kind, name string, others int) (f stormFigures, err error) {
	p, err := b.at(ctx, kind, name)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.remove(context.WithoutCancel(ctx))) }()
	if err := p.createMany(ctx, b.due); err != nil {
		return f, err
	}
	if others > 0 {
		if err := p.fill(ctx, others); err != nil {
			return f, err
		}
	}
	first, err := p.makeAllDue(ctx, b.due)
	if err != nil {
		return f, err
	}
	if f.cpu, err = p.weather(ctx, b.due); err != nil {
		return f, err
	}
	b.profiles = p.profiles
	return f, p.readStorm(ctx, first, &f)
}

// weather runs a server until all are finished, and returns the processor time
// of one in milliseconds.
func (p *place) weather(ctx context.Context, n int) (float64, error) {
	server, err := p.start(ctx, stormWorkers)
	if err != nil {
		return 0, err
	}
	defer server.Stop()
	stopProfile, err := p.startProfile()
	if err != nil {
		return 0, err
	}
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, stormTime)
	defer cancel()
	for p.commits.count() < int64(n) {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, errors.Join(fmt.Errorf("%d of %d are finished: %w", p.commits.count(), n, err), stopProfile())
		}
	}
	after, err := ownCPU()
	return milliseconds(after-before) / float64(n), errors.Join(err, stopProfile())
}

func stormName(i int) string { return fmt.Sprintf("storm/%d", i) }

// createMany makes Secrets with a value each, as a client does.
func (p *place) createMany(ctx context.Context, n int) error {
	server, err := p.start(ctx, 1)
	if err != nil {
		return err
	}
	defer server.Stop()
	api, err := p.api(server)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, creators)
	for w := range creators {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += creators {
				_, errs[w] = api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(stormName(i)), SecretString: aws.String("first-value")})
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// makeAllDue turns rotation on, and returns when the first is due.
func (p *place) makeAllDue(ctx context.Context, n int) (first time.Time, err error) {
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: p.dsn})
	if err != nil {
		return first, err
	}
	someday := time.Now().Add(1000 * time.Hour).Truncate(time.Second)
	for from := 0; from < n && err == nil; from += seedBatch {
		err = s.Update(ctx, func(tx store.Tx) error {
			for i := from; i < min(from+seedBatch, n); i++ {
				if err := turnOn(tx, stormName(i), someday.Add(time.Second*time.Duration(i)/time.Duration(n))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return first, err
	}
	db, err := open(p.dsn)
	if err != nil {
		return first, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	first = time.Now().Add(beforeStorm).Truncate(time.Second)
	_, err = db.ExecContext(ctx, `UPDATE secrets SET next_rotation = next_rotation - $1, rotation_due = rotation_due - $1 WHERE name LIKE 'storm/%'`,
		someday.Sub(first).Microseconds())
	return first, err
}

// turnOn lets a Secret rotate by a rotator that has no target.
func turnOn(tx store.Tx, name string, due time.Time) error {
	secret, err := tx.FindSecret(store.Owner{Account: "000000000000", Region: region}, name)
	if err != nil {
		return err
	}
	if secret, err = tx.LockSecret(secret.ID); err != nil {
		return err
	}
	secret.NextRotation = due
	secret.Rotation = &lockstep.Rotation{Enabled: true, Rotator: "generic", Schedule: lockstep.Schedule{Expression: "rate(30 days)", Anchor: due}}
	return tx.SaveSecret(secret)
}

// readStorm reads from the store when each Run began and ended.
func (p *place) readStorm(ctx context.Context, first time.Time, f *stormFigures) error {
	spans, err := p.spans(ctx)
	if err != nil {
		return err
	}
	var last time.Time
	for i, s := range spans {
		due := first.Add(time.Second * time.Duration(i) / time.Duration(len(spans)))
		f.late = append(f.late, s.started.Sub(due).Seconds())
		if s.finished.After(last) {
			last = s.finished
		}
	}
	f.all = last.Sub(first)
	return nil
}

// span is when a Run's first step began and when the Run ended.
type span struct{ started, finished time.Time }

// spans are those of all Runs, by when their first step began: who is due in
// which order does not matter for how late they are in all.
func (p *place) spans(ctx context.Context) (out []span, err error) {
	db, err := open(p.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT min(s.started), r.finished FROM runs r JOIN steps s ON s.run = r.id
		WHERE r.state = 'succeeded' GROUP BY r.id, r.finished`)
	if err != nil {
		return nil, err
	}
	return scanSpans(rows)
}

func scanSpans(rows *sql.Rows) (out []span, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var started, finished int64
		if err := rows.Scan(&started, &finished); err != nil {
			return nil, err
		}
		out = append(out, span{time.UnixMicro(started), time.UnixMicro(finished)})
	}
	slices.SortFunc(out, func(a, b span) int { return a.started.Compare(b.started) })
	return out, rows.Err()
}
