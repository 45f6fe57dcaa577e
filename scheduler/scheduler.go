// Package scheduler is the loop that turns due times into admitted Runs. It
// sleeps until the earliest due time that the store knows, or until something
// wakes it (a schedule was changed here or on another node), and then asks the
// engine to admit what is due, in batches. It never scans all Secrets, and any
// number of schedulers may run at once: the store hands each due Secret to one
// of them.
//
// Maintenance that is due by the calendar (purging what was deleted, pruning)
// runs through robfig/cron.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Engine admits Runs; runs.Service is one.
type Engine interface {
	// AdmitDue starts a Run for up to limit due Secrets and returns how many
	// it dealt with.
	AdmitDue(ctx context.Context, limit int) (int, error)
	// NextDue is the earliest due time (zero: none) and the clock that it is
	// measured by.
	NextDue(ctx context.Context) (next, now time.Time, err error)
}

// Task is maintenance to be done by the calendar.
type Task struct {
	Name string
	// Spec is five-field cron or a descriptor, for example "@every 1m".
	Spec string
	Do   func(ctx context.Context) error
}

// Config is what a Scheduler needs.
type Config struct {
	Engine Engine
	// Wake delivers a token when a due time may have become earlier.
	Wake <-chan struct{}
	// Batch is how many Secrets one transaction admits; zero means 200.
	Batch int
	// Poll bounds the sleep, as a safety net for a lost wake-up and a clock
	// that was stepped; zero means 30 seconds.
	Poll   time.Duration
	Tasks  []Task
	Logger *slog.Logger
}

// Scheduler admits due Runs. Start it once; Stop waits.
type Scheduler struct {
	cfg    Config
	cron   *cron.Cron
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a Scheduler. Errors: a Task's Spec cannot be read.
func New(cfg Config) (*Scheduler, error) {
	if cfg.Batch <= 0 {
		cfg.Batch = 200
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	// A Task that is still at work is not started again beside itself.
	s := &Scheduler{cfg: cfg, cron: cron.New(cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))}
	for _, task := range cfg.Tasks {
		if _, err := cron.ParseStandard(task.Spec); err != nil {
			return nil, fmt.Errorf("task %s: read %q: %w", task.Name, task.Spec, err)
		}
	}
	return s, nil
}

// Start begins to admit, until Stop or until ctx ends.
func (s *Scheduler) Start(ctx context.Context) error {
	ctx, s.cancel = context.WithCancel(ctx)
	for _, task := range s.cfg.Tasks {
		_, err := s.cron.AddFunc(task.Spec, func() {
			if err := task.Do(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.WarnContext(ctx, "maintenance failed, it is tried again", "task", task.Name, "error", err)
			}
		})
		if err != nil {
			return fmt.Errorf("task %s: %w", task.Name, err)
		}
	}
	s.cron.Start()
	s.wg.Go(func() { s.loop(ctx) })
	return nil
}

// Stop ends the loop and waits for it and for running maintenance. It may be
// called more than once.
func (s *Scheduler) Stop() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	<-s.cron.Stop().Done()
	s.wg.Wait()
}

func (s *Scheduler) loop(ctx context.Context) {
	for ctx.Err() == nil {
		wait := s.admit(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.cfg.Wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// admit admits what is due and returns how long to sleep.
func (s *Scheduler) admit(ctx context.Context) time.Duration {
	for {
		n, err := s.cfg.Engine.AdmitDue(ctx, s.cfg.Batch)
		if err != nil {
			return s.troubled(ctx, "admit due runs", err)
		}
		if n < s.cfg.Batch {
			break
		}
	}
	next, now, err := s.cfg.Engine.NextDue(ctx)
	if err != nil {
		return s.troubled(ctx, "look for the next due time", err)
	}
	if next.IsZero() {
		return s.cfg.Poll
	}
	// The floor keeps two schedulers from spinning over a row that one has locked.
	return min(max(next.Sub(now), 2*time.Millisecond), s.cfg.Poll)
}

// troubled logs and backs off: the store is away for now.
func (s *Scheduler) troubled(ctx context.Context, doing string, err error) time.Duration {
	if ctx.Err() == nil {
		s.cfg.Logger.ErrorContext(ctx, "scheduler can't reach the store, it tries again", "doing", doing, "error", err)
	}
	return time.Second
}
