package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lockstep"
	"lockstep/store"
)

// Row is one row of a table in a form that both dialects read.
type Row struct {
	Table   string
	Columns []string
	Cells   []Cell
}

// Cell is one column of a row. At most one field is set; a Null cell has none.
type Cell struct {
	Null  bool
	Int   int64
	Bool  bool
	Text  string
	Bytes []byte
}

// cellKind is how a column is kept in a Cell.
type cellKind int

const (
	cellInt cellKind = iota
	cellBool
	cellText
	cellJSON
	cellBytes
)

type column struct {
	name string
	kind cellKind
}

// table is a table as the catalog tells it.
type table struct {
	name    string
	columns []column
	// needs are the tables that its foreign keys point to.
	needs []string
}

// sequences is the name under which the counters of numbered rows stand in a
// dump: a number that was given once is never given again, since Events outlive
// their Secret.
const sequences = "*sequences"

// Dump gives every row of one consistent snapshot, each table after those that
// it points to, while others read and write. The migrations' own table is left
// out.
func (s *Store) Dump(ctx context.Context, emit func(Row) error) error {
	return s.View(ctx, func(r store.ReadTx) error {
		t := r.(*tx)
		if err := s.unhurried(t); err != nil {
			return err
		}
		tables, err := s.tables(t)
		if err != nil {
			return err
		}
		for _, one := range tables {
			if err := dumpTable(t, one, emit); err != nil {
				return fmt.Errorf("dump table %s: %w", one.name, err)
			}
		}
		return s.dumpSequences(t, tables, emit)
	})
}

func (s *Store) isSQLite() bool {
	_, ok := s.engine.(*sqliteEngine)
	return ok
}

// unhurried lifts the time limits of ordinary statements for one transaction.
func (s *Store) unhurried(t *tx) error {
	if s.isSQLite() {
		return nil
	}
	_, err := t.exec(`SET LOCAL statement_timeout = 0`)
	return err
}

const (
	sqliteColumns = `SELECT m.name, c.name, lower(c.type) FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.cid`
	sqliteNeeds = `SELECT m.name, f."table" FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`

	postgresColumns = `SELECT c.table_name::text, c.column_name::text, c.data_type::text FROM information_schema.columns c
		JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'
		WHERE c.table_schema = current_schema() AND c.table_name <> 'goose_db_version' ORDER BY c.table_name, c.ordinal_position`
	postgresNeeds = `SELECT a.relname::text, b.relname::text FROM pg_constraint f JOIN pg_class a ON a.oid = f.conrelid
		JOIN pg_class b ON b.oid = f.confrelid WHERE f.contype = 'f' AND f.connamespace = current_schema()::regnamespace`
)

// tables reads the catalog, each table after those that it needs.
func (s *Store) tables(t *tx) ([]table, error) {
	columns, needs := postgresColumns, postgresNeeds
	if s.isSQLite() {
		columns, needs = sqliteColumns, sqliteNeeds
	}
	type entry struct{ table, name, kind string }
	list, err := all(t.session, func(r row) (e entry, err error) {
		err = r.Scan(&e.table, &e.name, &e.kind)
		return e, err
	}, columns)
	if err != nil {
		return nil, place("read the catalog", err)
	}
	links, err := all(t.session, func(r row) (l [2]string, err error) {
		err = r.Scan(&l[0], &l[1])
		return l, err
	}, needs)
	if err != nil {
		return nil, place("read the catalog", err)
	}
	var out []table
	for _, e := range list {
		if len(out) == 0 || out[len(out)-1].name != e.table {
			out = append(out, table{name: e.table})
		}
		last := &out[len(out)-1]
		last.columns = append(last.columns, column{e.name, kindOf(e.kind)})
	}
	for _, l := range links {
		if i := slices.IndexFunc(out, func(o table) bool { return o.name == l[0] }); i >= 0 && l[0] != l[1] {
			out[i].needs = append(out[i].needs, l[1])
		}
	}
	return inOrder(out)
}

func kindOf(kind string) cellKind {
	switch kind {
	case "boolean":
		return cellBool
	case "blob", "bytea":
		return cellBytes
	case "jsonb":
		return cellJSON
	case "text":
		return cellText
	default: // bigint, integer
		return cellInt
	}
}

// inOrder sorts tables so that each comes after those that it needs.
func inOrder(in []table) ([]table, error) {
	var out []table
	done := make(map[string]bool, len(in))
	for len(out) < len(in) {
		before := len(out)
		for _, t := range in {
			if !done[t.name] && !slices.ContainsFunc(t.needs, func(n string) bool { return !done[n] }) {
				done[t.name] = true
				out = append(out, t)
			}
		}
		if len(out) == before {
			return nil, errors.New("tables point at each other in a ring")
		}
	}
	return out, nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func dumpTable(t *tx, of table, emit func(Row) error) error {
	names, chosen := make([]string, 0, len(of.columns)), make([]string, 0, len(of.columns))
	for _, c := range of.columns {
		names = append(names, c.name)
		if c.kind == cellJSON {
			chosen = append(chosen, quote(c.name)+"::text")
			continue
		}
		chosen = append(chosen, quote(c.name))
	}
	rs, err := t.query(`SELECT ` + strings.Join(chosen, ", ") + ` FROM ` + quote(of.name)) // #nosec G202 -- names of our own catalog
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
		cells := make([]cellInto, len(names))
		into := make([]any, len(names))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rs.Scan(into...); err != nil {
			return err
		}
		row := Row{Table: of.name, Columns: names, Cells: make([]Cell, len(names))}
		for i := range cells {
			row.Cells[i] = cells[i].Cell
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return rs.Err()
}

// cellInto scans whatever a driver gives.
type cellInto struct{ Cell }

// Scan implements sql.Scanner.
func (d *cellInto) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		d.Null = true
	case int64:
		d.Int = v
	case bool:
		d.Bool = v
	case string:
		d.Text = v
	case []byte:
		d.Bytes = slices.Clone(v)
	default:
		return fmt.Errorf("a column of type %T: %w", src, lockstep.ErrInvalid)
	}
	return nil
}

// dumpSequences gives the last number of each numbered table.
func (s *Store) dumpSequences(t *tx, tables []table, emit func(Row) error) error {
	for _, one := range tables {
		last, err := s.lastNumber(t, one.name)
		if err != nil {
			return fmt.Errorf("read the counter of %s: %w", one.name, err)
		}
		if last == 0 {
			continue
		}
		if err := emit(Row{Table: sequences, Columns: []string{"table", "last"}, Cells: []Cell{{Text: one.name}, {Int: last}}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) lastNumber(t *tx, name string) (int64, error) {
	if s.isSQLite() {
		return one(t.session, orZero, `SELECT max(seq) FROM sqlite_sequence WHERE name = $1`, name)
	}
	return one(t.session, orZero, `SELECT max(q.last_value) FROM pg_sequences q
		JOIN pg_depend d ON d.objid = (quote_ident(q.schemaname) || '.' || quote_ident(q.sequencename))::regclass AND d.deptype = 'i'
		JOIN pg_class c ON c.oid = d.refobjid WHERE q.schemaname = current_schema() AND c.relname = $1`, name)
}
