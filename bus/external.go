package bus

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// dial connects the engine.
func (e *External) dial(opts []nats.Option) (*nats.Conn, error) {
	if e.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(e.CredsFile))
	}
	return e.dialAs(e.User, e.Password, opts)
}

// dialAs connects with a user and password; an empty user means none.
func (e *External) dialAs(user, password string, opts []nats.Option) (*nats.Conn, error) {
	if user != "" {
		opts = append(opts, nats.UserInfo(user, password))
	}
	if e.TLS != nil {
		opts = append(opts, nats.Secure(e.TLS.Clone()))
	}
	nc, err := nats.Connect(e.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}
