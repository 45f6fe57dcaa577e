package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"lockstep"
	"lockstep/internal/freeport"
)

// cluster is three NATS servers as an operator would run them, in this
// process, with the authorization callout in their configuration.
type cluster struct {
	servers [3]*server.Server
	keys    calloutKeys
	url     string
}

// startCluster tries again with other ports: each server has to name the others'
// before they listen, and somebody else may be given one meanwhile.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	keys, err := newCalloutKeys()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{keys: keys}
	for range 3 {
		if c.form(t) {
			return c
		}
	}
	t.Fatal("three servers do not become a cluster")
	return nil
}

// form starts three servers and tells whether they became a cluster in time.
func (c *cluster) form(t *testing.T) bool {
	t.Helper()
	ports := freePorts(t, len(c.servers))
	for i := range c.servers {
		s := c.newServer(t, i, ports)
		c.servers[i] = s
		go s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	}
	var urls []string
	for _, s := range c.servers {
		if !s.ReadyForConnections(patience) || !soon(s.JetStreamIsCurrent) {
			for _, s := range c.servers {
				s.Shutdown()
			}
			return false
		}
		urls = append(urls, "nats://"+s.Addr().String())
	}
	c.url = strings.Join(urls, ",")
	return true
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		port, err := freeport.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}

// soon asks until it is so; the servers have nothing to wait on.
func soon(so func() bool) bool {
	end := time.After(patience)
	for !so() {
		select {
		case <-end:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return true
}

// newServer configures a server with the text that an operator would write.
func (c *cluster) newServer(t *testing.T, i int, ports []int) *server.Server {
	t.Helper()
	var routes []string
	for _, p := range ports {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	conf := fmt.Sprintf(`
server_name: n%d
listen: "127.0.0.1:-1"
jetstream { store_dir: %q, max_file_store: 1GB, max_memory_store: 64MB }
cluster { name: test, listen: "127.0.0.1:%d", routes: [ %s ] }
accounts {
  APP  { jetstream: enabled, users: [ { user: engine,  password: pw1 } ] }
  AUTH {                     users: [ { user: callout, password: pw2 } ] }
}
authorization {
  timeout: 5
  auth_callout { issuer: %s, xkey: %s, account: AUTH, auth_users: [ engine, callout ] }
}
`, i, t.TempDir(), ports[i], strings.Join(routes, ", "), c.keys.issuerPublic, c.keys.xkeyPublic)
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClusterOfThree(t *testing.T) {
	c := startCluster(t)
	issuer, err := c.keys.issuer.Seed()
	if err != nil {
		t.Fatal(err)
	}
	xkey, err := c.keys.xkey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{grants: map[string]Grant{"orders": {User: "orders", Subscribe: []string{prodDB}, Expires: time.Now().Add(time.Hour)}}}
	b := start(t, func(cfg *Config) {
		cfg.Dir, cfg.Replicas, cfg.Authorizer = "", 3, g
		cfg.External = &External{URL: c.url, User: "engine", Password: "pw1", Callout: &Callout{
			IssuerSeed: string(issuer), XKeySeed: string(xkey), Account: "APP", User: "callout", Password: "pw2",
		}}
	})
	nc, err := nats.Connect(c.url, nats.Token("orders"), nats.Name(ClientName(ownID, "")),
		nats.CustomInboxPrefix(InboxPrefix(ownID)), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nats.Connect(c.url, nats.Token("guess")); err == nil {
		t.Error("an unknown token was let in")
	}

	publishEvent(t, b, "prod/db/a", 1)
	mustPublish(t, b, job(t, "a", "1"))
	c.stopLeader(t, b)
	publishWhenTaken(t, b, "prod/db/a", 2)
	if got, end := replay(t, nc, ownID, prodDB, ReplayRequest{}); names(got) != "prod/db/a:2 " || end.Error != "" {
		t.Errorf("replay gave %s%+v", names(got), end)
	}
	q := open(t, b)
	d := take(t, q)
	if err := d.Ack(testContext(t)); err != nil || d.Subject() != lockstep.JobSubject("123456789012", "us-east-1", DefaultPool, "run", "a") {
		t.Errorf("got %s, %v", d.Subject(), err)
	}
	if err := b.Health(testContext(t)); err != nil {
		t.Error(err)
	}
}

// publishWhenTaken publishes as the outbox does: again and again until a leader
// takes it. While the connection is away a publication is refused at once, so
// that a count of attempts would say nothing.
func publishWhenTaken(t *testing.T, b *Bus, name string, seq uint64) {
	t.Helper()
	ctx := testContext(t)
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		m, _ := event(t, name, seq)
		err := b.PublishEvents(ctx, []Message{m})[0]
		if err == nil {
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Fatalf("no leader takes the event: %v", err)
		}
	}
}

// stopLeader shuts down the server that leads the event stream.
func (c *cluster) stopLeader(t *testing.T, b *Bus) {
	t.Helper()
	info, err := b.handle(StreamEvents).Info(testContext(t))
	if err != nil || info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
		t.Fatalf("stream is not on three servers: %+v, %v", info, err)
	}
	for _, s := range c.servers {
		if s.Name() == info.Cluster.Leader {
			s.Shutdown()
			s.WaitForShutdown()
			return
		}
	}
	t.Fatalf("no server is called %s", info.Cluster.Leader)
}
