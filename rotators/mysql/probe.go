package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// probeTimeout bounds one declared probe.
const probeTimeout = 10 * time.Second

// Test logs in with v as an application would, and runs its probes, each in a
// read-only transaction that is rolled back. Errors: TargetErrors;
// FaultRefusedLogin is the server's verdict, FaultPermanent a probe that fails
// for good (or a database that is missing or closed to the user).
func (b *base) Test(ctx context.Context, _ *rotators.Request, v lockstep.Value) error {
	val, err := b.read("the value", v)
	if err != nil {
		return err
	}
	c, err := b.login(ctx, val, oneStatement)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := b.greet(ctx, c); err != nil {
		return err
	}
	return runProbes(ctx, c, val)
}

func runProbes(ctx context.Context, c *conn, val *value) error {
	for i, probe := range val.Probes {
		if err := runProbe(ctx, c, probe); err != nil {
			return probeFault(fmt.Sprintf("run probe %d as %s", i+1, quote(val.User)), err)
		}
	}
	return nil
}

// TestEndpoints logs in through the replicas and poolers that v names. Errors:
// TargetErrors, as rotators.EndpointTester says.
func (b *base) TestEndpoints(ctx context.Context, _ *rotators.Request, v lockstep.Value) error {
	val, err := b.read("the value", v)
	if err != nil {
		return err
	}
	return val.EachEndpoint(ctx, func(ctx context.Context, at *value) error {
		c, err := b.login(ctx, at, oneStatement)
		if err != nil {
			return err
		}
		defer c.close()
		return runProbes(ctx, c, at)
	})
}

// runProbe runs one statement; none of it can leave the read-only transaction,
// since a login for tests sends single ones.
func runProbe(ctx context.Context, c *conn, query string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	tx, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, query)
	return errors.Join(err, tx.Rollback())
}

// passing are errors that may be gone at the next try.
var passing = []uint16{0, codeTooManyConnections, codeLockWait, codeDeadlock, 1053, 1203, 1226, 1317, 1969, 3024}

func probeFault(doing string, err error) *lockstep.TargetError {
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: wording(doing, err)}
	if !slices.Contains(passing, number(err)) {
		te.Fault = lockstep.FaultPermanent
		te.Hint = "grant the user what the probe needs, or correct the probe"
	}
	return te
}
