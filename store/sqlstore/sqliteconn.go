package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"lockstep"
)

// sqliteConn is one connection with the statements it has prepared. One
// goroutine uses it at a time.
type sqliteConn struct {
	connector
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	// ctx is never cancelled. An interrupted write would make SQLite roll back
	// the whole transaction, and with it the Updates of others; so the
	// caller's context is looked at between statements instead.
	ctx context.Context
}

func (c *sqliteConn) close() error {
	var errs []error
	for _, s := range c.prepared {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

// control runs a statement about transactions.
func (c *sqliteConn) control(text string) error {
	s, err := c.prepare(text)
	if err == nil {
		_, err = s.ExecContext(c.ctx)
	}
	return sqliteError(err)
}

func (c *sqliteConn) prepare(text string) (*sql.Stmt, error) {
	if s := c.prepared[text]; s != nil {
		return s, nil
	}
	s, err := c.conn.PrepareContext(c.ctx, text)
	if err == nil {
		c.prepared[text] = s
	}
	return s, err
}

// bind makes a session for the caller's context.
func (c *sqliteConn) bind(ctx context.Context) session {
	return &sqliteSession{conn: c, caller: ctx}
}

// sqliteSession implements session.
type sqliteSession struct {
	conn   *sqliteConn
	caller context.Context
	// broken is the error after which SQLite may have rolled back the whole
	// transaction by itself (disk full, I/O). Another statement would then be
	// a transaction of its own, so there is none.
	broken error
}

// check gives an error its sentinel and notes the ones that end the session.
func (s *sqliteSession) check(err error) error {
	err = sqliteError(err)
	if errors.Is(err, lockstep.ErrBusy) {
		s.broken = err
	}
	return err
}

func (s *sqliteSession) statement(query string, args []any) (*sql.Stmt, []any, error) {
	if err := s.caller.Err(); err != nil {
		return nil, nil, err
	}
	if s.broken != nil {
		return nil, nil, s.broken
	}
	st := s.conn.dialect.statement(query)
	if st.clock {
		n, _ := s.now()
		args = append(args[:len(args):len(args)], sql.Named("now", n))
	}
	p, err := s.conn.prepare(st.text)
	return p, args, s.check(err)
}

func (s *sqliteSession) exec(query string, args ...any) (int64, error) {
	st, args, err := s.statement(query, args)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(s.conn.ctx, args...)
	if err != nil {
		return 0, s.check(err)
	}
	return res.RowsAffected()
}

func (s *sqliteSession) query(query string, args ...any) (rows, error) {
	st, args, err := s.statement(query, args)
	if err != nil {
		return nil, err
	}
	rs, err := st.QueryContext(s.conn.ctx, args...)
	if err != nil {
		return nil, s.check(err)
	}
	return sqliteRows{Rows: rs, session: s}, nil
}

func (s *sqliteSession) now() (int64, error) { return s.conn.clock().UnixMicro(), nil }

// sqliteRows implements rows.
type sqliteRows struct {
	*sql.Rows
	session *sqliteSession
}

func (r sqliteRows) Next() bool { return r.session.caller.Err() == nil && r.Rows.Next() }

func (r sqliteRows) Err() error {
	if err := r.session.caller.Err(); err != nil {
		return err
	}
	return r.session.check(r.Rows.Err())
}

func (r sqliteRows) Close() { _ = r.Rows.Close() }
