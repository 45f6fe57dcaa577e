package faults

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"lockstep/internal/mariadbtest"
	"lockstep/internal/pgtest"
	"lockstep/internal/redistest"
	"lockstep/internal/tokentest"
)

// values are what a group begins with.
type values struct {
	// app is the application's; a JSON object, to which masterarn may be added.
	app map[string]any
	// admin is the admin's; nil: there is none.
	admin map[string]any
	// register is what registers the rotator; nil: it is there.
	register []string
}

// site is where a variant's credential is accepted.
type site interface {
	// prepare makes the account.
	prepare(t *testing.T, g *group) values
	// login is what the application does with its value.
	login(ctx context.Context, value string) error
}

// sites are how each class of rotator gets its target.
var sites = map[string]func(t *testing.T, h house) site{
	"postgres":             postgresSite,
	"postgres-alternating": postgresSite,
	"mariadb":              mariaSite,
	"mariadb-alternating":  mariaSite,
	"redis":                redisSite,
	"generic":              func(*testing.T, house) site { return nowhere{} },
	"own":                  fileSite,
	"test-tokens":          tokenSite,
}

// credential is what the tests read of a value.
type credential struct{ Username, Password, DBName string }

func readCredential(value string) (credential, error) {
	var c credential
	if err := json.Unmarshal([]byte(value), &c); err != nil {
		return c, errors.New("the value is no JSON")
	}
	return c, nil
}

func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:10]) }

// postgres is the site that disturbances take away, and whose roles are looked
// at by an open session; see group.
type postgres struct{ *pgtest.Server }

func postgresSite(t *testing.T, h house) site {
	if h.target != nil {
		return postgres{h.target}
	}
	return postgres{pgtest.Shared(t)}
}

func (p postgres) prepare(t *testing.T, g *group) values {
	t.Helper()
	db := p.Database(t)
	g.role = "app_" + db
	p.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", g.role))
	value := map[string]any{"engine": "postgres", "host": "127.0.0.1", "port": p.Port(), "dbname": db}
	return values{
		app:   with(value, "username", g.role, "password", "first-one"),
		admin: with(value, "username", "postgres", "password", p.Password()),
	}
}

func (p postgres) login(ctx context.Context, value string) error {
	c, err := readCredential(value)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, p.DSN(c.Username, c.Password, c.DBName))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

type maria struct{ *mariadbtest.Server }

func mariaSite(t *testing.T, _ house) site { return maria{mariadbtest.Shared(t)} }

func (m maria) prepare(t *testing.T, _ *group) values {
	t.Helper()
	user := unique("app_")
	m.Must(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'first-one'", user))
	value := map[string]any{"engine": "mariadb", "host": mariadbtest.Host, "port": m.Port()}
	return values{
		app:   with(value, "username", user, "password", "first-one"),
		admin: with(value, "username", mariadbtest.Root, "password", m.RootPassword()),
	}
}

func (m maria) login(ctx context.Context, value string) error {
	c, err := readCredential(value)
	if err != nil {
		return err
	}
	db, err := m.Open(c.Username, c.Password)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return db.PingContext(ctx)
}

type redisServer struct{ *redistest.Server }

func redisSite(t *testing.T, _ house) site { return redisServer{redistest.Start(t)} }

func (r redisServer) prepare(t *testing.T, _ *group) values {
	t.Helper()
	user := unique("app-")
	r.Must(t, []any{"ACL", "SETUSER", user, "on", ">first-one", "~*", "+@all"}, []any{"ACL", "SAVE"})
	value := map[string]any{"engine": "redis", "host": redistest.Host, "port": r.Port()}
	return values{
		app:   with(value, "username", user, "password", "first-one"),
		admin: with(value, "username", redistest.Superuser, "password", redistest.SuperPassword),
	}
}

func (r redisServer) login(ctx context.Context, value string) error {
	c, err := readCredential(value)
	if err != nil {
		return err
	}
	client := r.Client(c.Username, c.Password)
	defer func() { _ = client.Close() }()
	return client.Ping(ctx).Err()
}

// nowhere accepts everything: nobody is told of the value.
type nowhere struct{}

func (nowhere) prepare(*testing.T, *group) values {
	return values{app: map[string]any{"apiKey": "first-one"}}
}

func (nowhere) login(context.Context, string) error { return nil }

// file is a target that accepts what stands in a file. The function that
// rotates it is this test binary.
type file string

func fileSite(t *testing.T, _ house) site {
	return file(filepath.Join(t.TempDir(), "accepted"))
}

func (f file) prepare(t *testing.T, _ *group) values {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	return values{
		app:      map[string]any{"password": "first-one"},
		register: []string{"own", "--exec", fmt.Sprintf("%s='%s' exec '%s'", functionTarget, f, self)},
	}
}

func (f file) login(_ context.Context, value string) error {
	accepted, err := os.ReadFile(string(f))
	if err == nil && string(accepted) != value {
		err = errors.New("the file holds another value")
	}
	return err
}

// provider issues tokens, of which several are valid.
type provider struct{ *tokentest.Server }

func tokenSite(t *testing.T, _ house) site { return provider{tokentest.Start(t, tokentest.Options{})} }

func (p provider) prepare(*testing.T, *group) values {
	first := p.First("by hand")
	return values{app: map[string]any{"url": p.URL(), "id": first.ID, "token": first.Secret}}
}

// login also counts: AWSCURRENT, the token before it, and no orphan.
func (p provider) login(_ context.Context, value string) error {
	var v struct{ Token string }
	if err := json.Unmarshal([]byte(value), &v); err != nil {
		return errors.New("the value is no JSON")
	}
	if n := len(p.Tokens()); !p.Accepts(v.Token) || n > 2 {
		return fmt.Errorf("the provider accepts it: %t; %d tokens work", p.Accepts(v.Token), n)
	}
	return nil
}
