package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"lockstep"
	"lockstep/store"
)

// Config says which database to open and how.
type Config struct {
	// DSN is "sqlite:PATH" for a file, or a postgres:// or postgresql:// URL as
	// libpq and pgx read it. Required.
	DSN string
	// Now is the store's clock on SQLite; nil means time.Now. PostgreSQL uses
	// the server's clock instead, since the clocks of nodes differ.
	Now func() time.Time
	// Logger hears of lost connections and of migrations; nil means silence.
	Logger *slog.Logger
	// Readers bounds the concurrent Views on SQLite; zero means 8.
	Readers int
	// Connections bounds the connections to PostgreSQL, beside the one that
	// listens; zero means pool_max_conns of the DSN, else 16.
	Connections int
}

// Store is a database; it implements store.Store. All methods may be called
// concurrently.
type Store struct {
	engine engine
	hub    *hub
}

var _ store.Store = (*Store)(nil)

// engine is what the dialects do differently about whole transactions.
type engine interface {
	update(ctx context.Context, fn func(store.Tx) error) error
	view(ctx context.Context, fn func(store.ReadTx) error) error
	close() error
}

// Open opens the database, makes it if it is a SQLite file that is not there
// (mode 0600), and runs the migrations that are missing. The context bounds the
// opening alone.
// Errors: ErrInvalid for a DSN of an unknown form, ErrBusy if the database
// cannot be reached.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{hub: &hub{}}
	var err error
	scheme, rest, _ := strings.Cut(cfg.DSN, ":")
	switch {
	case scheme == "sqlite" && rest != "":
		s.engine, err = openSQLite(ctx, cfg, rest, s.hub)
	case scheme == "postgres", scheme == "postgresql":
		s.engine, err = openPostgres(ctx, cfg, s.hub)
	default:
		// The DSN itself may hold a password, so it is not repeated.
		err = fmt.Errorf(`a DSN is "sqlite:PATH" or "postgres://…": %w`, lockstep.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.indexAll(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.Close())
	}
	return s, nil
}

// Update implements store.Store. On SQLite fn waits in a queue first; a context
// that ends there leaves the queue without running fn. When the commit itself
// loses its connection on PostgreSQL, the error is ErrBusy though the commit
// may have happened: the caller reads again.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.engine.update(ctx, fn)
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.ReadTx) error) error {
	return s.engine.view(ctx, fn)
}

// Subscribe implements store.Store. After a lost connection between nodes every
// topic is signalled once, since a signal may have been missed.
func (s *Store) Subscribe(topic store.Topic) (<-chan struct{}, func()) {
	return s.hub.subscribe(topic)
}

// Close implements store.Store. Calls that come after it, and a second Close,
// get ErrBusy and nil.
func (s *Store) Close() error {
	return s.engine.close()
}
