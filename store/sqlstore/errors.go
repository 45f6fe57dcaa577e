package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"lockstep"
)

// sqliteError gives an error of SQLite its sentinel.
func sqliteError(err error) error {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL:
		return fmt.Errorf("%w: %w", lockstep.ErrBusy, err)
	case sqlite3.SQLITE_CONSTRAINT:
		return fmt.Errorf("%w: %w", lockstep.ErrConflict, err)
	}
	return err
}

// The SQLSTATE codes that are told apart.
const (
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateLockTimeout   = "55P03"
	stateCancelled     = "57014"
)

// postgresError gives an error of PostgreSQL or of the way to it its sentinel.
func postgresError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if gone := ctx.Err(); gone != nil {
		return fmt.Errorf("%w: %w", gone, err)
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return stateError(pe, err)
	}
	var (
		ne net.Error
		ce *pgconn.ConnectError
	)
	if errors.As(err, &ne) || errors.As(err, &ce) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%w: %w", lockstep.ErrBusy, err)
	}
	return err
}

func stateError(pe *pgconn.PgError, err error) error {
	switch class := pe.Code[:min(2, len(pe.Code))]; {
	case pe.Code == stateSerialization, pe.Code == stateDeadlock, pe.Code == stateLockTimeout,
		pe.Code == stateCancelled, class == "08", class == "53", class == "57", class == "58":
		return fmt.Errorf("%w: %w", lockstep.ErrBusy, err)
	case class == "23":
		return fmt.Errorf("%w: %w", lockstep.ErrConflict, err)
	case class == "22":
		return fmt.Errorf("%w: %w", lockstep.ErrInvalid, err)
	}
	return err
}

// retryable tells whether running the whole function again may help.
func retryable(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && (pe.Code == stateSerialization || pe.Code == stateDeadlock)
}

// place says what was being done; it keeps nil nil.
func place(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
