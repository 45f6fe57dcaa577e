package client

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"lockstep"
	"lockstep/client/admin"
	"lockstep/client/internal/wire"
)

// Error is a request that the server refused: status, code, message and hint.
// It matches the domain's sentinels with errors.Is.
type Error = wire.Error

// Client is one caller of one server. It is safe for concurrent use; an
// application needs one.
type Client struct {
	at    *wire.Endpoint
	admin *admin.Client
	link  *link
	poll  time.Duration
	// buffer is how many events may wait for a Watcher.
	buffer int
	// life ends with Close.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	feeds  map[string]*feed
	status *admin.Status
}

// New makes a Client. It makes no request and opens no connection; both come
// with the first use. ctx does not end the Client: Close does.
// Errors: ErrInvalid (wrapped) if no endpoint is named or the Config cannot
// work.
func New(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	at, err := wire.Open(ctx, cfg.wire())
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	c := &Client{at: at, admin: admin.On(at), poll: cfg.PollInterval, feeds: make(map[string]*feed), buffer: liveBuffer}
	if c.poll == 0 {
		c.poll = DefaultPollInterval
	}
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	natsURL := cfg.NATSURL
	if natsURL == "" {
		natsURL = os.Getenv(wire.EnvNATSURL)
	}
	if c.link, err = newLink(c, natsURL, cfg.Name); err != nil {
		c.end()
		return nil, fmt.Errorf("open client: %w", err)
	}
	return c, nil
}

// Close ends all Secrets and Watchers of this Client and its connections, and
// waits for what is under way. Values stay readable, and stay as they are. It
// may be called again.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.link.close()
	c.work.Wait()
	c.at.CloseIdle()
}

// Admin is the typed client of the API under /v1, with this Client's endpoint
// and credentials.
func (c *Client) Admin() *admin.Client { return c.admin }

// serverStatus asks once and remembers.
func (c *Client) serverStatus(ctx context.Context) (admin.Status, error) {
	c.mu.Lock()
	known := c.status
	c.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	st, err := c.admin.Status(ctx)
	if err != nil {
		return admin.Status{}, err
	}
	c.mu.Lock()
	c.status = &st
	c.mu.Unlock()
	return st, nil
}

// spawn runs fn until the Client is closed. Errors: errClosed.
func (c *Client) spawn(fn func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.work.Go(fn)
	return nil
}

// errClosed says that the Client was closed.
var errClosed = fmt.Errorf("client is closed: %w", lockstep.ErrState)
