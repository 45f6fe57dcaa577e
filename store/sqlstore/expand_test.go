package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/pressly/goose/v3"

	"lockstep/internal/pgtest"
)

// promise is what a column was to the statements that were written before a
// migration.
type promise struct {
	kind     string
	required bool
	filled   bool // it has a default
}

// shape is the schema as a server that names all columns sees it.
type shape struct {
	tables map[string]map[string]promise
	// unique are the indexes that refuse rows, by table.
	unique map[string]map[string]bool
}

// TestMigrationsOnlyExpand: a server works on while another of the next version
// migrates the store. Whatever it may still write and read by its own names must be
// as it was, after each migration since the first.
func TestMigrationsOnlyExpand(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		db, err := sql.Open("sqlite", "file:"+t.TempDir()+"/lockstep.db")
		onlyExpands(t, db, err, goose.DialectSQLite3, sqliteShape)
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := sql.Open("pgx", pgtest.Shared(t).DatabaseDSN(t))
		onlyExpands(t, db, err, goose.DialectPostgres, postgresShape)
	})
}

func onlyExpands(t *testing.T, db *sql.DB, opened error, dialect goose.Dialect, look func(context.Context, *sql.DB) (shape, error)) {
	t.Helper()
	if opened != nil {
		t.Fatal(opened)
	}
	t.Cleanup(func() { _ = db.Close() })
	folder := map[goose.Dialect]string{goose.DialectSQLite3: "migrations/sqlite", goose.DialectPostgres: "migrations/postgres"}[dialect]
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	var before shape
	for {
		done, err := p.UpByOne(t.Context())
		if errors.Is(err, goose.ErrNoNextVersion) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		after, err := look(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		for _, breach := range breaches(before, after) {
			t.Errorf("%s: %s", done.Source.Path, breach)
		}
		before = after
	}
}

// breaches are what a server that knows only the shape before would meet.
func breaches(before, after shape) (out []string) {
	for table, columns := range before.tables {
		if after.tables[table] == nil {
			out = append(out, "table "+table+" is gone")
			continue
		}
		for name, was := range columns {
			switch is, there := after.tables[table][name]; {
			case !there:
				out = append(out, fmt.Sprintf("column %s of %s is gone", name, table))
			case is.kind != was.kind:
				out = append(out, fmt.Sprintf("column %s of %s was %s and is %s", name, table, was.kind, is.kind))
			case is.required && !was.required, was.filled && !is.filled:
				out = append(out, fmt.Sprintf("column %s of %s must be given now", name, table))
			}
		}
		for name, is := range after.tables[table] {
			if _, old := columns[name]; !old && is.required && !is.filled {
				out = append(out, fmt.Sprintf("column %s of %s is new and must be given", name, table))
			}
		}
		for name := range after.unique[table] {
			if !before.unique[table][name] {
				out = append(out, fmt.Sprintf("index %s of %s refuses rows that were good", name, table))
			}
		}
	}
	return out
}

func sqliteShape(ctx context.Context, db *sql.DB) (shape, error) {
	return readShape(ctx, db,
		`SELECT m.name, c.name, c.type, c."notnull" AND c.pk = 0, c.dflt_value IS NOT NULL
			FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`,
		`SELECT m.name, i.name FROM sqlite_master m, pragma_index_list(m.name) i WHERE m.type = 'table' AND i."unique"`)
}

func postgresShape(ctx context.Context, db *sql.DB) (shape, error) {
	return readShape(ctx, db,
		`SELECT table_name, column_name, data_type, is_nullable = 'NO', column_default IS NOT NULL OR is_identity = 'YES' OR is_generated <> 'NEVER'
			FROM information_schema.columns WHERE table_schema = 'public'`,
		`SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE 'CREATE UNIQUE%'`)
}

func readShape(ctx context.Context, db *sql.DB, columns, unique string) (shape, error) {
	s := shape{tables: make(map[string]map[string]promise), unique: make(map[string]map[string]bool)}
	err := each(ctx, db, columns, func(rows *sql.Rows) error {
		var table, name string
		var c promise
		if err := rows.Scan(&table, &name, &c.kind, &c.required, &c.filled); err != nil {
			return err
		}
		if s.tables[table] == nil {
			s.tables[table] = make(map[string]promise)
		}
		s.tables[table][name] = c
		return nil
	})
	if err != nil {
		return s, err
	}
	return s, each(ctx, db, unique, func(rows *sql.Rows) error {
		var table, name string
		if err := rows.Scan(&table, &name); err != nil {
			return err
		}
		if s.unique[table] == nil {
			s.unique[table] = make(map[string]bool)
		}
		s.unique[table][name] = true
		return nil
	})
}

func each(ctx context.Context, db *sql.DB, query string, scan func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
