package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"lockstep"
	"lockstep/client/internal/wire"
)

// rarely is how much more rarely a Secret is polled while events are heard.
const rarely = 10

// feed keeps one Secret current for all who opened it.
type feed struct {
	client  *Client
	asked   string
	name    string
	current atomic.Pointer[Version]
	// ready is closed when the first read is over; failed then says how.
	ready  chan struct{}
	failed error
	// end stops the goroutine.
	end context.CancelFunc
	// refs is guarded by the Client's mu.
	refs int

	// reading serialises reads; begun is when the last good one began.
	reading sync.Mutex
	begun   time.Time

	mu        sync.Mutex
	listeners []*changeListener
}

type changeListener struct{ fn func(*Version) }

// feed finds or makes the feed of a name, and counts the caller in.
func (c *Client) feed(ctx context.Context, name string) (*feed, error) {
	for {
		c.mu.Lock()
		f, shared := c.feeds[name]
		if !shared {
			f = &feed{client: c, asked: name, ready: make(chan struct{}), end: func() {}}
			c.feeds[name] = f
		}
		f.refs++
		c.mu.Unlock()
		if !shared {
			f.failed = f.begin(ctx)
			if f.failed != nil {
				c.drop(f)
			}
			close(f.ready)
			return f, f.failed
		}
		select {
		case <-f.ready:
		case <-ctx.Done():
			c.releaseFeed(f)
			return nil, ctx.Err()
		}
		if f.failed == nil {
			return f, nil
		}
		// The other's failure may be its own impatience.
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// drop forgets a feed that failed.
func (c *Client) drop(f *feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.feeds[f.asked] == f {
		delete(c.feeds, f.asked)
	}
}

// release counts one Secret out, once.
func (c *Client) release(s *Secret) { s.once.Do(func() { c.releaseFeed(s.feed) }) }

func (c *Client) releaseFeed(f *feed) {
	c.mu.Lock()
	f.refs--
	last := f.refs == 0 && c.feeds[f.asked] == f
	if last {
		delete(c.feeds, f.asked)
	}
	c.mu.Unlock()
	if last {
		f.end()
	}
}

// begin makes the first read and starts the updates.
func (f *feed) begin(ctx context.Context) error {
	if err := f.refresh(ctx); err != nil {
		return err
	}
	life, end := context.WithCancel(f.client.life)
	f.end = end
	if err := f.client.spawn(func() { f.run(life) }); err != nil {
		end()
		return err
	}
	return nil
}

// run keeps the value current until life ends. Whatever goes wrong, the value
// in memory stays.
func (f *feed) run(life context.Context) {
	li, err := f.client.link.listen()
	if err != nil {
		return
	}
	defer f.client.link.forget(li)
	events := make(chan *nats.Msg, 64)
	var sub *nats.Subscription
	defer func() { unsubscribe(sub) }()
	for failures := 0; ; {
		timer := time.NewTimer(f.nextLook(failures, sub != nil))
		stale := true
		select {
		case <-life.Done():
			timer.Stop()
			return
		case <-li.up:
			sub = f.subscribe(life, sub, events)
		case m := <-events:
			stale = f.concerns(m)
		case <-timer.C:
		}
		timer.Stop()
		if !stale && failures == 0 {
			continue
		}
		failures++
		if f.refreshed(life, failures) {
			failures = 0
		}
	}
}

// refreshed reads the Secret and tells whether that worked.
func (f *feed) refreshed(life context.Context, failures int) bool {
	err := f.refresh(life)
	if err != nil && life.Err() == nil && failures == 1 {
		f.client.at.Log().Warn("secret not refreshed; the value in memory is used", "secret", f.asked, "error", err)
	}
	return err == nil
}

// nextLook is when to read without an event: soon after a failure, else
// slowly, and with jitter, since a fleet starts at once.
func (f *feed) nextLook(failures int, subscribed bool) time.Duration {
	wait := f.client.poll
	switch {
	case failures > 0:
		wait = min(wait, 250*time.Millisecond<<min(failures, 10))
	case subscribed && f.client.link.up():
		wait *= rarely
	}
	return wait*9/10 + rand.N(wait/5+1) // #nosec G404 -- jitter is no secret
}

// subscribe listens for new current Versions. It returns once the server knows
// the subscription, so that a read made after it misses nothing.
func (f *feed) subscribe(ctx context.Context, sub *nats.Subscription, events chan *nats.Msg) *nats.Subscription {
	log := f.client.at.Log()
	if sub == nil {
		arn, _ := lockstep.ParseSecretARN(string(f.current.Load().ARN))
		subject := lockstep.EventSubject(&lockstep.Event{
			Account: arn.Account, Region: arn.Region, Type: lockstep.EventVersionCurrent, Name: f.name,
		})
		var err error
		if sub, err = f.client.link.conn().ChanSubscribe(subject, events); err != nil {
			log.Warn("events of secret not heard", "secret", f.name, "error", err)
			return nil
		}
	}
	if err := f.client.link.settle(ctx); err != nil && ctx.Err() == nil {
		log.Warn("events of secret not heard yet", "secret", f.name, "error", err)
	}
	return sub
}

func unsubscribe(sub *nats.Subscription) {
	if sub != nil {
		_ = sub.Unsubscribe() // fails only if the connection is gone already
	}
}

// concerns tells whether an event may mean another Version than ours.
func (f *feed) concerns(m *nats.Msg) bool {
	var e lockstep.Event
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return true
	}
	return e.Data.VersionID == "" || e.Data.VersionID != f.current.Load().ID
}

// refresh reads AWSCURRENT, unless a read that began after this call has
// succeeded meanwhile.
func (f *feed) refresh(ctx context.Context) error {
	called := time.Now()
	f.reading.Lock()
	defer f.reading.Unlock()
	if f.begun.After(called) {
		return nil
	}
	begun := time.Now()
	got, err := f.client.read(ctx, f.asked)
	if err != nil {
		return err
	}
	f.begun = begun
	f.accept(got)
	return nil
}

// accept puts a Version in place and tells everyone. Reads are serialised, so
// that an older one never replaces a newer.
func (f *feed) accept(got secretValue) {
	old := f.current.Load()
	if old != nil && old.ID == got.VersionID && old.ARN == got.ARN {
		return
	}
	f.current.Store(&Version{
		ID: got.VersionID, ARN: got.ARN, Value: got.value(), Created: got.created(), Received: time.Now(),
		replaced: make(chan struct{}),
	})
	if old == nil {
		f.name = got.Name
		return
	}
	close(old.replaced)
	f.mu.Lock()
	listeners := slices.Clone(f.listeners)
	f.mu.Unlock()
	for _, l := range listeners {
		l.fn(f.current.Load())
	}
}

func (f *feed) onChange(fn func(*Version)) (stop func()) {
	l := &changeListener{fn}
	f.mu.Lock()
	f.listeners = append(f.listeners, l)
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.listeners = slices.DeleteFunc(f.listeners, func(o *changeListener) bool { return o == l })
	}
}

