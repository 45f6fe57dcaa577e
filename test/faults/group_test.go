package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/client"
	"lockstep/client/admin"
	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// group is one server with one secret under one rotator, over one store.
type group struct {
	variant
	role    string
	server  *servertest.Server
	secrets *secretsmanager.Client
	admin   *admin.Client
	site    site
	// target is the site if that is PostgreSQL; else nil.
	target *pgtest.Server
	// store holds the server's database; nil if that is a file.
	store    *pgtest.Server
	storeDSN string
	control  control
	secret   string
	kills    int64
	// doing is the present case.
	doing string
	// observer is an open session: a new one for each look would spend most
	// of the suite's time on logging in.
	observer *pgx.Conn
}

// house says on what a group lives. The zero house shares what others use.
type house struct {
	// target and store are PostgreSQL servers of the group's own; nil: shared.
	target, store *pgtest.Server
	// dataDir is the server's data directory; empty: any.
	dataDir string
	// stepped puts a clock that can be stepped before PostgreSQL's own.
	stepped bool
}

func newGroup(t *testing.T, v variant, store string, h house) *group {
	t.Helper()
	g := &group{variant: v, site: sites[v.rotator](t, h), control: control(filepath.Join(t.TempDir(), "faults.sock")), secret: "app/" + v.rotator}
	if p, ok := g.site.(postgres); ok {
		g.target = p.Server
	}
	args := []string{"--lease", lease, "--min-interval", "1s", "--allow-exec-rotators"}
	if store == "postgresql" {
		g.openStore(t, h)
		args = append(args, "--store", g.storeDSN)
	}
	g.server = servertest.Start(t, servertest.Options{
		Tags: "faults", Args: args, Env: []string{"LOCKSTEP_FAULTS=" + string(g.control)}, DataDir: h.dataDir,
	})
	g.secrets = g.server.Secrets(t)
	g.admin = g.server.Admin(t)
	t.Cleanup(func() { g.unobserve(context.WithoutCancel(t.Context())) })
	g.createSecrets(t)
	return g
}

// openStore makes the server's database.
func (g *group) openStore(t *testing.T, h house) {
	t.Helper()
	g.store = h.store
	if g.store == nil {
		g.store = pgtest.Shared(t)
	}
	g.storeDSN = g.store.DatabaseDSN(t)
	if h.stepped {
		g.storeDSN = withClock(t, g.storeDSN)
	}
}

// observe is an open session of the superuser at the target.
func (g *group) observe(ctx context.Context) (*pgx.Conn, error) {
	if g.observer != nil && !g.observer.IsClosed() {
		return g.observer, nil
	}
	conn, err := pgx.Connect(ctx, g.target.AdminDSN())
	g.observer = conn
	return conn, err
}

func (g *group) unobserve(ctx context.Context) {
	if g.observer != nil {
		_ = g.observer.Close(ctx)
	}
}

// createSecrets makes the account at the target, the admin's secret and the
// application's, and turns rotation on.
func (g *group) createSecrets(t *testing.T) {
	t.Helper()
	v := g.site.prepare(t, g)
	if g.byAdmin {
		v.app["masterarn"] = g.create(t, "admin", v.admin)
	}
	g.create(t, g.secret, v.app)
	if v.register != nil {
		g.cli(t, append([]string{"rotator", "register"}, v.register...)...)
	}
	args := []string{"schedule", "set", g.secret, "--rotator", g.rotator, "--after-days", "30"}
	if g.retires {
		args = append(args, "--retire", "delay", "--retire-delay", "50ms")
	}
	g.cli(t, args...)
	g.rotate(t)
	g.settled(t)
}

