package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/rotators"
	"lockstep/rotators/rotatortest"
)

// BenchmarkRotation measures create, set and test of one password on a real
// server, at several workers, each with a role of its own; "raw" is the least
// that any program can do: ALTER ROLE on an open connection, and one login.
func BenchmarkRotation(b *testing.B) {
	s := pgtest.Start(b)
	s.Must(b, "CREATE ROLE lockadmin LOGIN CREATEROLE PASSWORD '"+rotatortest.PasswordOfAdmin+"'")
	w := &world{Server: s, database: "postgres"}
	w.admin = w.value(b, "lockadmin", rotatortest.PasswordOfAdmin)
	for _, workers := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("raw/%d", workers), func(b *testing.B) { measure(b, workers, w.rawWorker) })
		b.Run(fmt.Sprintf("single/%d", workers), func(b *testing.B) {
			r := single(b)
			measure(b, workers, func(b *testing.B) func() error { return w.rotatingWorker(b, r) })
		})
		b.Run(fmt.Sprintf("alternating/%d", workers), func(b *testing.B) {
			r := alternating(b)
			measure(b, workers, func(b *testing.B) func() error { return w.rotatingWorker(b, r) })
		})
	}
}

// measure shares b.N rotations among workers.
func measure(b *testing.B, workers int, start func(*testing.B) func() error) {
	work := make([]func() error, workers)
	for i := range work {
		work[i] = start(b)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, workers)
	b.ResetTimer()
	for _, one := range work {
		go func() {
			for left.Add(-1) >= 0 {
				if err := one(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range work {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rotations/s")
}

func (w *world) rawWorker(b *testing.B) func() error {
	user := "raw_" + rotatortest.RandomName()
	w.Must(b, "CREATE ROLE "+user+" LOGIN")
	admin := w.Connect(b, "lockadmin", rotatortest.PasswordOfAdmin, "postgres")
	n := 0
	return func() error {
		n++
		password := fmt.Sprintf("password-%d", n)
		if _, err := admin.Exec(b.Context(), "ALTER ROLE "+user+" PASSWORD '"+password+"'"); err != nil {
			return err
		}
		conn, err := pgx.Connect(b.Context(), w.DSN(user, password, "postgres"))
		if err != nil {
			return err
		}
		return conn.Close(b.Context())
	}
}

func (w *world) rotatingWorker(b *testing.B, r rotators.Chooser) func() error {
	e := w.engine(b, r, "rot_"+rotatortest.RandomName())
	return func() error {
		pending, err := e.Rotator.Create(b.Context(), e.Request(lockstep.Value{}))
		if err != nil {
			return err
		}
		if err := e.Rotator.Set(b.Context(), e.Request(pending)); err != nil {
			return err
		}
		if err := e.Rotator.Test(b.Context(), e.Request(pending), pending); err != nil {
			return err
		}
		e.Current = pending
		return nil
	}
}
