package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"lockstep"
	"lockstep/internal/mariadbtest"
	"lockstep/rotators"
	"lockstep/rotators/mysql"
	"lockstep/rotators/rotatortest"
)

// world is a server on which each test makes users of its own.
type world struct {
	*mariadbtest.Server
	admin lockstep.Value
}

// secret is what the tests read of a value.
type secret = rotatortest.Secret

// newWorld is the test binary's server, which writes down every statement, with
// an admin that has what the guide says and nothing else, and one that has less.
func newWorld(t testing.TB) *world {
	w := &world{Server: mariadbtest.Shared(t)}
	w.furnish(t)
	return w
}

// furnish makes what all tests use; it may be there already.
func (w *world) furnish(t testing.TB) {
	w.Must(t, "CREATE USER IF NOT EXISTS lockadmin IDENTIFIED BY '"+rotatortest.PasswordOfAdmin+"'",
		"GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO lockadmin",
		"GRANT SELECT, UPDATE ON mysql.* TO lockadmin", "GRANT ALL ON lockstep.* TO lockadmin",
		"CREATE DATABASE IF NOT EXISTS shop", "CREATE OR REPLACE TABLE shop.orders (n INT, note TEXT)", "INSERT INTO shop.orders VALUES (1, '')",
		"GRANT ALL ON shop.* TO lockadmin WITH GRANT OPTION",
		"CREATE USER IF NOT EXISTS weak IDENTIFIED BY 'feeble-secret-77'", "GRANT SELECT ON mysql.* TO weak")
	w.admin = w.value(t, "lockadmin", rotatortest.PasswordOfAdmin)
}

func (w *world) secret(user, password string) secret {
	return secret{
		Engine: "mariadb", Host: mariadbtest.Host, Port: w.Port(), User: user, Password: password,
		MasterARN: rotatortest.AdminARN, SSLMode: "disable",
	}
}

func (w *world) value(t testing.TB, user, password string) lockstep.Value {
	return w.secret(user, password).Value(t)
}

// conn logs in by the driver alone.
func (w *world) conn(ctx context.Context, s secret) (*sql.DB, *sql.Conn, error) {
	db, err := w.Open(s.User, s.Password)
	if err != nil {
		return nil, nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return db, conn, nil
}

func (w *world) accepts(t *testing.T, v lockstep.Value) bool {
	t.Helper()
	db, conn, err := w.conn(t.Context(), rotatortest.Read[secret](t, v))
	if err != nil {
		return false
	}
	return errors.Join(conn.Close(), db.Close()) == nil
}

func (w *world) session(t *testing.T, v lockstep.Value) <-chan struct{} {
	t.Helper()
	db, conn, err := w.conn(t.Context(), rotatortest.Read[secret](t, v))
	rotatortest.Check(t, err)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done; _, _ = conn.Close(), db.Close() })
	go func() {
		defer close(done)
		if _, err := conn.ExecContext(ctx, "DO SLEEP(3600)"); ctx.Err() == nil && err != nil {
			close(ended)
		}
	}()
	return ended
}

// target makes a user with a password and everything that the suite needs.
func (w *world) target(t *testing.T) rotatortest.Target {
	user := "app_" + rotatortest.RandomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+rotatortest.FirstPassword+"'", "GRANT SELECT, INSERT ON shop.* TO "+user)
	target := rotatortest.At(t, w.secret(user, rotatortest.FirstPassword), w.GeneralLog())
	target.Admin, target.WrongAdmin, target.NoRight = w.admin, w.value(t, "lockadmin", "wrong"), w.value(t, "weak", "feeble-secret-77")
	target.Accepts, target.Session = w.accepts, w.session
	target.Away = func(t *testing.T) { w.Pause(t) }
	target.Back = func(t *testing.T) { w.Resume(t) }
	return target
}

func single(t testing.TB) *mysql.Single {
	r, err := mysql.NewMariaDB(mysql.Config{})
	rotatortest.Check(t, err)
	return r
}

func alternating(t testing.TB) *mysql.Alternating {
	r, err := mysql.NewMariaDBAlternating(mysql.Config{})
	rotatortest.Check(t, err)
	return r
}

// Both rotators can do all that their kind can.
var (
	_ rotators.Identifier    = (*mysql.Single)(nil)
	_ rotators.Fencer        = (*mysql.Single)(nil)
	_ rotators.Planner       = (*mysql.Single)(nil)
	_ rotators.Identifier    = (*mysql.Alternating)(nil)
	_ rotators.Fencer        = (*mysql.Alternating)(nil)
	_ rotators.Retirer       = (*mysql.Alternating)(nil)
	_ rotators.Planner       = (*mysql.Alternating)(nil)
	_ rotators.Witness       = (*mysql.Single)(nil)
	_ rotators.Witness       = (*mysql.Alternating)(nil)
	_ rotators.SessionKiller = (*mysql.Alternating)(nil)
)

func TestConformance(t *testing.T) {
	w := newWorld(t)
	t.Run(mysql.NameMariaDB, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: w.target})
	})
	t.Run(mysql.NameMariaDB+" without an admin", func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: func(t *testing.T) rotatortest.Target {
			return w.target(t).WithoutAdmin()
		}})
	})
	t.Run(mysql.NameMariaDBAlternating, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: alternating(t), New: w.target})
	})
}