func (g *group) cli(t *testing.T, args ...string) {
	t.Helper()
	if out, errOut, code := g.server.CLI(t.Context(), "", args...); code != 0 {
		t.Fatalf("%v: %s%s", args, out, errOut)
	}
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

// control is the socket of a server's fault listener.
type control string

// send gives the listener a command and returns its answer.
func (c control) send(t *testing.T, line string) string {
	t.Helper()
	answer, err := c.try(t, line)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// try is send to a server that may be dead.
func (c control) try(t *testing.T, line string) (string, error) {
	conn, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(t.Context(), "unix", string(c))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err == nil && !strings.HasSuffix(string(answer), "\n") {
		err = io.ErrUnexpectedEOF // it died over it
	}
	return strings.TrimSpace(string(answer)), err
}

func (g *group) command(t *testing.T, line string) string {
	t.Helper()
	return g.control.send(t, line)
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
	if len(seen) < 5 {
		t.Fatalf("a rotation made only %d calls that can be broken: %v", len(seen), seen)
	}
	return seen
}

// run is one case: break call n of a rotation, then look at everything.
func (g *group) run(t *testing.T, mode string, n int) {
	t.Helper()
	what := fmt.Sprintf("%s call %d", mode, n)
	g.doing = what
	g.command(t, fmt.Sprintf("arm %s %d", mode, n))
	g.rotate(t)
	if strings.HasPrefix(mode, "kill") && g.killed(t, what) {
		g.kills++
		if err := g.server.Restart(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	g.settled(t)
	if !strings.HasPrefix(mode, "kill") {
		g.command(t, "stop")
	}
	g.goodEnd(t, what)
}

// goodEnd looks at everything after a fault, and whether the next rotation
// works.
func (g *group) goodEnd(t *testing.T, what string) {
	t.Helper()
	g.healthy(t, what)
	token := g.rotate(t)
	g.settled(t)
	if current := g.stages(t)["AWSCURRENT"]; current != token {
		t.Fatalf("%s: the next rotation did not succeed: AWSCURRENT is %s, not %s\n%s", what, current, token, g.history(t))
	}
	g.healthy(t, what+", after the next rotation")
}

// killed waits until the process was killed, or the rotation ended without the
// call being reached; then nothing is armed any more.
func (g *group) killed(t *testing.T, what string) bool {
	t.Helper()
	if g.ended(t, what) {
		return true
	}
	if _, err := g.control.try(t, "stop"); err == nil {
		return false
	}
	return g.ended(t, what) // at the last moment
}

func (g *group) ended(t *testing.T, what string) bool {
	t.Helper()
	return g.reached(t, what, func(ctx context.Context) bool {
		sig, err := g.server.WaitExit(ctx)
		if err == nil && sig != syscall.SIGKILL {
			t.Fatalf("%s: the process ended by %v, not by SIGKILL", what, sig)
		}
		return err == nil
	})
}

// reached waits until there holds, or the rotation ended without that (the
// number of calls differs a little between rotations). There may wait until its
// context ends.
func (g *group) reached(t *testing.T, what string, there func(context.Context) bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	defer cancel()
	quiet := 0
	for {
		wait, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		yes := there(wait)
		stop()
		switch {
		case yes:
			return true
		case ctx.Err() != nil:
			t.Fatalf("%s: neither reached nor settled\n%s", what, g.history(t))
		}
		stages := g.tryStages(ctx, t)
		if _, open := stages["AWSPENDING"]; stages == nil || open || !g.oldShut(ctx, t) {
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
	if !g.settles(ctx, t) {
		t.Fatalf("%s: the run does not end\n%s", g.doing, g.history(t))
	}
}

// settles is settled that tells whether it was so in time.
func (g *group) settles(ctx context.Context, t *testing.T) bool {
	t.Helper()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		stages := g.tryStages(ctx, t)
		if _, open := stages["AWSPENDING"]; stages != nil && !open && g.oldShut(ctx, t) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// oldShut tells whether the old credential is shut, where it is to be.
func (g *group) oldShut(ctx context.Context, t *testing.T) bool {
	t.Helper()
	switch {
	case !g.retires:
		return true
	case g.target != nil:
		return g.oneAccount(ctx, t)
	}
	old, err := g.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &g.secret, VersionStage: aws.String("AWSPREVIOUS")})
	if err != nil {
		var none *types.ResourceNotFoundException
		return errors.As(err, &none)
	}
	return g.site.login(ctx, *old.SecretString) != nil
}

// oneAccount is oldShut at PostgreSQL, where roles can be looked at.
func (g *group) oneAccount(ctx context.Context, t *testing.T) bool {
	t.Helper()
	var open int
	conn, err := g.observe(ctx)
	if err != nil {
		return false // it is away: look again
	}
	err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_roles WHERE rolname IN ($1, $2) AND rolcanlogin", g.role, g.role+"_clone").Scan(&open)
	if err != nil {
		return false
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
	if err := g.site.login(t.Context(), *value.SecretString); err != nil {
		t.Fatalf("%s: the application's credential is dead: %v\n%s", what, err, g.history(t))
	}
}

// told asserts that a subscriber hears of every event of the secret, in order,
// and of each rotation once.
func (g *group) told(t *testing.T) {
	t.Helper()
	var want []lockstep.Event
	var last uint64
	for {
		page, err := g.admin.Events(t.Context(), admin.EventQuery{Secret: g.secret, After: last, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		want = append(want, page...)
		last = page[len(page)-1].Seq
	}
	c := g.server.Credentials(t)
	watching, err := client.New(t.Context(), client.Config{
		Endpoint: g.server.Endpoint, Region: "us-east-1", CAFile: g.server.CAFile, Name: "fault suite",
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretKey.Reveal(), ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Close()
	w, err := watching.Watch(t.Context(), client.WatchConfig{Since: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	defer cancel()
	for next := uint64(1); next <= last; {
		e, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("event %d of %d: %v", next, last, err)
		}
		if e.ARN != want[0].ARN {
			continue
		}
		if e.Seq != next {
			t.Fatalf("event %d follows %d", e.Seq, next-1)
		}
		next++
	}
	once := make(map[lockstep.VersionID]bool)
	for i, e := range want {
		if e.Seq != uint64(i)+1 {
			t.Fatalf("the store has event %d as the %d-th", e.Seq, i+1)
		}
		if e.Type == lockstep.EventVersionCurrent {
			if once[e.Data.VersionID] {
				t.Fatalf("version %s became current twice", e.Data.VersionID)
			}
			once[e.Data.VersionID] = true
		}
	}
}
