package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"
	"golang.org/x/term"

	"lockstep"
	"lockstep/client"
	"lockstep/client/admin"
)

// rotationWatch hears of rotations and shows them.
type rotationWatch struct {
	demo    *demo
	watcher *client.Watcher
	secrets *secretsmanager.Client

	mu       sync.Mutex
	received map[lockstep.VersionID]time.Time

	took       []time.Duration
	moved      []time.Duration
	refused    int
	stillValid int
}

func (d *demo) watchRotations(ctx context.Context) (*rotationWatch, error) {
	watcher, err := d.client.Watch(ctx, client.WatchConfig{Pattern: demoSecret, Since: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("watch events: %w", err)
	}
	secrets, err := d.env.secrets(ctx)
	if err != nil {
		return nil, err
	}
	w := &rotationWatch{demo: d, watcher: watcher, secrets: secrets, received: make(map[lockstep.VersionID]time.Time)}
	d.app.secret.OnChange(func(v *client.Version) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.received[v.ID] = v.Received
	})
	return w, nil
}

// run shows what happens until ctx ends.
func (w *rotationWatch) run(ctx context.Context) {
	status, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { w.showTotals(status) })
	defer wg.Wait()
	defer stop()
	for {
		e, err := w.watcher.Next(ctx)
		if err != nil {
			return
		}
		switch e.Type {
		case lockstep.EventRunSucceeded:
			w.rotated(ctx, e)
		case lockstep.EventVersionRetired:
			w.retired(ctx, e)
		case lockstep.EventRunFailed, lockstep.EventRunRetrying, lockstep.EventRunWaiting, lockstep.EventRetireFailed:
			w.demo.out.line("%s  %s: %s", e.Time.Local().Format("15:04:05"), e.Type, e.Data.Reason)
		}
	}
}

// showTotals keeps the last line of a terminal up to date.
func (w *rotationWatch) showTotals(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.demo.out.status("")
			return
		case <-tick.C:
			queries, failures := w.demo.app.totals()
			w.demo.out.status("queries %d  failures %d", queries, failures)
		}
	}
}

// rotated shows one rotation with its steps.
func (w *rotationWatch) rotated(ctx context.Context, e lockstep.Event) {
	run, err := w.demo.client.Admin().Run(ctx, e.Data.Run)
	if err != nil {
		return
	}
	took := run.Finished.Sub(run.Created)
	w.took = append(w.took, took)
	delay := "has not moved yet"
	if at, ok := w.receivedAt(ctx, e.Data.VersionID); ok {
		d := at.Sub(e.Time)
		w.moved = append(w.moved, d)
		delay = "has it after " + millis(d)
	}
	queries, failures := w.demo.app.totals()
	w.demo.out.line("%s  rotation %-3d version %s  %s  total %s; the application %s; queries %d, failures %d",
		e.Time.Local().Format("15:04:05"), len(w.took), short(string(e.Data.VersionID)), stepTimes(run), millis(took), delay, queries, failures)
}

// receivedAt is when the application got a version; it waits a moment for it.
func (w *rotationWatch) receivedAt(ctx context.Context, id lockstep.VersionID) (time.Time, bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		w.mu.Lock()
		at, ok := w.received[id]
		delete(w.received, id)
		w.mu.Unlock()
		if ok {
			return at, true
		}
		select {
		case <-ctx.Done():
			return at, false
		case <-tick.C:
		}
	}
}

// stepTimes lists the steps of a run with how long each took. Finish is one
// transaction, begun and ended in the same write.
func stepTimes(run admin.Run) string {
	var parts []string
	for _, s := range run.Steps {
		took := millis(s.Ended.Sub(s.Started))
		if s.Ended.Equal(s.Started) {
			took = "<0.1ms"
		}
		parts = append(parts, fmt.Sprintf("%s %s", s.Step, took))
	}
	return strings.Join(parts, "  ")
}

// retired tries to log in with a credential that was removed: PostgreSQL must
// refuse it.
func (w *rotationWatch) retired(ctx context.Context, e lockstep.Event) {
	out, err := w.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: aws.String(demoSecret), VersionId: aws.String(string(e.Data.VersionID)),
	})
	if err != nil {
		return
	}
	var v credentialValue
	if err := json.Unmarshal([]byte(aws.ToString(out.SecretString)), &v); err != nil {
		return
	}
	conn, err := pgx.Connect(ctx, w.demo.database.DSN(v.Username, v.Password, v.DBName))
	if err == nil {
		_ = conn.Close(ctx)
		w.stillValid++
		w.demo.out.line("%s  the retired credential of %s STILL LOGS IN", e.Time.Local().Format("15:04:05"), v.Username)
		return
	}
	w.refused++
	w.demo.out.line("%s  old version %s of %s retired: PostgreSQL refuses its login",
		e.Time.Local().Format("15:04:05"), short(string(e.Data.VersionID)), v.Username)
}

// screen prints lines, and on a terminal keeps a status line below them.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	shown    bool
}

func newScreen(out io.Writer) *screen {
	f, ok := out.(*os.File)
	return &screen{out: out, terminal: ok && term.IsTerminal(int(f.Fd()))} // #nosec G115 -- a file descriptor fits
}

const clearLine = "\r\x1b[K"

// line prints one line above the status.
func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		_, _ = io.WriteString(s.out, clearLine)
		s.shown = false
	}
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

// status replaces the status line; without a terminal it prints nothing.
func (s *screen) status(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		return
	}
	s.shown = format != ""
	_, _ = fmt.Fprintf(s.out, clearLine+format, args...)
}
