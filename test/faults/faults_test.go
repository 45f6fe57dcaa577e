// Package faults is the fault suite: it counts the calls of one rotation that
// touch the store, the target or the stream, and then, for each of them and
// each way to break it, breaks that one call of a real server, ends the process
// by SIGKILL where the way says so, starts it again, and looks whether every
// promise still holds: the invariants, the application's credential, and the
// next rotation.
package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/client/admin"
	"lockstep/internal/fault"
	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// caseTime bounds one case on a busy machine.
const caseTime = 90 * time.Second

// lease is long enough for a target call on a machine with other work, and
// short enough to be waited for after each crash.
const lease = "3s"

// parallel is how many groups run at once: they mostly wait for leases to run
// out, not for the processor.
const parallel = "24"

// full asks for every mode. Without it the process is killed after each call,
// not before: what is left then is what the kill after the call before it left,
// but for work in memory.
var full = flag.Bool("full", false, "also kill the process before each call")

func modes() []string {
	if *full {
		return fault.Modes()
	}
	return []string{fault.ModeFail, fault.ModeLose, fault.ModeKillAfter}
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestEveryCallBroken(t *testing.T) {
	var cases, kills atomic.Int64
	t.Run("group", func(t *testing.T) {
		for _, v := range variants {
			for _, store := range []string{"sqlite", "postgresql"} {
				for _, mode := range modes() {
					t.Run(v.name+"/"+store+"/"+mode, func(t *testing.T) {
						t.Parallel()
						g := newGroup(t, v, store)
						calls := g.count(t)
						t.Logf("one rotation makes %d calls: %s", len(calls), strings.Join(calls, " "))
						for n := 1; n <= len(calls); n++ {
							g.run(t, mode, n)
							cases.Add(1)
						}
						kills.Add(g.kills)
					})
				}
			}
		}
	})
	// make test prints attributes, also of tests that pass.
	t.Attr("fault-cases", fmt.Sprint(cases.Load()))
	t.Attr("sigkills-seen", fmt.Sprint(kills.Load()))
	if kills.Load() < cases.Load()/4 {
		t.Errorf("only %d of %d cases saw the process killed: the kill points are not reached", kills.Load(), cases.Load())
	}
}

// variant is a way to rotate.
type variant struct {
	name    string
	rotator string
	// admin tells whether the secret names an admin's; without one, the role
	// changes its own password.
	byAdmin bool
	// retires tells whether the old account is shut soon after finish.
	retires bool
}

var variants = []variant{
	{name: "postgres by an admin", rotator: "postgres", byAdmin: true},
	{name: "postgres by itself", rotator: "postgres"},
	{name: "postgres-alternating", rotator: "postgres-alternating", byAdmin: true, retires: true},
}

// group is one server with one secret under one rotator, over one store.
type group struct {
	variant
	role    string
	server  *servertest.Server
	secrets *secretsmanager.Client
	admin   *admin.Client
	target  *pgtest.Server
	control string
	secret  string
	kills   int64
	// observer is an open session: a new one for each look would spend most
	// of the suite's time on logging in.
	observer *pgx.Conn
}

func newGroup(t *testing.T, v variant, store string) *group {
	t.Helper()
	g := &group{variant: v, target: pgtest.Shared(t), control: filepath.Join(t.TempDir(), "faults.sock"), secret: "app/" + v.rotator}
	args := []string{"--lease", lease, "--min-interval", "1s"}
	if store == "postgresql" {
		args = append(args, "--store", g.target.DatabaseDSN(t))
	}
	g.server = servertest.Start(t, servertest.Options{
		Tags: "faults", Args: args, Env: []string{"LOCKSTEP_FAULTS=" + g.control},
	})
	g.secrets = g.server.Secrets(t)
	g.admin = g.server.Admin(t)
	var err error
	if g.observer, err = pgx.Connect(t.Context(), g.target.AdminDSN()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.observer.Close(context.WithoutCancel(t.Context())) })
	g.createSecrets(t)
	return g
}

// createSecrets makes the role at the target, the admin's secret and the
// application's, and turns rotation on.
func (g *group) createSecrets(t *testing.T) {
	t.Helper()
	db := g.target.Database(t)
	g.role = "app_" + db
	g.target.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", g.role))
	value := map[string]any{"engine": "postgres", "host": "127.0.0.1", "port": g.target.Port(), "dbname": db}
	admin := with(value, "username", "postgres", "password", g.target.Password())
	adminARN := g.create(t, "admin", admin)
	app := with(value, "username", g.role, "password", "first-one")
	if g.byAdmin {
		app["masterarn"] = adminARN
	}
	g.create(t, g.secret, app)
	args := []string{"schedule", "set", g.secret, "--rotator", g.rotator, "--after-days", "30"}
	if g.retires {
		args = append(args, "--retire", "delay", "--retire-delay", "50ms")
	}
	if out, errOut, code := g.server.CLI(t.Context(), "", args...); code != 0 {
		t.Fatalf("set schedule: %s%s", out, errOut)
	}
	g.rotate(t)
	g.settled(t)
}

