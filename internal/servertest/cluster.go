package servertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// natsServer is the program of the NATS nodes, at the version in go.mod.
const natsServer = "github.com/nats-io/nats-server/v2"

// ClusterOptions says how a cluster is made.
type ClusterOptions struct {
	// Store is the connection string of an empty PostgreSQL database.
	Store string
	// APIs, Schedulers and Workers are how many nodes have that role; the
	// schedulers relay too. At least one each.
	APIs, Schedulers, Workers int
	// Args are further flags of every node.
	Args []string
	// Config is the NATS servers' settings: the path of deploy/nats/nats.conf.
	Config string
	// Tags are the build tags of the nodes' binary.
	Tags string
	// WorkerEnv are further variables of worker i, from 0; nil: none.
	WorkerEnv func(i int) []string
}

// Cluster is Lockstep as processes of their own on one PostgreSQL, beside
// three NATS servers, with the files that `lockstep cluster init` makes.
type Cluster struct {
	// Dir holds the shared files.
	Dir        string
	NATS       []*Process
	API        []*Server
	Schedulers []*Process
	Workers    []*Process

	options ClusterOptions
	binary  string
	natsURL string
}

// StartCluster starts one and waits until every node is ready. It ends with
// the test.
func StartCluster(t testing.TB, o ClusterOptions) *Cluster {
	t.Helper()
	c := &Cluster{Dir: filepath.Join(t.TempDir(), "cluster"), options: o, binary: Build(t, o.Tags)}
	init := exec.CommandContext(t.Context(), c.binary, "cluster", "init", "--dir", c.Dir, "--nats-hosts", "127.0.0.1") // #nosec G204 -- the binary that was built here
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("lockstep cluster init: %v\n%s", err, out)
	}
	c.startNATS(t)
	c.startAPIs(t)
	for i := range o.Schedulers {
		c.Schedulers = append(c.Schedulers, c.node(t, fmt.Sprintf("scheduler%d", i+1), "scheduler,relay", nil))
	}
	for i := range o.Workers {
		var env []string
		if o.WorkerEnv != nil {
			env = o.WorkerEnv(i)
		}
		c.Workers = append(c.Workers, c.node(t, fmt.Sprintf("worker%d", i+1), "worker", env))
	}
	for _, p := range c.Nodes() {
		if err := p.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Nodes are the processes of Lockstep: first those with the role api, then the
// schedulers, then the workers.
func (c *Cluster) Nodes() []*Process {
	var all []*Process
	for _, s := range c.API {
		all = append(all, s.Process)
	}
	return append(append(all, c.Schedulers...), c.Workers...)
}

// startNATS starts three servers with the settings that operators get.
func (c *Cluster) startNATS(t testing.TB) {
	t.Helper()
	program := build(t, natsServer, "")
	dir := filepath.Join(c.Dir, "nats")
	settings, err := os.ReadFile(c.options.Config)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(conf, settings, 0o600); err != nil { // #nosec G703 -- a file of the test's own directory
		t.Fatal(err)
	}
	var routes, urls []string
	var listen, cluster [3]string
	for i := range listen {
		listen[i], cluster[i] = freeAddress(t), freeAddress(t)
		routes = append(routes, `"tls://`+cluster[i]+`"`)
		urls = append(urls, "tls://"+listen[i])
	}
	c.natsURL = strings.Join(urls, ",")
	for i := range listen {
		p := &Process{
			Name: fmt.Sprintf("nats%d", i+1), path: program, args: []string{"-c", conf}, log: &lockedBuffer{},
			env: []string{
				fmt.Sprintf("NATS_NAME=nats%d", i+1), "NATS_LISTEN=" + listen[i], "NATS_CLUSTER_LISTEN=" + cluster[i],
				"NATS_ROUTES=[ " + strings.Join(routes, ", ") + " ]", "NATS_STORE=" + t.TempDir(),
				"NATS_CERT=" + filepath.Join(dir, "127.0.0.1.pem"), "NATS_KEY=" + filepath.Join(dir, "127.0.0.1-key.pem"),
				"NATS_CA=" + filepath.Join(dir, "ca.pem"),
			},
			ready: func(ctx context.Context) bool { return listens(ctx, listen[i]) },
		}
		p.endWith(t)
		if err := p.Launch(); err != nil {
			t.Fatal(err)
		}
		c.NATS = append(c.NATS, p)
	}
	for _, p := range c.NATS {
		if err := p.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func listens(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// shared are the flags of every node.
func (c *Cluster) shared(roles string) []string {
	return append([]string{
		"serve", "--roles", roles, "--store", c.options.Store, "--root-key", filepath.Join(c.Dir, "root.key"),
		"--nats-url", c.natsURL, "--nats-login", filepath.Join(c.Dir, "nats-login.yaml"),
		"--nats-ca", filepath.Join(c.Dir, "ca", "ca.pem"),
	}, c.options.Args...)
}

// startAPIs starts the nodes that answer requests. The first makes the root
// user; the others' directories get a copy of the credentials, for tests.
func (c *Cluster) startAPIs(t testing.TB) {
	t.Helper()
	for i := range c.options.APIs {
		s := &Server{Binary: c.binary, DataDir: filepath.Join(t.TempDir(), "data"), CAFile: filepath.Join(c.Dir, "ca", "ca.pem")}
		args := append(c.shared("api"), "--data-dir", s.DataDir, "--ca-dir", filepath.Join(c.Dir, "ca"), "--listen", freeAddress(t))
		s.Process = &Process{Name: fmt.Sprintf("api%d", i+1), path: c.binary, args: args, ready: s.ready, log: &lockedBuffer{}}
		s.endWith(t)
		c.API = append(c.API, s)
		if i > 0 {
			copyCredentials(t, c.API[0].DataDir, s.DataDir)
		}
		if err := s.Launch(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := s.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func copyCredentials(t testing.TB, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(from, "credentials")) // #nosec G304 -- the tests' own directories
	if err == nil {
		err = os.Mkdir(to, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "credentials"), raw, 0o600) // #nosec G703 -- the tests' own directories
	}
	if err != nil {
		t.Fatal(err)
	}
}

// node launches one without an API, and without a directory of its own.
func (c *Cluster) node(t testing.TB, name, roles string, env []string) *Process {
	t.Helper()
	monitor := freeAddress(t)
	p := &Process{
		Name: name, path: c.binary, env: env, log: &lockedBuffer{},
		args:  append(c.shared(roles), "--node-name", name, "--metrics-listen", monitor, "--audit-dir", filepath.Join(c.Dir, "audit")),
		ready: func(ctx context.Context) bool { return answers(ctx, http.DefaultClient, "http://"+monitor+"/readyz") },
	}
	p.endWith(t)
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	return p
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
