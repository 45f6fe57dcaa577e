package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"lockstep"
)

// serviceError is the header by which services on NATS answer with an error.
const serviceError = "Nats-Service-Error"

// Request asks whoever listens to a subject outside of the streams, and waits
// for one answer; refusal is the text of a service's own error, if it is one.
// Nothing of it is stored. Errors: ErrNotFound (wrapped) if nobody listens; the
// context's; the connection's.
func (b *Bus) Request(ctx context.Context, subject string, body []byte) (answer []byte, refusal string, err error) {
	m, err := b.nc.RequestWithContext(ctx, subject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, "", fmt.Errorf("nobody listens to %s: %w", subject, lockstep.ErrNotFound)
	}
	if err != nil {
		return nil, "", fmt.Errorf("ask %s: %w", subject, err)
	}
	return m.Data, m.Header.Get(serviceError), nil
}

// Listeners counts who listens to a subject, without a message to anybody.
// Errors: ErrNotFound (wrapped) with External, where only the servers know.
func (b *Bus) Listeners(subject string) (int, error) {
	if b.server == nil {
		return 0, fmt.Errorf("count who listens to %s: the NATS servers know: %w", subject, lockstep.ErrNotFound)
	}
	account, err := b.server.server().LookupAccount(engineAccount)
	if err != nil {
		return 0, fmt.Errorf("count who listens to %s: %w", subject, err)
	}
	return account.Interest(subject), nil
}