func with(value map[string]any, pairs ...string) map[string]any {
	out := make(map[string]any)
	for k, v := range value {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

func (g *group) create(t *testing.T, name string, value map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
		Name: &name, SecretString: aws.String(string(raw)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ARN
}

// command talks to the server's fault listener.
func (g *group) command(t *testing.T, line string) string {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "unix", g.control)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintln(conn, line); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(answer))
}

// count lets some rotations run undisturbed and returns the calls of the one
// that made the fewest: the others met what was left of the one before.
func (g *group) count(t *testing.T) []string {
	t.Helper()
	var seen []string
	for range 3 {
		g.command(t, "arm fail 0")
		g.rotate(t)
		g.settled(t)
		calls := strings.Fields(g.command(t, "stop"))
		if seen == nil || len(calls) < len(seen) {
			seen = calls
		}
	}
	if len(seen) < 8 {
		t.Fatalf("a rotation made only %d calls that can be broken: %v", len(seen), seen)
	}
	return seen
}

// run is one case: break call n of a rotation, then look at everything.
func (g *group) run(t *testing.T, mode string, n int) {
	t.Helper()
	what := fmt.Sprintf("%s call %d", mode, n)
	g.command(t, fmt.Sprintf("arm %s %d", mode, n))
	g.rotate(t)
	if strings.HasPrefix(mode, "kill") {
		if g.killed(t, what) {
			g.kills++
			if err := g.server.Restart(t.Context()); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		} else {
			g.command(t, "stop")
		}
	}
	g.settled(t)
	if !strings.HasPrefix(mode, "kill") {
		g.command(t, "stop")
	}
	g.healthy(t, what)
	token := g.rotate(t)
	g.settled(t)
	if current := g.stages(t)["AWSCURRENT"]; current != token {
		t.Fatalf("%s: the next rotation did not succeed: AWSCURRENT is %s, not %s\n%s", what, current, token, g.history(t))
	}
	g.healthy(t, what+", after the next rotation")
}

// killed waits until the process was killed, or the rotation ended without the
// call being reached (the number of calls differs a little between rotations).
func (g *group) killed(t *testing.T, what string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	defer cancel()
	quiet := 0
	for {
		wait, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		sig, err := g.server.WaitExit(wait)
		stop()
		switch {
		case err == nil && sig == syscall.SIGKILL:
			return true
		case err == nil:
			t.Fatalf("%s: the process ended by %v, not by SIGKILL", what, sig)
		case ctx.Err() != nil:
			t.Fatalf("%s: neither killed nor settled\n%s", what, g.history(t))
		}
		if _, open := g.tryStages(ctx, t)["AWSPENDING"]; open {
			quiet = 0
			continue
		}
		if quiet++; quiet >= 10 {
			return false
		}
	}
}

// rotate asks for a rotation and returns its token. A request that meets a
// dying server is repeated with the same token, as every SDK does.
func (g *group) rotate(t *testing.T) string {
	t.Helper()
	token, err := lockstep.NewVersionID()
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.secrets.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: &g.secret, ClientRequestToken: aws.String(string(token)),
	})
	if err != nil {
		sig, _ := g.server.WaitExit(t.Context())
		if sig != syscall.SIGKILL {
			t.Fatalf("rotate: %v\n%s", err, g.history(t))
		}
	}
	return string(token)
}

// settled waits until no version is pending and no label moves: the run is
// final.
func (g *group) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	defer cancel()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		stages := g.tryStages(ctx, t)
		if _, open := stages["AWSPENDING"]; stages != nil && !open && g.oneAccount(ctx, t) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the run does not end\n%s", g.history(t))
		case <-tick.C:
		}
	}
}

// oneAccount tells whether the old account is shut, where it is to be.
func (g *group) oneAccount(ctx context.Context, t *testing.T) bool {
	t.Helper()
	if !g.retires {
		return true
	}
	var open int
	err := g.observer.QueryRow(ctx, "SELECT count(*) FROM pg_roles WHERE rolname IN ($1, $2) AND rolcanlogin", g.role, g.role+"_clone").Scan(&open)
	if err != nil {
		t.Fatal(err)
	}
	if open == 0 {
		t.Fatalf("no account is left that may log in\n%s", g.history(t))
	}
	return open == 1
}

func (g *group) tryStages(ctx context.Context, t *testing.T) map[string]string {
	out, err := g.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &g.secret})
	if err != nil {
		return nil
	}
	stages := make(map[string]string)
	for id, labels := range out.VersionIdsToStages {
		for _, label := range labels {
			stages[label] = id
		}
	}
	return stages
}

func (g *group) stages(t *testing.T) map[string]string { return g.tryStages(t.Context(), t) }

// history is the runs of the secret, for a failure's message.
func (g *group) history(t *testing.T) string {
	out, errOut, _ := g.server.CLI(t.Context(), "", "runs", g.secret)
	return out + errOut
}

// healthy asserts the promises: the invariants hold, and the application's
// credential logs in.
func (g *group) healthy(t *testing.T, what string) {
	t.Helper()
	result, err := g.admin.Check(t.Context())
	if err != nil {
		t.Fatalf("%s: check: %v", what, err)
	}
	if !result.OK {
		t.Fatalf("%s: check found broken invariants: %+v\n%s", what, result.Violations, g.history(t))
	}
	value, err := g.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &g.secret})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := g.login(t, *value.SecretString); err != nil {
		t.Fatalf("%s: the application's credential is dead: %v\n%s", what, err, g.history(t))
	}
}

func (g *group) login(t *testing.T, value string) error {
	t.Helper()
	var v struct{ Username, Password, DBName string }
	if err := json.Unmarshal([]byte(value), &v); err != nil {
		return errors.New("the value is no JSON")
	}
	conn, err := pgx.Connect(t.Context(), g.target.DSN(v.Username, v.Password, v.DBName))
	if err != nil {
		return err
	}
	return conn.Close(t.Context())
}
