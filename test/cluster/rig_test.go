// Package cluster runs Lockstep as a company does: API nodes, schedulers and
// workers as processes of their own on one PostgreSQL, three NATS servers
// beside them, applications under load; and disturbs them.
package cluster

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/client"
	"lockstep/client/admin"
	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// patience bounds what a test waits for on a busy machine.
const patience = 2 * time.Minute

// rig is a cluster, a target, and applications.
type rig struct {
	*servertest.Cluster
	target   *pgtest.Server
	balancer *balancer
	keys     aws.CredentialsProvider
	client   *client.Client
	admin    *admin.Client
	secrets  *secretsmanager.Client
	listener *listener
	apps     []*application
	names    []string
	arns     []lockstep.ARN
	every    time.Duration
	// grid is the first fire of each schedule.
	grid map[string]time.Time
	// down is true while the target itself is away.
	down atomic.Bool
}

// size is how many processes and applications a rig has, and how often each
// secret rotates.
type size struct {
	apis, schedulers, workers, apps int
	every                           time.Duration
}

// newRig starts everything. The target is a server apart from the store's, so
// that the store can be restarted under applications that go on.
func newRig(t *testing.T, store *pgtest.Server, n size) *rig {
	t.Helper()
	r := &rig{target: pgtest.Shared(t), every: n.every, grid: make(map[string]time.Time)}
	r.Cluster = servertest.StartCluster(t, servertest.ClusterOptions{
		Store: store.DatabaseDSN(t), APIs: n.apis, Schedulers: n.schedulers, Workers: n.workers,
		Args:   []string{"--min-interval", "1s", "--lease", "2s", "--drain-delay", "3s", "--workers", "4"},
		Config: "../../deploy/nats/nats.conf",
	})
	r.balancer = newBalancer(t, r.API)
	c := r.API[0].Credentials(t)
	r.keys = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretKey.Reveal(), "")
	var err error
	r.client, err = client.New(t.Context(), client.Config{
		Endpoint: r.balancer.url, Region: "us-east-1", Credentials: r.keys, CAFile: r.API[0].CAFile, Name: "cluster test",
		PollInterval: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	r.admin = r.client.Admin()
	r.secrets = secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: &r.balancer.url, Credentials: r.keys,
	})
	r.listener = listen(t, r.client)
	r.createSecrets(t, n.apps)
	for _, name := range r.names {
		r.apps = append(r.apps, startApplication(t, r.client, name, &r.down))
	}
	return r
}

func (r *rig) create(t *testing.T, name string, c servertest.Login) lockstep.ARN {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(string(raw))})
	if err != nil {
		t.Fatal(err)
	}
	return lockstep.ARN(*out.ARN)
}

// createSecrets makes an admin's secret and an alternating one for each
// application.
func (r *rig) createSecrets(t *testing.T, apps int) {
	t.Helper()
	db := r.target.Database(t)
	c := servertest.Login{Engine: "postgres", Host: "127.0.0.1", Port: r.target.Port(), DBName: db, Username: "postgres", Password: r.target.Password()}
	owner := r.create(t, "admin/db", c)
	for i := range apps {
		c.Username, c.Password, c.MasterARN = fmt.Sprintf("app%d_%s", i, db), "first-one", string(owner)
		r.target.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", c.Username))
		name := fmt.Sprintf("app/db%d", i)
		r.arns = append(r.arns, r.create(t, name, c))
		r.names = append(r.names, name)
		r.schedule(t, name)
	}
}

