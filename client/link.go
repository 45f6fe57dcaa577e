package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"lockstep"
	"lockstep/auth/sigv4"
	"lockstep/client/internal/wire"
)

// How an application introduces itself to NATS; package bus has the other
// side. The id gives a connection an inbox that nobody else may listen to.
const (
	namePrefix  = "lockstep/"
	inboxPrefix = "_INBOX_"
	replayRoot  = "lockstep.replay."
)

const (
	dialTimeout  = 5 * time.Second
	tokenTimeout = 5 * time.Second
	// settleTimeout bounds the wait until the server knows a subscription.
	settleTimeout = 5 * time.Second
	// The first try to come back is quick, since a restart takes a second;
	// the later ones are spread, since thousands come back at once.
	firstReconnect = 100 * time.Millisecond
	lastReconnect  = 5 * time.Second
)

// link is the one NATS connection of a Client: opened when first needed, kept
// for ever, and never waited for.
type link struct {
	client *Client
	id     string
	name   string
	given  string

	mu        sync.Mutex
	started   bool
	closed    bool
	nc        *nats.Conn
	listeners map[*listener]struct{}
}

// listener hears that the connection is up (again), or that the server denied
// something. Signals are merged.
type listener struct {
	up     chan struct{}
	denied chan struct{}
}

func newLink(c *Client, natsURL, app string) (*link, error) {
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("draw client id: %w", err)
	}
	l := &link{client: c, id: hex.EncodeToString(raw), given: natsURL, listeners: make(map[*listener]struct{})}
	l.name = namePrefix + l.id
	if app != "" {
		l.name += " " + app
	}
	return l, nil
}

// listen registers for signals and opens the connection if nobody did. If it
// is up already, the signal comes at once. Errors: errClosed.
func (l *link) listen() (*listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	li := &listener{up: make(chan struct{}, 1), denied: make(chan struct{}, 1)}
	l.listeners[li] = struct{}{}
	if l.nc != nil && l.nc.IsConnected() {
		signal(li.up)
	}
	if l.started {
		return li, nil
	}
	l.started = true
	return li, l.client.spawn(l.open)
}

func (l *link) forget(li *listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.listeners, li)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // one is waiting already
	}
}

// up tells whether events can be heard now.
func (l *link) up() bool {
	nc := l.conn()
	return nc != nil && nc.IsConnected()
}

// conn is nil until the connection was opened; from then on it may be down.
func (l *link) conn() *nats.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nc
}

// open finds the address and connects. nats.go then keeps the connection.
func (l *link) open() {
	ctx := l.client.life
	for attempt := 1; ; attempt++ {
		nc, err := l.dial(ctx)
		if err == nil {
			l.adopt(nc)
			return
		}
		if ctx.Err() != nil {
			return
		}
		l.client.at.Log().Warn("events cannot be heard yet", "error", err)
		if wire.Pause(ctx, reconnectDelay(attempt)) != nil {
			return
		}
	}
}

// adopt keeps a connection, or closes it if the Client was closed meanwhile.
func (l *link) adopt(nc *nats.Conn) {
	l.mu.Lock()
	if !l.closed {
		l.nc = nc
	}
	closed := l.closed
	l.mu.Unlock()
	if closed {
		nc.Close()
		return
	}
	// The handler may have run before the connection was adopted.
	if nc.IsConnected() {
		l.tellUp()
	}
}

func (l *link) dial(ctx context.Context) (*nats.Conn, error) {
	address := l.given
	if address == "" {
		st, err := l.client.serverStatus(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask for the address of NATS: %w", err)
		}
		if address = st.NATSURL; address == "" {
			return nil, fmt.Errorf("the server offers no events: %w", lockstep.ErrState)
		}
	}
	nc, err := nats.Connect(address, l.options()...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}

func (l *link) options() []nats.Option {
	log := l.client.at.Log()
	return []nats.Option{
		nats.Name(l.name), nats.CustomInboxPrefix(inboxPrefix + l.id),
		nats.Secure(l.client.at.TLS()), nats.TokenHandler(l.token),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.CustomReconnectDelay(reconnectDelay),
		nats.IgnoreAuthErrorAbort(), nats.ReconnectBufSize(-1),
		nats.Timeout(dialTimeout), nats.PingInterval(20 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { l.tellUp() }),
		nats.ReconnectHandler(func(*nats.Conn) { l.tellUp() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("events are not heard; reconnecting", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.trouble(err) }),
	}
}

// reconnectDelay is exponential, with jitter; attempt counts from 1.
func reconnectDelay(attempt int) time.Duration {
	return min(lastReconnect, firstReconnect/2<<min(attempt, 10)) + wire.Backoff(1)
}

func (l *link) tellUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for li := range l.listeners {
		signal(li.up)
	}
}

func (l *link) trouble(err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		return // each Watcher finds that out and catches up
	}
	l.client.at.Log().Warn("NATS reports an error", "error", err)
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for li := range l.listeners {
		signal(li.denied)
	}
}

// token makes a fresh login token for each connection. Without credentials it
// is empty, the server refuses it, and the connection is tried again.
func (l *link) token() string {
	ctx, cancel := context.WithTimeout(l.client.life, tokenTimeout)
	defer cancel()
	at := l.client.at
	creds, err := at.Credentials(ctx)
	if err != nil {
		at.Log().Warn("no login token for NATS", "error", err)
		return ""
	}
	token, err := sigv4.NewLoginToken(sigv4.LoginParams{
		AccessKeyID: creds.AccessKeyID, SecretKey: lockstep.StringValue(creds.SecretAccessKey), SessionToken: creds.SessionToken,
		Region: at.Region(), Audience: lockstep.LoginAudience, Now: at.Now(),
	})
	if err != nil {
		at.Log().Warn("no login token for NATS", "error", err)
		return ""
	}
	return token
}

// settle waits until the server knows all subscriptions made before.
// Errors: nats.go's, if the connection went away or does not answer.
func (l *link) settle(ctx context.Context) error {
	nc := l.conn()
	if nc == nil {
		return nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

func (l *link) close() {
	l.mu.Lock()
	nc := l.nc
	l.closed = true
	l.mu.Unlock()
	if nc != nil {
		nc.Close()
	}
}
