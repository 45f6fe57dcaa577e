package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"lockstep"
	"lockstep/client"
	"lockstep/client/pgxsecret"
)

// application uses the database as its secret says, all the time, through the
// pool that applications get.
type application struct {
	name    string
	pool    *pgxpool.Pool
	secret  *client.Secret
	stop    context.CancelFunc
	wg      sync.WaitGroup
	queries atomic.Int64
	failed  atomic.Int64
	last    atomic.Pointer[string]
	// broken counts queries that fail since the database itself is away.
	down *atomic.Bool
}

// queryEvery is each application's pace, over two connections.
const queryEvery = 10 * time.Millisecond

func startApplication(t *testing.T, c *client.Client, name string, down *atomic.Bool) *application {
	t.Helper()
	secret, err := c.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	pool, _, err := pgxsecret.NewPool(ctx, secret, pgxsecret.Options{Customize: func(c *pgxpool.Config) { c.MaxConns = 2 }})
	if err != nil {
		t.Fatal(err)
	}
	a := &application{name: name, pool: pool, secret: secret, stop: cancel, down: down}
	for range 2 {
		a.wg.Go(func() { a.work(ctx) })
	}
	t.Cleanup(a.end)
	return a
}

func (a *application) end() {
	a.stop()
	a.wg.Wait()
	a.pool.Close()
	a.secret.Close()
}

func (a *application) work(ctx context.Context) {
	tick := time.NewTicker(queryEvery)
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

// query runs one. While the database is being restarted nobody could do better
// than fail, so that does not count.
func (a *application) query(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := a.down.Load()
	_, err := a.pool.Exec(ctx, "SELECT 1")
	if before || a.down.Load() {
		return
	}
	a.queries.Add(1)
	if err != nil {
		a.failed.Add(1)
		text := time.Now().UTC().Format("15:04:05.000 ") + err.Error()
		a.last.Store(&text)
	}
}

// verdict fails the test if a query failed.
func (a *application) verdict(t *testing.T) {
	t.Helper()
	if n := a.failed.Load(); n > 0 {
		t.Errorf("%d of %d queries of %s failed, the last by: %s", n, a.queries.Load(), a.name, *a.last.Load())
	}
	if a.queries.Load() == 0 {
		t.Errorf("%s made no query", a.name)
	}
}

// listener watches every event and holds them against what a subscriber is
// promised: per secret in order, none missing.
type listener struct {
	watcher *client.Watcher
	done    chan struct{}

	mu       sync.Mutex
	seen     map[lockstep.ARN]uint64
	currents map[lockstep.ARN][]lockstep.VersionID
	faults   []string
	changed  chan struct{}
}

func listen(t *testing.T, c *client.Client) *listener {
	t.Helper()
	w, err := c.Watch(t.Context(), client.WatchConfig{Since: time.Now().Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{
		watcher: w, done: make(chan struct{}), changed: make(chan struct{}, 1),
		seen: make(map[lockstep.ARN]uint64), currents: make(map[lockstep.ARN][]lockstep.VersionID),
	}
	go l.read()
	t.Cleanup(func() { w.Close(); <-l.done })
	return l
}

func (l *listener) read() {
	defer close(l.done)
	for {
		e, err := l.watcher.Next(context.Background())
		var gap *client.GapError
		if err != nil && !errors.As(err, &gap) {
			return
		}
		l.mu.Lock()
		if gap != nil {
			l.faults = append(l.faults, gap.Error())
		} else {
			l.note(e)
		}
		l.mu.Unlock()
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

func (l *listener) note(e lockstep.Event) {
	if before, known := l.seen[e.ARN]; known && e.Seq != before+1 {
		l.faults = append(l.faults, fmt.Sprintf("%s: event %d follows %d", e.Name, e.Seq, before))
	}
	l.seen[e.ARN] = e.Seq
	if e.Type == lockstep.EventVersionCurrent {
		l.currents[e.ARN] = append(l.currents[e.ARN], e.Data.VersionID)
	}
}

// rotations is how often AWSCURRENT moved.
func (l *listener) rotations(arn lockstep.ARN) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.currents[arn])
}

// await waits until ok holds, looking again at each event.
func (l *listener) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, patience)
		case <-l.changed:
		case <-tick.C:
		}
	}
}
