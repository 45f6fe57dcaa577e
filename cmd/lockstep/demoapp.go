package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"lockstep/client"
	"lockstep/client/pgxsecret"
)

// The application's load.
const (
	appWorkers = 8
	appRate    = 200
	// queryTimeout is far above what a query takes; one that is over it failed.
	queryTimeout = 10 * time.Second
)

// application is a program as users write it: a pool, and queries at a steady
// rate. It knows nothing of rotations but the pool's hook.
type application struct {
	secret *client.Secret
	pool   *pgxpool.Pool
	cancel context.CancelFunc
	wg     sync.WaitGroup

	queries  atomic.Int64
	failures atomic.Int64
	last     atomic.Pointer[string]
}

func startApplication(ctx context.Context, secret *client.Secret) (*application, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	pool, _, err := pgxsecret.NewPool(ctx, secret, pgxsecret.Options{
		Customize: func(c *pgxpool.Config) { c.MaxConns = appWorkers },
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start application: %w", err)
	}
	a := &application{secret: secret, pool: pool, cancel: cancel}
	for range appWorkers {
		a.wg.Go(func() { a.work(ctx) })
	}
	return a, nil
}

// work queries at this worker's share of the rate until the application stops.
func (a *application) work(ctx context.Context) {
	tick := time.NewTicker(time.Second * appWorkers / appRate)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.query(context.WithoutCancel(ctx))
		}
	}
}

func (a *application) query(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := a.pool.Exec(ctx, "INSERT INTO orders DEFAULT VALUES")
	a.queries.Add(1)
	if err != nil {
		a.failures.Add(1)
		text := err.Error()
		a.last.Store(&text)
	}
}

// stop ends the load and closes the pool. It may be called more than once.
func (a *application) stop() {
	a.cancel()
	a.wg.Wait()
	a.pool.Close()
	a.secret.Close()
}

func (a *application) totals() (queries, failures int64) { return a.queries.Load(), a.failures.Load() }

func (a *application) lastFailure() string {
	if s := a.last.Load(); s != nil {
		return *s
	}
	return ""
}

// percentile is the p-th percentile of durations by the nearest rank; zero of
// none.
func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1fms", float64(d.Microseconds())/1000)
}
