package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"lockstep"
	"lockstep/store"
)

const (
	defaultConnections = 16
	// updateTries bounds how often a function is run again after a conflict.
	updateTries = 8
	// retryPause is the longest first pause before it is; it doubles.
	retryPause = 4 * time.Millisecond
)

// timeouts are the server-side limits of our transactions, unless the DSN sets
// its own: nothing here takes long, and a hung node must not hold locks.
var timeouts = map[string]string{
	"statement_timeout":                   "30s",
	"lock_timeout":                        "10s",
	"idle_in_transaction_session_timeout": "60s",
	"application_name":                    "lockstep",
}

// postgresEngine is a pool of connections and one that listens.
type postgresEngine struct {
	pool    *pgxpool.Pool
	dialect *dialect
	hub     *hub
	// node marks our own notifications: the hub has had those signals.
	node     string
	listener *listener
}

func openPostgres(ctx context.Context, cfg Config, h *hub) (*postgresEngine, error) {
	pc, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		// pgx leaves the password out of this error.
		return nil, fmt.Errorf("%w: %w", lockstep.ErrInvalid, err)
	}
	if err := migratePostgres(ctx, pc.ConnConfig.Copy(), cfg.Logger); err != nil {
		return nil, err
	}
	listen := pc.ConnConfig.Copy()
	for name, v := range timeouts {
		if _, set := pc.ConnConfig.RuntimeParams[name]; !set {
			pc.ConnConfig.RuntimeParams[name] = v
		}
	}
	switch {
	case cfg.Connections > 0:
		pc.MaxConns = int32(min(cfg.Connections, 10000)) // #nosec G115 -- a small number from the configuration
	case !strings.Contains(cfg.DSN, "pool_max_conns"):
		pc.MaxConns = defaultConnections
	}
	pc.AfterConnect = durable
	node, err := lockstep.NewID("node")
	if err != nil {
		return nil, err
	}
	e := &postgresEngine{dialect: postgresDialect(), hub: h, node: node}
	if e.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, postgresError(ctx, err)
	}
	if e.listener, err = startListener(ctx, listen, h, node, cfg.Logger); err != nil {
		e.pool.Close()
		return nil, err
	}
	return e, nil
}

// durable overrules a server that does not wait for its disk: Update promises
// that what it answered is there. Stronger settings of the server stay.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') = 'off'`)
	return place("set synchronous_commit", postgresError(ctx, err))
}

// migratePostgres runs the migrations under an advisory lock, so that nodes
// that start together do not meet in them. They have no statement timeout.
func migratePostgres(ctx context.Context, cc *pgx.ConnConfig, log *slog.Logger) (err error) {
	db := stdlib.OpenDB(*cc)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.PingContext(ctx); err != nil {
		return place("connect", postgresError(ctx, err))
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return fmt.Errorf("prepare migration lock: %w", err)
	}
	return postgresError(ctx, migrate(ctx, db, goose.DialectPostgres, log, goose.WithSessionLocker(locker)))
}

func (e *postgresEngine) update(ctx context.Context, fn func(store.Tx) error) error {
	var err error
	for try := range updateTries {
		if try > 0 {
			if waitErr := pause(ctx, retryPause<<try); waitErr != nil {
				return errors.Join(waitErr, err)
			}
		}
		if err = e.attempt(ctx, fn); !retryable(err) {
			return err
		}
	}
	return place(fmt.Sprintf("update: given up after %d conflicts", updateTries), err)
}

// pause waits for up to most, at random, so that those who met do not meet
// again.
func pause(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(rand.N(most)) // #nosec G404 -- jitter of a retry
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *postgresEngine) attempt(ctx context.Context, fn func(store.Tx) error) error {
	var touched topicSet
	err := e.within(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(t *tx) error {
		if err := fn(t); err != nil {
			return err
		}
		if err := t.verdict(); err != nil {
			return err
		}
		touched = t.touched
		return e.notify(t)
	})
	if err == nil {
		e.hub.signal(touched)
	}
	return err
}

// notify tells the other nodes, at the commit, which topics were touched. It is
// one statement however many they are, and none if there are none: PostgreSQL
// lets transactions that notify commit one after the other only.
func (e *postgresEngine) notify(t *tx) error {
	if t.touched == 0 {
		return nil
	}
	_, err := t.exec(`SELECT pg_notify($1, $2)`, channel, e.node+t.touched.String())
	return place("notify other nodes", err)
}

func (e *postgresEngine) view(ctx context.Context, fn func(store.ReadTx) error) error {
	return e.within(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(t *tx) error {
		if err := fn(t); err != nil {
			return err
		}
		return t.verdict()
	})
}

// within runs fn in a transaction, which ends in a commit if fn returns nil and
// in a rollback however else fn ends.
func (e *postgresEngine) within(ctx context.Context, o pgx.TxOptions, fn func(*tx) error) (err error) {
	p, err := e.pool.BeginTx(ctx, o)
	if err != nil {
		return place("begin transaction", poolError(ctx, err))
	}
	committing := false
	defer func() {
		if !committing {
			// The caller's context may be over, and the connection must be
			// free of the transaction before it goes back.
			end, stop := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
			defer stop()
			_ = p.Rollback(end)
		}
	}()
	if err := fn(newTx(ctx, &postgresSession{ctx: ctx, tx: p, dialect: e.dialect})); err != nil {
		return err
	}
	committing = true
	return place("commit", postgresError(ctx, p.Commit(ctx)))
}

// rollbackTime bounds a rollback; a connection that takes longer is dropped.
const rollbackTime = 5 * time.Second

func poolError(ctx context.Context, err error) error {
	if strings.Contains(err.Error(), "closed pool") {
		return errClosed
	}
	return postgresError(ctx, err)
}

func (e *postgresEngine) close() error {
	e.listener.stop()
	e.pool.Close()
	return nil
}

// postgresSession implements session. pgx prepares each statement at its first
// use on a connection and keeps it.
type postgresSession struct {
	ctx     context.Context
	tx      pgx.Tx
	dialect *dialect
}

func (s *postgresSession) exec(query string, args ...any) (int64, error) {
	tag, err := s.tx.Exec(s.ctx, s.dialect.statement(query).text, args...)
	if err != nil {
		return 0, postgresError(s.ctx, err)
	}
	return tag.RowsAffected(), nil
}

func (s *postgresSession) query(query string, args ...any) (rows, error) {
	rs, err := s.tx.Query(s.ctx, s.dialect.statement(query).text, args...)
	if err != nil {
		return nil, postgresError(s.ctx, err)
	}
	return postgresRows{Rows: rs, ctx: s.ctx}, nil
}

func (s *postgresSession) now() (int64, error) {
	return one(s, value[int64], `SELECT @now`)
}

// postgresRows implements rows.
type postgresRows struct {
	pgx.Rows
	ctx context.Context
}

func (r postgresRows) Err() error { return postgresError(r.ctx, r.Rows.Err()) }
