package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lockstep"
)

const (
	// apiTimeout bounds a JetStream API call whose context has no deadline.
	apiTimeout = 5 * time.Second
	// publishTimeout bounds the wait for a stream's acknowledgement.
	publishTimeout = 10 * time.Second
	// maxPending bounds the messages that are published and not acknowledged.
	maxPending = 4096
)

// Bus is a connection to NATS with Lockstep's streams in place. Its methods
// may be called concurrently.
type Bus struct {
	cfg    Config
	log    *slog.Logger
	server *embedded // nil with External
	nc     *nats.Conn
	js     jetstream.JetStream
	// life ends with Close.
	life context.Context
	end  context.CancelFunc
	// callout and replays answer requests; either may be nil.
	callout *calloutService
	replays *replayService

	mu      sync.Mutex
	streams map[string]jetstream.Stream
	// restarted is closed when the embedded server was restarted: what was
	// published before and has no answer gets none.
	restarted chan struct{}

	// watching is the goroutine that restarts it.
	watching sync.WaitGroup
	closing  sync.Once
	closed   error
}

// Start brings the embedded server up or connects to the external one, makes
// or updates the streams, and begins to authorize applications. With External
// the first connection must succeed; later ones are tried for ever.
//
// Errors: ErrInvalid for a Config that cannot work, ErrBusy if another process
// uses the directory.
func Start(ctx context.Context, c Config) (*Bus, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start bus: %w", err)
	}
	b := &Bus{cfg: c, log: c.Logger, streams: make(map[string]jetstream.Stream), restarted: make(chan struct{})}
	b.life, b.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start bus: %w", err), b.Close())
	}
	return b, nil
}

func (b *Bus) start(ctx context.Context) error {
	var err error
	if b.cfg.External == nil {
		if b.server, err = startEmbedded(ctx, b.cfg); err != nil {
			return err
		}
		b.nc, err = b.server.dial(engineUser, b.connOptions("lockstep engine")...)
	} else {
		b.nc, err = b.cfg.External.dial(b.connOptions("lockstep engine"))
	}
	if err != nil {
		return err
	}
	// First of all: who comes back with the server's listener waits for this,
	// and is refused if it takes too long.
	if err := b.startCallout(); err != nil {
		return err
	}
	b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(maxPending),
		jetstream.WithPublishAsyncTimeout(publishTimeout), jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	if err := b.ensureStreams(ctx); err != nil {
		return err
	}
	if b.server != nil {
		if err := b.forgetDeliveries(ctx); err != nil {
			return err
		}
		b.watching.Go(func() { b.keepWritable(b.server.log.trouble) })
	}
	b.replays, err = startReplays(b)
	return err
}

// connOptions are for a connection that outlives any outage of the server.
// Nothing is buffered while it is away: a publish fails at once, and its row
// stays in the outbox.
func (b *Bus) connOptions(name string) []nats.Option {
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(20 * time.Second),
		nats.Timeout(5 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("NATS connection lost", "connection", name, "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.log.Info("NATS connection is back", "connection", name) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			b.log.Warn("NATS connection error", "connection", name, "error", err)
		}),
	}
}

// startCallout begins to answer authorization requests, if there is anybody
// to authorize. Without it every application is refused.
func (b *Bus) startCallout() error {
	if b.cfg.Authorizer == nil {
		return nil
	}
	opts := b.connOptions("lockstep callout")
	switch {
	case b.server != nil:
		nc, err := b.server.dial(calloutUser, opts...)
		if err != nil {
			return err
		}
		b.callout, err = answerCallouts(b, nc, b.server.keys, engineAccount)
		return err
	case b.cfg.External.Callout != nil:
		co := b.cfg.External.Callout
		keys, err := readCalloutKeys(co.IssuerSeed, co.XKeySeed)
		if err != nil {
			return err
		}
		nc, err := b.cfg.External.dialAs(co.User, co.Password, opts)
		if err != nil {
			return err
		}
		b.callout, err = answerCallouts(b, nc, keys, co.Account)
		return err
	}
	return nil
}

// ClientURL is where applications connect: "tls://host:port" of the embedded
// listener, or the external URL; empty if there is no listener.
func (b *Bus) ClientURL() string {
	switch {
	case b.server == nil:
		return b.cfg.External.URL
	case b.cfg.Listen == "" || b.server.clientAddress() == nil:
		return ""
	default:
		return "tls://" + b.server.clientAddress().String()
	}
}

// Health returns nil if the connection is up, each stream answers, and those of
// the embedded server can be written to.
// Errors: ErrBusy (wrapped) with what is wrong.
func (b *Bus) Health(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return fmt.Errorf("NATS connection is %s: %w", b.nc.Status(), lockstep.ErrBusy)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for _, name := range streamNames() {
		if _, err := b.js.Stream(ctx, name); err != nil {
			return fmt.Errorf("stream %s does not answer: %w: %w", name, err, lockstep.ErrBusy)
		}
	}
	if b.server == nil {
		return nil
	}
	if err := b.server.writeError(); err != nil {
		return fmt.Errorf("streams take nothing: %w: %w", err, lockstep.ErrBusy)
	}
	return nil
}

// Disconnect closes the connections of one user of the embedded server, so
// that a change of what it may see takes effect: permissions are fixed when a
// connection begins, and the client connects again by itself. It returns how
// many there were. With External it does nothing; grants then end with their
// Expires.
func (b *Bus) Disconnect(user string) (int, error) {
	if b.server == nil || user == "" {
		return 0, nil
	}
	return b.server.disconnect(user)
}

// Close stops answering, waits for what is under way, closes the connections
// and shuts the embedded server down. It may be called again.
func (b *Bus) Close() error {
	b.closing.Do(func() { b.closed = b.shutDown() })
	return b.closed
}

func (b *Bus) shutDown() error {
	b.end()
	b.watching.Wait()
	if b.callout != nil {
		b.callout.stop()
	}
	if b.replays != nil {
		b.replays.stop()
	}
	if b.nc != nil {
		b.nc.Close()
	}
	if b.server == nil {
		return nil
	}
	if err := b.server.stop(); err != nil {
		return fmt.Errorf("stop embedded NATS server: %w", err)
	}
	return nil
}
