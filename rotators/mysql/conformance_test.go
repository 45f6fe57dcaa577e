package mysql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
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
type secret struct {
	Engine    string   `json:"engine"`
	Host      string   `json:"host"`
	Port      int      `json:"port"`
	Database  string   `json:"dbname,omitempty"`
	User      string   `json:"username"`
	Password  string   `json:"password"`
	MasterARN string   `json:"masterarn,omitempty"`
	SSLMode   string   `json:"sslmode,omitempty"`
	Probes    []string `json:"probes,omitempty"`
}

func (s secret) value(t testing.TB) lockstep.Value {
	t.Helper()
	b, err := json.Marshal(s)
	check(t, err)
	return lockstep.StringValue(string(b))
}

func read(t testing.TB, v lockstep.Value) secret {
	t.Helper()
	var s secret
	check(t, json.Unmarshal(v.Bytes(), &s))
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func randomName() string { return strings.ToLower(rand.Text()[:10]) }

const (
	adminARN        = "arn:aws:secretsmanager:us-east-1:000000000000:secret:admin-AbCdEf"
	passwordOfAdmin = "boss-secret-7Hq2"
	firstPassword   = "first-secret-1x"
)

// newWorld is the test binary's server, which writes down every statement, with
// an admin that has what the guide says and nothing else, and one that has less.
func newWorld(t testing.TB) *world {
	w := &world{Server: mariadbtest.Shared(t)}
	w.furnish(t)
	return w
}

// furnish makes what all tests use; it may be there already.
func (w *world) furnish(t testing.TB) {
	w.Must(t, "CREATE USER IF NOT EXISTS lockadmin IDENTIFIED BY '"+passwordOfAdmin+"'",
		"GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO lockadmin",
		"GRANT SELECT, UPDATE ON mysql.* TO lockadmin", "GRANT ALL ON lockstep.* TO lockadmin",
		"CREATE DATABASE IF NOT EXISTS shop", "CREATE OR REPLACE TABLE shop.orders (n INT, note TEXT)", "INSERT INTO shop.orders VALUES (1, '')",
		"GRANT ALL ON shop.* TO lockadmin WITH GRANT OPTION",
		"CREATE USER IF NOT EXISTS weak IDENTIFIED BY 'feeble-secret-77'", "GRANT SELECT ON mysql.* TO weak")
	w.admin = w.value(t, "lockadmin", passwordOfAdmin)
}

func (w *world) secret(user, password string) secret {
	return secret{
		Engine: "mariadb", Host: mariadbtest.Host, Port: w.Port(), User: user, Password: password,
		MasterARN: adminARN, SSLMode: "disable",
	}
}

func (w *world) value(t testing.TB, user, password string) lockstep.Value {
	return w.secret(user, password).value(t)
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
	db, conn, err := w.conn(t.Context(), read(t, v))
	if err != nil {
		return false
	}
	return errors.Join(conn.Close(), db.Close()) == nil
}

func (w *world) session(t *testing.T, v lockstep.Value) <-chan struct{} {
	t.Helper()
	db, conn, err := w.conn(t.Context(), read(t, v))
	check(t, err)
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
	user := "app_" + randomName()
	w.Must(t, "CREATE USER "+user+" IDENTIFIED BY '"+firstPassword+"'", "GRANT SELECT, INSERT ON shop.* TO "+user)
	from := w.logSize(t) // what stands before is the test's own doing
	return rotatortest.Target{
		ARN:     lockstep.ARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:" + user + "-AbCdEf"),
		Current: w.value(t, user, firstPassword), Admin: w.admin, Marks: true,
		WrongAdmin: w.value(t, "lockadmin", "wrong"),
		NoRight:    w.value(t, "weak", "feeble-secret-77"),
		Wrong: func(t *testing.T, v lockstep.Value) lockstep.Value {
			s := read(t, v)
			s.Password = "nobody-knows-this-1"
			return s.value(t)
		},
		Accepts: w.accepts,
		Session: w.session,
		Away:    func(t *testing.T) { w.Pause(t) },
		Back:    func(t *testing.T) { w.Resume(t) },
		Address: net.JoinHostPort(mariadbtest.Host, strconv.Itoa(w.Port())),
		Through: func(t *testing.T, v lockstep.Value, address string) lockstep.Value {
			s := read(t, v)
			_, port, err := net.SplitHostPort(address)
			check(t, err)
			s.Port, err = strconv.Atoi(port)
			check(t, err)
			return s.value(t)
		},
		Clear: func(t *testing.T, v lockstep.Value) string { return read(t, v).Password },
		Log:   func(t *testing.T) string { return w.logFrom(t, from) },
	}
}

func (w *world) logSize(t *testing.T) int64 {
	info, err := os.Stat(w.GeneralLog())
	check(t, err)
	return info.Size()
}

func (w *world) logFrom(t *testing.T, from int64) string {
	t.Helper()
	b, err := os.ReadFile(w.GeneralLog())
	check(t, err)
	return string(b[from:])
}

func single(t testing.TB) *mysql.Single {
	r, err := mysql.NewMariaDB(mysql.Config{})
	check(t, err)
	return r
}

func alternating(t testing.TB) *mysql.Alternating {
	r, err := mysql.NewMariaDBAlternating(mysql.Config{})
	check(t, err)
	return r
}

// Both rotators can do all that their kind can.
var (
	_ rotators.Identifier = (*mysql.Single)(nil)
	_ rotators.Fencer     = (*mysql.Single)(nil)
	_ rotators.Planner    = (*mysql.Single)(nil)
	_ rotators.Identifier = (*mysql.Alternating)(nil)
	_ rotators.Fencer     = (*mysql.Alternating)(nil)
	_ rotators.Retirer    = (*mysql.Alternating)(nil)
	_ rotators.Planner    = (*mysql.Alternating)(nil)
)

func TestConformance(t *testing.T) {
	w := newWorld(t)
	t.Run(mysql.NameMariaDB, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: w.target})
	})
	t.Run(mysql.NameMariaDB+" without an admin", func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: single(t), New: func(t *testing.T) rotatortest.Target {
			target := w.target(t)
			target.Admin, target.WrongAdmin, target.NoRight = lockstep.Value{}, lockstep.Value{}, lockstep.Value{}
			target.Marks = false
			return target
		}})
	})
	t.Run(mysql.NameMariaDBAlternating, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: alternating(t), New: w.target})
	})
}