// secretValue is the answer of GetSecretValue.
type secretValue struct {
	ARN       lockstep.ARN       `json:"ARN"`
	Name      string             `json:"Name"`
	VersionID lockstep.VersionID `json:"VersionId"`
	String    *string            `json:"SecretString"`
	Binary    []byte             `json:"SecretBinary"`
	// Created is seconds since 1970, with a fraction.
	Created float64 `json:"CreatedDate"`
}

func (v secretValue) value() lockstep.Value {
	if v.String != nil {
		return lockstep.StringValue(*v.String)
	}
	return lockstep.BinaryValue(v.Binary)
}

func (v secretValue) created() time.Time { return time.UnixMilli(int64(v.Created * 1000)).UTC() }

// read calls GetSecretValue.
func (c *Client) read(ctx context.Context, name string) (secretValue, error) {
	body, err := json.Marshal(struct {
		SecretID string `json:"SecretId"`
	}{name})
	if err != nil {
		return secretValue{}, fmt.Errorf("read secret %s: %w", name, err)
	}
	var out secretValue
	err = c.at.Do(ctx, wire.Request{
		Method: http.MethodPost, Path: "/", Service: wire.ServiceSecrets, Target: "secretsmanager.GetSecretValue", Body: body,
	}, &out)
	if err == nil && (out.VersionID == "" || out.ARN == "" || (out.String == nil && out.Binary == nil)) {
		err = errors.New("the server's answer holds no value")
	}
	if err != nil {
		return secretValue{}, fmt.Errorf("read secret %s: %w", name, err)
	}
	return out, nil
}
