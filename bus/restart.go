package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// restartEvery is how often the server is restarted while its streams take
	// nothing.
	restartEvery = time.Second
	// roomNeeded is what the disk must take before that is tried: less, and
	// the next message would end it again.
	roomNeeded = 1 << 20
)

// errRestarted is why a publish does not wait for an answer any more.
var errRestarted = errors.New("the NATS server was restarted meanwhile")

// writeError is why a stream of the embedded server takes nothing any more; nil
// if all do.
func (e *embedded) writeError() error {
	health := e.server().Healthz(&server.HealthzOptions{Account: engineAccount, Details: true})
	var errs []error
	for _, h := range health.Errors {
		if h.Type == server.HealthzErrorStream {
			errs = append(errs, errors.New(h.Error))
		}
	}
	return errors.Join(errs...)
}

// keepWritable restarts the embedded server when a write to the disk has failed.
// It keeps such an error for as long as a stream is open, so one moment without
// room on the disk would stop every Job until somebody restarts the process. To
// close one stream and open it again is no way: the server leaks what was
// reserved for it. It is looked at when the server has reported any error.
func (b *Bus) keepWritable(trouble <-chan struct{}) {
	for {
		select {
		case <-b.life.Done():
			return
		case <-trouble:
		}
		if cause := b.server.writeError(); cause != nil {
			b.restart(cause)
		}
	}
}

// restart tries until it succeeds or the Bus is closed. What was acknowledged is
// on the disk; what was not is published again by whoever waits for it, and the
// relay compares the rest with the store.
func (b *Bus) restart(cause error) {
	for {
		err := hasRoom(b.cfg.Dir)
		if err == nil {
			err = b.server.restart(b.life)
		}
		if err == nil {
			break
		}
		b.log.Error("streams take nothing", "cause", cause, "error", err)
		if !pause(b.life, restartEvery) {
			return
		}
	}
	b.log.Warn("embedded NATS server was restarted after a failed write", "cause", cause)
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.restarted)
	b.restarted = make(chan struct{})
}

// hasRoom tells whether the disk takes anything.
func hasRoom(dir string) error {
	f, err := os.CreateTemp(dir, "room-")
	if err != nil {
		return fmt.Errorf("look for room on the disk: %w", err)
	}
	_, err = f.Write(make([]byte, roomNeeded))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("look for room on the disk: %w", err)
	}
	return nil
}

// pause returns false if ctx ends before d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
