package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"lockstep"
	"lockstep/rotators"
)

// change is one guarded change of roles.
type change struct {
	// doing says what it is, for errors.
	doing string
	// roles are those whose marker is looked at, in the order in which every
	// change of them alters them: two changes then never wait for each other.
	roles []string
	// mark writes the marker too; it takes an admin.
	mark bool
	// statements come first in the block. They alter each of roles, if only by
	// an ALTER ROLE that changes nothing: it takes the lock.
	statements []string
}

// markerPattern matches our marker in a role's comment, in SQL.
const markerPattern = `\[lockstep fence=([0-9]+) secret=([^] ]+)\]`

// settings come before a block, in the same message and so in its transaction,
// with which they end: our own rights even if the login has a SET ROLE, names
// that nobody can put others in front of, literals read as we write them, and
// the time limit of each statement.
func settings(limit time.Duration) string {
	return fmt.Sprintf(`SET TRANSACTION READ WRITE; SET LOCAL ROLE NONE; SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on; SET LOCAL statement_timeout = %[1]d; SET LOCAL lock_timeout = %[1]d;
`, max(limit.Milliseconds(), 1))
}

// apply makes the change under NOT-AFTER: now is the server's clock, read
// before. Errors: TargetErrors as changeFault says.
func apply(ctx context.Context, conn *pgx.Conn, r *rotators.Request, now time.Time, c change) error {
	notAfter, err := r.Guard.NotAfter(ctx, now)
	if err != nil {
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s: extend lease: %w", c.doing, err)}
	}
	return send(ctx, conn, c, block(c, r, &notAfter), notAfter.Sub(now))
}

// send sends a block, with its time limit as statement and lock timeout.
func send(ctx context.Context, conn *pgx.Conn, c change, sql string, limit time.Duration) error {
	if _, err := conn.PgConn().Exec(ctx, settings(limit)+sql).ReadAll(); err != nil {
		return changeFault(c.doing, err)
	}
	return nil
}

// block writes the DO block; nil for notAfter means without a time limit.
func block(c change, r *rotators.Request, notAfter *time.Time) string {
	var b strings.Builder
	b.WriteString("DECLARE\n\tsaid text;\n\tfound text[];\n\tone text;\nBEGIN\n")
	for _, s := range c.statements {
		b.WriteString("\t" + s + ";\n")
	}
	names := make([]string, len(c.roles))
	for i, n := range c.roles {
		names[i] = literal(n)
	}
	marker := fmt.Sprintf("[lockstep fence=%d secret=%s]", r.Guard.Fence, r.ARN)
	fmt.Fprintf(&b, `	FOREACH one IN ARRAY ARRAY[%s]::text[] LOOP
		said := (SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = one);
		found := regexp_match(said, %s);
		IF found[2] <> %s THEN
			RAISE EXCEPTION 'role "%%" is managed by another secret, %%', one, found[2] USING ERRCODE = '%s';
		END IF;
		IF found[1]::numeric > %d THEN
			RAISE EXCEPTION 'role "%%" has the marker of a newer claim, %%', one, found[1]
				USING ERRCODE = '%s', COLUMN = found[1];
		END IF;
`, strings.Join(names, ", "), literal(markerPattern), literal(string(r.ARN)), codeOtherSecret, r.Guard.Fence, codeNewerClaim)
	if c.mark {
		fmt.Fprintf(&b, `		said := CASE WHEN found IS NULL THEN concat_ws(' ', nullif(said, ''), %[1]s)
			ELSE regexp_replace(said, %[2]s, %[1]s) END;
		EXECUTE format('COMMENT ON ROLE %%I IS %%L', one, said);
`, literal(marker), literal(markerPattern))
	}
	b.WriteString("\tEND LOOP;\n")
	if notAfter != nil {
		fmt.Fprintf(&b, `	IF clock_timestamp() > %s::timestamptz THEN
		RAISE EXCEPTION 'the change came too late' USING ERRCODE = '%s';
	END IF;
`, literal(notAfter.UTC().Format("2006-01-02T15:04:05.000000Z")), codeLate)
	}
	b.WriteString("END")
	return doBlock(b.String())
}

// doBlock makes PL/pgSQL a statement. Nothing in it can end it: the tag is new
// each time.
func doBlock(body string) string {
	tag := "$lk" + strings.ToLower(rand.Text()) + "$"
	return "DO " + tag + "\n" + body + "\n" + tag
}

// raiseTimeout bounds a Raise: it has no NOT-AFTER, since a late one is
// refused by the marker that it finds, or harmless.
const raiseTimeout = 10 * time.Second

// raise writes the marker alone.
func raise(ctx context.Context, conn *pgx.Conn, r *rotators.Request, roles []string) (uint64, error) {
	c := change{doing: "raise marker", roles: roles, mark: true}
	for _, n := range roles {
		c.statements = append(c.statements, "ALTER ROLE "+quote(n))
	}
	err := send(ctx, conn, c, block(c, r, nil), raiseTimeout)
	if err == nil {
		return r.Guard.Fence, nil
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeNewerClaim {
		if higher, perr := strconv.ParseUint(pg.ColumnName, 10, 64); perr == nil {
			return higher, nil
		}
	}
	return 0, err
}
