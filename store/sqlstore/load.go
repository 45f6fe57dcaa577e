package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"lockstep"
	"lockstep/store"
)

// Load fills an empty store with the rows that next gives, until io.EOF, in one
// transaction: all of it or nothing. Every Secret with a Rotation is marked
// Unverified, since its target may have moved on since the dump, and its owner is
// paused: the engine verifies each, and then ends the pause. Errors: ErrExists if the store is not empty; ErrInvalid for a
// dump of a newer version, which has what this one does not know.
func (s *Store) Load(ctx context.Context, next func() (Row, error)) error {
	return s.Update(ctx, func(w store.Tx) error {
		t := w.(*tx)
		if err := s.unhurried(t); err != nil {
			return err
		}
		tables, err := s.tables(t)
		if err != nil {
			return err
		}
		if err := isEmpty(t); err != nil {
			return err
		}
		// Migrations leave rows of their own; the dump has its own of those.
		for _, one := range slices.Backward(tables) {
			if _, err := t.exec(`DELETE FROM ` + quote(one.name)); err != nil { // #nosec G202 -- names of our own catalog
				return place("clear table "+one.name, err)
			}
		}
		l := loader{store: s, tx: t, tables: tables, statements: make(map[string]string)}
		for {
			row, err := next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = l.row(row)
			}
			if err != nil {
				return err
			}
		}
		_, err = t.exec(`UPDATE secrets SET unverified = TRUE WHERE rotation IS NOT NULL AND NOT gone`)
		if err != nil {
			return place("mark what has to be verified", err)
		}
		return t.pauseRestored()
	})
}

func isEmpty(t *tx) error {
	for _, query := range []string{`SELECT 1 FROM secrets`, `SELECT 1 FROM master_keys`, `SELECT 1 FROM users`} {
		there, err := exists(t.session, query)
		if err != nil {
			return place("look whether the store is empty", err)
		}
		if there {
			return fmt.Errorf("the store is not empty: %w", lockstep.ErrExists)
		}
	}
	return nil
}

// loader is one Load.
type loader struct {
	store      *Store
	tx         *tx
	tables     []table
	statements map[string]string
}

func (l *loader) row(r Row) error {
	if r.Table == sequences {
		return l.sequence(r)
	}
	i := slices.IndexFunc(l.tables, func(t table) bool { return t.name == r.Table })
	if i < 0 || len(r.Columns) != len(r.Cells) {
		return unknown("table " + r.Table)
	}
	kinds := make([]cellKind, len(r.Columns))
	for j, name := range r.Columns {
		at := slices.IndexFunc(l.tables[i].columns, func(c column) bool { return c.name == name })
		if at < 0 {
			return unknown("column " + name + " of table " + r.Table)
		}
		kinds[j] = l.tables[i].columns[at].kind
	}
	args := make([]any, len(r.Cells))
	for j, c := range r.Cells {
		args[j] = c.as(kinds[j])
	}
	key := r.Table + "\x00" + strings.Join(r.Columns, "\x00")
	if l.statements[key] == "" {
		l.statements[key] = l.insert(r, kinds)
	}
	_, err := l.tx.exec(l.statements[key], args...)
	return place("load table "+r.Table, err)
}

func unknown(what string) error {
	return fmt.Errorf("it has %s, which this version does not know; use the version that made it, or a newer one: %w", what, lockstep.ErrInvalid)
}

func (l *loader) insert(r Row, kinds []cellKind) string {
	names, places := make([]string, len(r.Columns)), make([]string, len(r.Columns))
	for i, name := range r.Columns {
		names[i], places[i] = quote(name), "$"+strconv.Itoa(i+1)
		if kinds[i] == cellJSON {
			places[i] += "::text::jsonb"
		}
	}
	override := " OVERRIDING SYSTEM VALUE"
	if l.store.isSQLite() {
		override = ""
	}
	return `INSERT INTO ` + quote(r.Table) + ` (` + strings.Join(names, ", ") + `)` + override + ` VALUES (` + strings.Join(places, ", ") + `)`
}

// as is the cell for a column of that kind; a dump of one dialect may keep as
// text what the other keeps as JSON.
func (c Cell) as(kind cellKind) any {
	if c.Null {
		return nil
	}
	switch kind {
	case cellBool:
		return c.Bool || c.Int != 0
	case cellText, cellJSON:
		if c.Bytes != nil {
			return string(c.Bytes)
		}
		return c.Text
	case cellBytes:
		if c.Bytes == nil {
			return []byte{}
		}
		return c.Bytes
	default:
		return c.Int
	}
}

// sequence sets the counter of a numbered table.
func (l *loader) sequence(r Row) error {
	if len(r.Cells) != 2 || !slices.ContainsFunc(l.tables, func(t table) bool { return t.name == r.Cells[0].Text }) {
		return unknown("the counter of a table")
	}
	name, last := r.Cells[0].Text, r.Cells[1].Int
	if l.store.isSQLite() {
		n, err := l.tx.exec(`UPDATE sqlite_sequence SET seq = $2 WHERE name = $1`, name, last)
		if err == nil && n == 0 {
			_, err = l.tx.exec(`INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)`, name, last)
		}
		return place("set the counter of "+name, err)
	}
	numbered := "num"
	if name == "secrets" {
		numbered = "id"
	}
	_, err := one(l.tx.session, value[int64], `SELECT setval(pg_get_serial_sequence($1, $2), $3)`, name, numbered, last)
	return place("set the counter of "+name, err)
}
