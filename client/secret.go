package client

import (
	"context"
	"sync"
	"time"

	"lockstep"
)

// Version is one value of a Secret. It never changes; that another one took
// its place is told by Replaced.
type Version struct {
	ID    lockstep.VersionID
	Value lockstep.Value
	// ARN is the Secret's; it is another one after the Secret was deleted for
	// good and made anew under the same name.
	ARN lockstep.ARN
	// Created is when the server made the Version.
	Created time.Time
	// Received is when this process got it.
	Received time.Time

	replaced chan struct{}
}

// Replaced is closed once this is no longer the current Version.
func (v *Version) Replaced() <-chan struct{} { return v.replaced }

// Secret is a live secret: whoever asks gets the current Version from memory,
// at once. It is safe for concurrent use.
type Secret struct {
	feed *feed
	once sync.Once
}

// Open reads AWSCURRENT of a Secret, given by name or ARN, and keeps it
// current until Close. It returns once the first value is there; NATS is not
// waited for. Several Opens of one name share one subscription.
//
// Errors: *Error if the server refused (ErrNotFound, ErrDenied, ErrState), the
// transport's after some three seconds of trying, or ctx's.
func (c *Client) Open(ctx context.Context, name string) (*Secret, error) {
	f, err := c.feed(ctx, name)
	if err != nil {
		return nil, err
	}
	return &Secret{feed: f}, nil
}

// Name is the Secret's name, also if it was opened by its ARN.
func (s *Secret) Name() string { return s.feed.name }

// ARN is the Secret's ARN.
func (s *Secret) ARN() lockstep.ARN { return s.Current().ARN }

// Current returns the current Version as this process knows it.
func (s *Secret) Current() *Version { return s.feed.current.Load() }

// Value is Current().Value.
func (s *Secret) Value() lockstep.Value { return s.Current().Value }

// VersionID is Current().ID.
func (s *Secret) VersionID() lockstep.VersionID { return s.Current().ID }

// OnChange calls fn with each new Version, one at a time and in order, until
// stop is called. fn must not block for long, since it holds the next change
// up, and must not call Refresh.
// A Version that came before OnChange was called is not told.
func (s *Secret) OnChange(fn func(*Version)) (stop func()) { return s.feed.onChange(fn) }

// Refresh reads AWSCURRENT now. Calls at the same time share one request that
// began after each of them. Errors: as Open; the Version in memory then stays.
func (s *Secret) Refresh(ctx context.Context) error { return s.feed.refresh(ctx) }

// Close ends the updates when the last Secret of this name is closed. The last
// Version stays readable. It may be called again.
func (s *Secret) Close() { s.feed.client.release(s) }
