package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const (
	// lateEvery is the interval of the one secret; a rotation takes a small part
	// of it, so that the server is idle when it is due again.
	lateEvery = 300 * time.Millisecond
	// lateWindows is how many windows it is watched for.
	lateWindows = 15
)

// measureLateness measures how long after its time the first step of the only
// secret begins.
func measureLateness(ctx context.Context, b *bench, out io.Writer) error {
	fmt.Fprintf(out, "\nOne secret that is due every %v on an idle server: how late its first step begins (ms)\n", lateEvery)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "store\tfires\tp50\tp99\thighest\tload\t")
	for _, kind := range stores {
		late, err := b.lateness(ctx, kind)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t%s\t\n", kind, len(late), quantile(late, 0.5), quantile(late, 0.99), quantile(late, 1), loadAverage())
	}
	return t.Flush()
}

func (b *bench) lateness(ctx context.Context, kind string) (late []float64, err error) {
	p, err := b.at(ctx, kind, "lateness")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.remove(context.WithoutCancel(ctx))) }()
	server, err := p.start(ctx, stormWorkers)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	api, err := p.api(server)
	if err != nil {
		return nil, err
	}
	if _, err := api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("late"), SecretString: aws.String("first-value")}); err != nil {
		return nil, err
	}
	_, err = api.RotateSecret(ctx, &secretsmanager.RotateSecretInput{
		SecretId: aws.String("late"), RotationLambdaARN: aws.String("generic"), RotateImmediately: aws.Bool(false),
		RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("@every " + lateEvery.String())},
	})
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, lateWindows*b.window); err != nil {
		return nil, err
	}
	return p.lateSpans(ctx)
}

// lateSpans are the milliseconds by which each Run was late. All its times are on
// the grid of the next one.
func (p *place) lateSpans(ctx context.Context) (late []float64, err error) {
	spans, err := p.spans(ctx)
	if err != nil {
		return nil, err
	}
	db, err := open(p.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var next int64
	if err := db.QueryRowContext(ctx, `SELECT next_rotation FROM secrets WHERE name = 'late'`).Scan(&next); err != nil {
		return nil, err
	}
	grid := time.UnixMicro(next)
	for _, s := range spans[min(len(spans), 3):] { // the first warm the caches
		off := s.started.Sub(grid) % lateEvery
		late = append(late, milliseconds((off+lateEvery)%lateEvery))
	}
	return late, nil
}
