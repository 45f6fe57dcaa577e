package pgxsecret

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Options says how NewPool makes a pool. The zero value is ready to use.
type Options struct {
	// ConnString is pgxpool's, for what the secret does not say: pool_max_conns,
	// sslmode, application_name, …. Empty: sslmode from the secret's value if it
	// has one, else pgx's defaults.
	ConnString string
	// Customize, if set, may change the Config before the secret is bound to
	// it.
	Customize func(*pgxpool.Config)
}

// NewPool makes a pool on the secret's current credential and keeps it there
// until ctx ends; the pool itself is the caller's to close.
//
// Errors: ErrInvalid (wrapped) if the secret's value has no credential; pgx's
// for a ConnString that it cannot read. No connection is tried here.
func NewPool(ctx context.Context, s Source, o Options) (*pgxpool.Pool, *Binding, error) {
	cred, err := parseCredential(s.Current().Value)
	if err != nil {
		return nil, nil, fmt.Errorf("make pool: %w", err)
	}
	if o.ConnString == "" {
		o.ConnString = cred.connString()
	}
	cfg, err := pgxpool.ParseConfig(o.ConnString)
	if err != nil {
		return nil, nil, fmt.Errorf("make pool: %w", err)
	}
	if o.Customize != nil {
		o.Customize(cfg)
	}
	b := Configure(cfg, s)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("make pool: %w", err)
	}
	go b.Drain(ctx, pool)
	return pool, b, nil
}

// connString names the address and the TLS mode, so that pgx prepares TLS for
// that host. It holds no password.
func (c credential) connString() string {
	var parts []string
	set := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)+"'")
		}
	}
	set("host", c.Host)
	set("sslmode", c.SSLMode)
	return strings.Join(parts, " ")
}