func (r *rig) schedule(t *testing.T, name string) {
	t.Helper()
	rotation, err := r.admin.SetRotation(t.Context(), name, admin.RotationChange{
		Rotator: aws.String("postgres-alternating"), Schedule: &admin.Schedule{Expression: "@every " + r.every.String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.grid[name] = rotation.NextRotation
}

// rotateMore waits until each secret has rotated n times more.
func (r *rig) rotateMore(t *testing.T, what string, n int) {
	t.Helper()
	want := make(map[lockstep.ARN]int)
	for _, arn := range r.arns {
		want[arn] = r.listener.rotations(arn) + n
	}
	r.listener.await(t, what, func() bool {
		for arn, least := range want {
			if r.listener.rotations(arn) < least {
				return false
			}
		}
		return true
	})
}

// settle ends the schedules and waits until no run is open.
func (r *rig) settle(t *testing.T) {
	t.Helper()
	for _, name := range r.names {
		if _, err := r.secrets.CancelRotateSecret(t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: &name}); err != nil {
			t.Fatal(err)
		}
	}
	r.listener.await(t, "every run to end", func() bool {
		page, err := r.admin.Runs(t.Context(), admin.RunQuery{Open: true})
		return err == nil && len(page.Runs) == 0
	})
}

// verify holds everything against the promises, once it is quiet.
func (r *rig) verify(t *testing.T) {
	t.Helper()
	result, err := r.admin.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !result.OK {
		t.Errorf("broken invariants: %+v", result.Violations)
	}
	for i, name := range r.names {
		r.verifyEvents(t, name, r.arns[i])
		r.verifyRuns(t, name)
		r.login(t, name)
	}
	for _, a := range r.apps {
		a.verdict(t)
	}
}

// verifyEvents: the listener has had every event that the store has.
func (r *rig) verifyEvents(t *testing.T, name string, arn lockstep.ARN) {
	t.Helper()
	last := r.lastSeq(t, name)
	r.listener.await(t, fmt.Sprintf("event %d of %s", last, name), func() bool {
		r.listener.mu.Lock()
		defer r.listener.mu.Unlock()
		return r.listener.seen[arn] >= last
	})
	r.listener.mu.Lock()
	defer r.listener.mu.Unlock()
	for _, f := range r.listener.faults {
		t.Errorf("events: %s", f)
	}
	r.listener.faults = nil
	seen := make(map[lockstep.VersionID]bool)
	for _, v := range r.listener.currents[arn] {
		if seen[v] {
			t.Errorf("%s: version %s became current twice", name, v)
		}
		seen[v] = true
	}
}

func (r *rig) lastSeq(t *testing.T, name string) uint64 {
	t.Helper()
	var last uint64
	for {
		events, err := r.admin.Events(t.Context(), admin.EventQuery{Secret: name, After: last, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return last
		}
		last = events[len(events)-1].Seq
	}
}

// verifyRuns: each run ended well, and each fire of the schedule started one at
// the most: a run's start moves the next fire to a later point of the grid, so
// two in one interval of it were one fire.
func (r *rig) verifyRuns(t *testing.T, name string) {
	t.Helper()
	fires := make(map[int64]lockstep.RunID)
	for _, run := range r.runsOf(t, name) {
		if run.State != lockstep.RunSucceeded && run.State != lockstep.RunCancelled {
			t.Errorf("run %s of %s ended as %s: %s", run.ID, name, run.State, run.Reason)
		}
		fire := int64(run.Created.Sub(r.grid[name]) / r.every)
		if other, twice := fires[fire]; twice {
			t.Errorf("%s: runs %s and %s for one fire", name, run.ID, other)
		}
		fires[fire] = run.ID
	}
}

func (r *rig) runsOf(t *testing.T, name string) []admin.Run {
	t.Helper()
	var all []admin.Run
	for q := (admin.RunQuery{Secret: name, Limit: 200}); ; {
		page, err := r.admin.Runs(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Runs...)
		if page.Next == "" {
			return all
		}
		q.Before = page.Next
	}
}

// login logs in with the current credential, as an application would.
func (r *rig) login(t *testing.T, name string) {
	t.Helper()
	value, err := r.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		t.Fatal(err)
	}
	var c servertest.Login
	if err := json.Unmarshal([]byte(*value.SecretString), &c); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), r.target.DSN(c.Username, c.Password, c.DBName))
	if err != nil {
		t.Errorf("%s: its credential is dead: %v", name, err)
		return
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
