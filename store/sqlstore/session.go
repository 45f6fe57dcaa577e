package sqlstore

import (
	"database/sql"
	"errors"
	"strings"
	"sync"

	"lockstep"
)

// session runs the statements of one transaction. Both engines implement it;
// the errors it returns are already those of the root package.
type session interface {
	// exec runs a statement and tells how many rows it changed.
	exec(query string, args ...any) (int64, error)
	// query runs a statement that returns rows.
	query(query string, args ...any) (rows, error)
	// now reads the store's clock, in microseconds.
	now() (int64, error)
}

// rows is what both drivers' results have in common.
type rows interface {
	row
	Next() bool
	Err() error
	Close()
}

// row is one result row.
type row interface {
	Scan(dest ...any) error
}

// statement is the text of a query in one dialect.
type statement struct {
	text string
	// clock is true if the driver has to bind the time as @now.
	clock bool
}

// dialect turns the common text of a statement into its own.
type dialect struct {
	replacer *strings.Replacer
	// bindsClock is true for a database whose clock is ours.
	bindsClock bool
	known      sync.Map // string → statement
}

func (d *dialect) statement(query string) statement {
	if s, ok := d.known.Load(query); ok {
		return s.(statement)
	}
	s := statement{text: d.replacer.Replace(query)}
	s.clock = d.bindsClock && strings.Contains(s.text, "@now")
	d.known.Store(query, s)
	return s
}

func sqliteDialect() *dialect {
	return &dialect{bindsClock: true, replacer: strings.NewReplacer("@lock", "", "@skip", "", "@newnum", "num", "@bytes", "",
		"@rotator", "json_extract(rotation, '$.rotator')", "@custom", "json_extract(rotation, '$.custom')",
		"@recipe", "json_extract(rotation, '$.recipe')",
		"@texts", "SELECT value FROM json_each", "@numbers", "SELECT value FROM json_each")}
}

func postgresDialect() *dialect {
	return &dialect{replacer: strings.NewReplacer(
		"@now", "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
		"@lock", "FOR UPDATE",
		"@skip", "FOR UPDATE SKIP LOCKED",
		"@newnum", "DEFAULT",
		"@bytes", `COLLATE "C"`,
		"@rotator", "(rotation ->> 'rotator')",
		"@custom", "(rotation ->> 'custom') = 'true'",
		"@recipe", "(rotation ->> 'recipe') = 'true'",
		"@texts", "SELECT value FROM json_array_elements_text",
		"@numbers", "SELECT value::bigint FROM json_array_elements_text",
	)}
}

// all reads every row of a query.
func all[T any](s session, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rs, err := s.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	var out []T
	for rs.Next() {
		v, err := scan(rs)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rs.Err()
}

// one reads the first row of a query; ErrNotFound if there is none.
func one[T any](s session, scan func(row) (T, error), query string, args ...any) (T, error) {
	var zero T
	rs, err := s.query(query, args...)
	if err != nil {
		return zero, err
	}
	defer rs.Close()
	if !rs.Next() {
		if err := rs.Err(); err != nil {
			return zero, err
		}
		return zero, lockstep.ErrNotFound
	}
	v, err := scan(rs)
	if err != nil {
		return zero, err
	}
	// A statement that writes and returns is complete only after its last row.
	rs.Next()
	return v, rs.Err()
}

// value scans a row of one column.
func value[T any](r row) (T, error) {
	var v T
	err := r.Scan(&v)
	return v, err
}

// exists tells whether a query has a row.
func exists(s session, query string, args ...any) (bool, error) {
	_, err := one(s, value[int64], query, args...)
	if errors.Is(err, lockstep.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// changed runs a write that must meet a row; miss is the error if it does not.
func changed(s session, miss error, query string, args ...any) error {
	n, err := s.exec(query, args...)
	if err == nil && n == 0 {
		return miss
	}
	return err
}

// orZero makes the NULL of an aggregate over nothing a zero.
func orZero(r row) (int64, error) {
	var n sql.NullInt64
	err := r.Scan(&n)
	return n.Int64, err
}
