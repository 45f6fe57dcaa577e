package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"lockstep"
	"lockstep/rotators"
)

// probeTimeout bounds one declared probe.
const probeTimeout = 10 * time.Second

// Test logs in with v as an application would, and runs its probes, each in a
// read-only transaction that is rolled back. Errors: TargetErrors;
// FaultRefusedLogin is the server's verdict, FaultPermanent a probe that fails
// for good (or a database that is missing or closed to the role).
func (b *base) Test(ctx context.Context, _ *rotators.Request, v lockstep.Value) error {
	val, err := parse(v)
	if err != nil {
		return malformed("the value", err)
	}
	conn, err := b.login(ctx, val)
	if err != nil {
		b.doubt(val, err)
		return err
	}
	defer logout(ctx, conn)
	if err := primary(ctx, conn); err != nil {
		return err
	}
	return runProbes(ctx, conn, val)
}

func runProbes(ctx context.Context, conn *pgx.Conn, val *value) error {
	for i, probe := range val.Probes {
		if err := runProbe(ctx, conn, probe); err != nil {
			return probeFault(fmt.Sprintf("run probe %d as %s", i+1, quote(val.User)), err)
		}
	}
	return nil
}

// TestEndpoints logs in through the replicas and poolers that v names, and asks
// each something: a pooler may let a client in before its server does. Errors:
// TargetErrors, as rotators.EndpointTester says.
func (b *base) TestEndpoints(ctx context.Context, _ *rotators.Request, v lockstep.Value) error {
	val, err := parse(v)
	if err != nil {
		return malformed("the value", err)
	}
	return val.EachEndpoint(ctx, func(ctx context.Context, at *value) error {
		conn, err := b.login(ctx, at)
		if err != nil {
			return err
		}
		defer logout(ctx, conn)
		if err := runProbe(ctx, conn, "SELECT 1"); err != nil {
			return askFault("ask for one row", err)
		}
		return runProbes(ctx, conn, at)
	})
}

// doubt follows a refused login: if the host's name leads to another server by
// now, the sessions that were kept would go on changing the old one.
func (b *base) doubt(v *value, err error) {
	if lockstep.AsTargetError(err).Fault == lockstep.FaultRefusedLogin {
		b.sessions.forget(v.Server())
	}
}

// primary makes sure that the server decides for itself. Since 14 it says so
// at login.
func primary(ctx context.Context, conn *pgx.Conn) error {
	standby := conn.PgConn().ParameterStatus("in_hot_standby") == "on"
	if conn.PgConn().ParameterStatus("in_hot_standby") == "" {
		if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_is_in_recovery()").Scan(&standby); err != nil {
			return askFault("ask whether the server is a standby", err)
		}
	}
	if standby {
		return rotators.Transient("the server is a standby: its answer is no verdict")
	}
	return nil
}

// runProbe runs one query by the extended protocol, which takes a single
// statement: none of it can leave the read-only transaction.
func runProbe(ctx context.Context, conn *pgx.Conn, query string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, query)
	return errors.Join(err, tx.Rollback(ctx))
}

// passing are the classes of SQLSTATE that may be gone at the next try.
var passing = []string{"08", "40", "53", "55", "57", "58", "XX"}

func probeFault(doing string, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: wording(doing, err)}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok && !slices.Contains(passing, pg.Code[:2]) {
		te.Fault = lockstep.FaultPermanent
		te.Hint = "grant the role what the probe needs, or correct the probe"
	}
	return te
}
