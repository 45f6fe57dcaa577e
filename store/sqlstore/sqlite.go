package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"lockstep"
	"lockstep/store"
)

const defaultReaders = 8

// sqliteEngine is a database file with one writer and a pool of readers.
type sqliteEngine struct {
	writeDB, readDB *sql.DB
	writer          *writer
	// readers holds the connections that no View uses now.
	readers chan *sqliteConn
	// views counts the Views that run; closing stops new ones.
	mu      sync.RWMutex
	closed  bool
	views   sync.WaitGroup
	closing sync.Once
	err     error
}

func openSQLite(ctx context.Context, cfg Config, path string, h *hub) (_ *sqliteEngine, err error) {
	if err := privateFile(path); err != nil {
		return nil, err
	}
	e := &sqliteEngine{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.release())
		}
	}()
	if e.writeDB, err = sql.Open("sqlite", sqliteDSN(path, false)); err != nil {
		return nil, sqliteError(err)
	}
	if err := migrateSQLite(ctx, e.writeDB, cfg.Logger); err != nil {
		return nil, err
	}
	if e.readDB, err = sql.Open("sqlite", sqliteDSN(path, true)); err != nil {
		return nil, sqliteError(err)
	}
	open := connector{dialect: sqliteDialect(), clock: cfg.Now}
	own, err := open.conn(ctx, e.writeDB)
	if err != nil {
		return nil, err
	}
	if err := e.openReaders(ctx, cfg.Readers, open); err != nil {
		return nil, errors.Join(err, own.close())
	}
	e.writer = startWriter(own, h)
	return e, nil
}

func (e *sqliteEngine) openReaders(ctx context.Context, n int, open connector) error {
	if n <= 0 {
		n = defaultReaders
	}
	e.readers = make(chan *sqliteConn, n)
	for range n {
		c, err := open.conn(ctx, e.readDB)
		if err != nil {
			return err
		}
		e.readers <- c
	}
	return nil
}

// privateFile makes the database file so that nobody else ever could open it;
// SQLite gives the files beside it the same mode.
func privateFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- the operator names the database
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("create database file: its folder does not exist: %w: %w", lockstep.ErrInvalid, err)
		}
		return fmt.Errorf("create database file: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func sqliteDSN(path string, readOnly bool) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)",
		"foreign_keys(1)",
		"temp_store(memory)",
		"cache_size(-16000)",
	}}
	if readOnly {
		q.Set("mode", "ro")
		q.Add("_pragma", "query_only(1)")
	} else {
		for _, p := range []string{"journal_mode(wal)", "synchronous(full)", "secure_delete(1)", "journal_size_limit(67108864)"} {
			q.Add("_pragma", p)
		}
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// migrateTries is how often the migrations are begun when another process is at
// them: SQLite has no lock that outlives a transaction, so the slower one fails
// and then finds nothing left to do.
const migrateTries = 3

func migrateSQLite(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	var err error
	for range migrateTries {
		if err = migrate(ctx, db, goose.DialectSQLite3, log); err == nil {
			return nil
		}
	}
	return sqliteError(err)
}

func (e *sqliteEngine) update(ctx context.Context, fn func(store.Tx) error) error {
	return e.writer.update(ctx, fn)
}

func (e *sqliteEngine) view(ctx context.Context, fn func(store.ReadTx) error) (err error) {
	if !e.enter() {
		return errClosed
	}
	defer e.views.Done()
	var c *sqliteConn
	select {
	case c = <-e.readers:
	case <-ctx.Done():
		return fmt.Errorf("wait for a reader: %w", ctx.Err())
	}
	defer func() { e.readers <- c }()
	if err := c.control("BEGIN"); err != nil {
		return place("begin view", err)
	}
	// Deferred, since fn may leave by a panic or runtime.Goexit.
	defer func() { err = errors.Join(err, place("end view", c.control("ROLLBACK"))) }()
	t := newTx(ctx, c.bind(ctx))
	if err := fn(t); err != nil {
		return err
	}
	return t.verdict()
}

func (e *sqliteEngine) enter() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return false
	}
	e.views.Add(1)
	return true
}

func (e *sqliteEngine) close() error {
	e.closing.Do(func() {
		e.mu.Lock()
		e.closed = true
		e.mu.Unlock()
		e.views.Wait()
		e.writer.stop()
		e.err = e.release()
	})
	return e.err
}

// release closes what has been opened.
func (e *sqliteEngine) release() error {
	var errs []error
	for len(e.readers) > 0 {
		errs = append(errs, (<-e.readers).close())
	}
	if e.readDB != nil {
		errs = append(errs, e.readDB.Close())
	}
	if e.writer != nil {
		errs = append(errs, e.writer.conn.close())
	}
	if e.writeDB != nil {
		errs = append(errs, e.writeDB.Close())
	}
	return errors.Join(errs...)
}

var errClosed = fmt.Errorf("the store is closed: %w", lockstep.ErrBusy)

// connector opens connections that share a dialect and a clock.
type connector struct {
	dialect *dialect
	clock   func() time.Time
}

func (o connector) conn(ctx context.Context, db *sql.DB) (*sqliteConn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, place("connect", sqliteError(err))
	}
	// What is prepared lives as long as the connection, not as ctx.
	return &sqliteConn{connector: o, conn: c, prepared: make(map[string]*sql.Stmt), ctx: context.WithoutCancel(ctx)}, nil
}
