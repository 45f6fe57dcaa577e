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
	b.WriteString("DECLARE\n\tsaid text;\n\tfound text[];\nBEGIN\n")
	for _, s := range c.statements {
		b.WriteString("\t" + s + ";\n")
	}
	for _, role := range c.roles {
		writeMarker(&b, c, r, role)
	}
	if notAfter != nil {
		fmt.Fprintf(&b, `	IF clock_timestamp() > %s::timestamptz THEN
		RAISE EXCEPTION 'the change came too late' USING ERRCODE = '%s';
	END IF;
`, literal(notAfter.UTC().Format("2006-01-02T15:04:05.000000Z")), codeLate)
	}
	b.WriteString("END")
	return doBlock(b.String())
}

// writeMarker looks at the marker in a role's comment, and writes ours. The
// server parses and plans each expression of a block anew, and that costs it
// more than the change itself: so there are few, and none needs a join. 1260 is
// pg_authid in every version.
func writeMarker(b *strings.Builder, c change, r *rotators.Request, role string) {
	fmt.Fprintf(b, `	said := (SELECT description FROM pg_shdescription WHERE classoid = 1260 AND objoid = to_regrole(%[1]s));
	found := regexp_match(said, %[2]s);
	IF found[2] <> %[3]s OR found[1]::numeric > %[4]d THEN
		IF found[2] <> %[3]s THEN
			RAISE EXCEPTION 'role "%%" is managed by another secret, %%', %[5]s, found[2] USING ERRCODE = '%[6]s';
		END IF;
		RAISE EXCEPTION 'role "%%" has the marker of a newer claim, %%', %[5]s, found[1]
			USING ERRCODE = '%[7]s', COLUMN = found[1];
	END IF;
`, literal(quote(role)), literal(markerPattern), literal(string(r.ARN)), r.Guard.Fence, literal(role), codeOtherSecret, codeNewerClaim)
	if !c.mark {
		return
	}
	marker := fmt.Sprintf("[lockstep fence=%d secret=%s]", r.Guard.Fence, r.ARN)
	fmt.Fprintf(b, `	EXECUTE format('COMMENT ON ROLE %%I IS %%L', %[1]s, CASE WHEN found IS NULL
		THEN concat_ws(' ', nullif(said, ''), %[2]s) ELSE regexp_replace(said, %[3]s, %[2]s) END);
`, literal(role), literal(marker), literal(markerPattern))
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
