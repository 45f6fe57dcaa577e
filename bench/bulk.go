package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // to write many rows past the store
	_ "modernc.org/sqlite"
)

// bulkStep is how many rows one statement writes.
const bulkStep = 100_000

// cloneSecrets copies the row of one Secret, each copy with a name of its own,
// among a thousand targets, and due a second after the one before. Its terms and
// its Versions are not copied: nothing that is measured reads them.
const cloneSecrets = `INSERT INTO secrets (account, region, name, arn, description, type, kms_key_id, tags, resource_policy,
	created, changed, accessed, delete_at, gone, primary_region, replicas, rotation, last_rotated, next_rotation,
	unverified, rotation_due, purge_due, name_key, next_verify, target_key, verify_due, rotates, max_age)
	WITH RECURSIVE n (i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $2)
	SELECT t.account, t.region, 'bulk/' || n.i, replace(t.arn, t.name, 'bulk/' || n.i), t.description, t.type, t.kms_key_id, t.tags,
	t.resource_policy, t.created, t.changed, t.accessed, t.delete_at, t.gone, t.primary_region, t.replicas, t.rotation,
	t.last_rotated, t.next_rotation + n.i * 1000000, t.unverified, t.rotation_due + n.i * 1000000, t.purge_due,
	replace(t.name_key, t.name, 'bulk/' || n.i), t.next_verify, 'target-' || (n.i % 1000), t.verify_due, t.rotates, t.max_age
	FROM secrets t, n WHERE t.name = $3` // #nosec G101 -- a statement

const cloneSlots = `INSERT INTO slots (secret) SELECT s.id FROM secrets s LEFT JOIN slots l ON l.secret = s.id WHERE l.secret IS NULL`

// open connects to a store's database past the store.
func open(dsn string) (*sql.DB, error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(normal)")
	}
	return sql.Open("pgx", dsn)
}

// cloneMany copies the Secret with this name n times.
func cloneMany(ctx context.Context, dsn, name string, n int) (err error) {
	db, err := open(dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for from := 1; from <= n; from += bulkStep {
		if _, err := db.ExecContext(ctx, cloneSecrets, from, min(from+bulkStep-1, n), name); err != nil {
			return fmt.Errorf("copy secrets: %w", err)
		}
	}
	if _, err := db.ExecContext(ctx, cloneSlots); err != nil {
		return fmt.Errorf("make slots: %w", err)
	}
	if !strings.HasPrefix(dsn, "sqlite:") {
		_, err = db.ExecContext(ctx, "ANALYZE") // as the server itself does after a while
	}
	return err
}

// place is a fresh store for one measurement: the data directory of a server in
// it, and PostgreSQL's database if that is the kind.
type place struct {
	*bench
	kind, dsn string
	// database is its name at PostgreSQL; empty with SQLite.
	database string
}

// stores are the kinds.
var stores = []string{"SQLite", "PostgreSQL"}

// at makes a place; remove takes it away.
func (b *bench) at(ctx context.Context, kind, name string) (*place, error) {
	own := *b
	own.dir, own.commits, own.ready = filepath.Join(b.dir, name+"-"+kind), newCommitLog(), false
	p := &place{bench: &own, kind: kind, dsn: "sqlite:" + filepath.Join(own.dir, "data", "lockstep.db")}
	if err := os.MkdirAll(filepath.Join(own.dir, "data"), 0o700); err != nil { // #nosec G703 -- a directory of the benchmark itself
		return nil, err
	}
	if kind == "SQLite" {
		return p, nil
	}
	p.database = "bench_" + name
	if err := b.pg.Exec(ctx, "CREATE DATABASE "+p.database); err != nil {
		return nil, err
	}
	u, err := url.Parse(b.pg.AdminDSN())
	if err != nil {
		return nil, err
	}
	u.Path = "/" + p.database
	p.dsn = u.String()
	own.store = p.dsn
	return p, nil
}

func (p *place) remove(ctx context.Context) error {
	err := os.RemoveAll(p.dir) // #nosec G703 -- a directory of the benchmark itself
	if p.database == "" {
		return err
	}
	return errors.Join(err, p.pg.Exec(ctx, "DROP DATABASE "+p.database+" WITH (FORCE)"))
}
