package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"lockstep"
)

// Sink is a further place that entries go to: the log's files are the record,
// and a Sink gets a copy.
type Sink interface {
	// Deliver takes entries, in order. It returns nil once it has them all;
	// after an error they come again.
	Deliver(ctx context.Context, lines []Line) error
	// Name tells sinks apart; it names the file that remembers how far this one
	// is.
	Name() string
}

const (
	// maxDeliver bounds the entries of one delivery.
	maxDeliver = 256
	// firstPause and lastPause bound the wait after a failed delivery.
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Forwarder copies a Log to Sinks, each at its own pace, at least once. How far
// each is stands in a file beside the log, so that a sink that was away, or a
// restart, loses nothing that is not pruned meanwhile.
type Forwarder struct {
	log    *Log
	slog   *slog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Forward begins to copy. ctx bounds its life as Stop does. A sink that is new
// begins with what is written from now on.
func Forward(ctx context.Context, l *Log, sinks ...Sink) *Forwarder {
	ctx, cancel := context.WithCancel(ctx)
	f := &Forwarder{log: l, slog: l.cfg.Logger, cancel: cancel}
	for _, s := range sinks {
		f.wg.Go(func() { f.run(ctx, s) })
	}
	return f
}

// Stop ends the copying. It may be called again.
func (f *Forwarder) Stop() {
	f.cancel()
	f.wg.Wait()
}

func (f *Forwarder) dir() string { return filepath.Join(f.log.cfg.Dir, f.log.cfg.Node) }

func (f *Forwarder) position(s Sink) string {
	return filepath.Join(f.dir(), "sink-"+NodeName(s.Name())+".position")
}

// run copies to one sink.
func (f *Forwarder) run(ctx context.Context, s Sink) {
	last, err := f.load(s)
	if err != nil {
		f.slog.Error("audit sink begins anew: its position cannot be read", "sink", s.Name(), "error", err)
	}
	in := Follow(f.dir(), last, f.log.Durable)
	defer func() { _ = in.Close() }()
	wait := firstPause
	var lines []Line
	for ctx.Err() == nil {
		if len(lines) == 0 {
			lines, err = f.gather(ctx, in)
		}
		if err == nil {
			err = s.Deliver(ctx, lines)
		}
		if err == nil {
			err = f.save(s, lines[len(lines)-1].Seq)
			lines, wait = nil, firstPause
		}
		if err != nil && ctx.Err() == nil {
			f.slog.Warn("audit sink does not take entries; they come again", "sink", s.Name(), "error", err)
			pause(ctx, wait)
			wait, err = min(2*wait, lastPause), nil
		}
	}
}

// gather takes what is there, at least one entry.
func (f *Forwarder) gather(ctx context.Context, in *Follower) ([]Line, error) {
	first, err := in.Next(ctx)
	if err != nil {
		return nil, err
	}
	lines := []Line{first}
	for len(lines) < maxDeliver && in.mayRead() == nil {
		line, ok, err := in.read()
		if !ok || err != nil {
			break // it shows again
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func (f *Forwarder) load(s Sink) (uint64, error) {
	end, _ := f.log.Durable()
	text, err := os.ReadFile(f.position(s))
	if errors.Is(err, fs.ErrNotExist) {
		return end, f.save(s, end)
	}
	if err != nil {
		return end, err
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || last > end {
		return end, fmt.Errorf("position %q: %w", cut(string(text), 40), lockstep.ErrInvalid)
	}
	return last, nil
}

// save remembers how far a sink is. It need not be durable: after a crash some
// entries come again.
func (f *Forwarder) save(s Sink, last uint64) error {
	path := f.position(s)
	if err := os.WriteFile(path+".new", []byte(strconv.FormatUint(last, 10)+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
