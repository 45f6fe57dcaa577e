package custom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// Requester asks a service on NATS; bus.Bus is one.
type Requester interface {
	// Request sends body and waits for one answer. refusal is the text of a
	// service's own error (the header Nats-Service-Error). Errors: ErrNotFound
	// (wrapped) if nobody listens; the context's.
	Request(ctx context.Context, subject string, body []byte) (answer []byte, refusal string, err error)
}

// service is a function that listens on NATS, at
// lockstep.rotator.<name>.<step>. Any answer without an error is "done".
type service struct {
	name    string
	nats    Requester
	timeout time.Duration
}

// Timeout implements rotators.Function.
func (s *service) Timeout() time.Duration { return s.timeout }

// Invoke implements rotators.Function.
func (s *service) Invoke(ctx context.Context, c rotators.Call) error {
	raw, err := body(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	subject := lockstep.RotatorSubject(s.name, string(c.Event.Step))
	answer, refusal, err := s.nats.Request(ctx, subject, raw)
	switch {
	case errors.Is(err, lockstep.ErrNotFound):
		return notReached(fmt.Errorf("nobody listens to %s", subject))
	case ctx.Err() != nil:
		return failed(fmt.Errorf("the service did not answer within %s", s.timeout))
	case err != nil:
		return failed(fmt.Errorf("ask %s: %w", subject, err))
	case len(answer) > maxAnswer:
		return failed(fmt.Errorf("the service answered with more than %d bytes", maxAnswer))
	case refusal != "":
		return answered("the service answered with an error", refusal)
	}
	if words := readSaid(answer); words != "" {
		return answered("the service answered with an error", words)
	}
	return nil
}
