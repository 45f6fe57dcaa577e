package redis_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"lockstep"
	"lockstep/internal/redistest"
	"lockstep/rotators"
	"lockstep/rotators/redis"
	"lockstep/rotators/rotatortest"
)

// secret is what the tests read of a value.
type secret struct {
	Engine    string     `json:"engine"`
	Host      string     `json:"host"`
	Port      int        `json:"port"`
	User      string     `json:"username"`
	Password  string     `json:"password"`
	MasterARN string     `json:"masterarn,omitempty"`
	Endpoints []string   `json:"endpoints,omitempty"`
	Probes    [][]string `json:"probes,omitempty"`
}

func (s secret) value(t testing.TB) lockstep.Value { return rotatortest.Written(t, s) }

// adminRules is what the guide tells people to give to the admin.
const adminRules = "resetkeys ~lockstep:* resetchannels -@all +acl|setuser +acl|getuser +acl|save +config|get " +
	"+config|rewrite +cluster|nodes +readonly +role +info +time +watch +multi +exec +get +set +client|id +client|list +client|kill"

// world is one or more servers on which each test makes users of its own.
type world struct{ servers []*redistest.Server }

// newWorld gives each server an admin with nothing but the rights it needs.
func newWorld(t *testing.T, servers ...*redistest.Server) *world {
	w := &world{servers: servers}
	for _, s := range servers {
		s.Must(t, setUser("lockadmin", "on >"+rotatortest.PasswordOfAdmin+" "+adminRules),
			setUser("weak", "on >feeble-secret-77 ~lockstep:* -@all +acl|getuser +role +cluster|nodes +time"),
			[]any{"ACL", "SAVE"})
	}
	return w
}

func setUser(name, rules string) []any {
	out := []any{"ACL", "SETUSER", name}
	for _, r := range strings.Fields(rules) {
		out = append(out, r)
	}
	return out
}

func (w *world) secret(user, password string) secret {
	s := secret{
		Engine: "redis", Host: redistest.Host, Port: w.servers[0].Port(), User: user, Password: password, MasterARN: rotatortest.AdminARN,
	}
	for _, other := range w.servers[1:] {
		s.Endpoints = append(s.Endpoints, other.Addr())
	}
	return s
}

// accepts logs in to every server; true if all agree that it does.
func (w *world) accepts(t *testing.T, v lockstep.Value) bool {
	t.Helper()
	s := rotatortest.Read[secret](t, v)
	n := 0
	for _, server := range w.servers {
		c := server.Client(s.User, s.Password)
		if c.Ping(t.Context()).Err() == nil {
			n++
		}
		rotatortest.Check(t, c.Close())
	}
	if n != 0 && n != len(w.servers) {
		t.Errorf("%d of %d nodes accept the value", n, len(w.servers))
	}
	return n > 0
}

// session logs in and waits for a list that stays empty.
func (w *world) session(t *testing.T, v lockstep.Value) <-chan struct{} {
	t.Helper()
	s := rotatortest.Read[secret](t, v)
	c := w.servers[0].Client(s.User, s.Password)
	conn := c.Conn()
	rotatortest.Check(t, conn.Ping(t.Context()).Err())
	ended, done := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); _ = conn.Close(); _ = c.Close(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := conn.BLPop(ctx, 0, "never").Err(); err != nil && ctx.Err() == nil {
				close(ended)
				return
			}
		}
	}()
	return ended
}

// target makes a user with a password and everything that the suite needs.
func (w *world) target(t *testing.T) rotatortest.Target {
	user := "app-" + strings.ToLower(rand.Text())
	for _, s := range w.servers {
		s.Must(t, setUser(user, "on >"+rotatortest.FirstPassword+" ~app:* ~never +@all -@admin"), []any{"ACL", "SAVE"})
	}
	wrong := func(t *testing.T, v lockstep.Value) lockstep.Value {
		s := rotatortest.Read[secret](t, v)
		s.Password = "nobody-knows-this-1"
		return s.value(t)
	}
	admin := w.secret("lockadmin", rotatortest.PasswordOfAdmin).value(t)
	return rotatortest.Target{
		ARN:     rotatortest.ARN(user),
		Current: w.secret(user, rotatortest.FirstPassword).value(t), Admin: admin, Marks: true,
		WrongAdmin: wrong(t, admin), NoRight: w.secret("weak", "feeble-secret-77").value(t),
		Wrong: wrong, Accepts: w.accepts, Session: w.session, Parts: len(w.servers) > 1,
		Away:  func(t *testing.T) { w.servers[0].Pause(t) },
		Back:  func(t *testing.T) { w.servers[0].Resume(t) },
		Clear: func(t *testing.T, v lockstep.Value) string { return rotatortest.Read[secret](t, v).Password },
		Log:   func(t *testing.T) string { return w.servers[0].Log(t) },
	}
}

func rotator(t testing.TB) *redis.Rotator {
	r, err := redis.New(redis.Config{})
	rotatortest.Check(t, err)
	return r
}

var (
	_ rotators.Identifier    = (*redis.Rotator)(nil)
	_ rotators.Fencer        = (*redis.Rotator)(nil)
	_ rotators.Retirer       = (*redis.Rotator)(nil)
	_ rotators.Planner       = (*redis.Rotator)(nil)
	_ rotators.Witness       = (*redis.Rotator)(nil)
	_ rotators.SessionKiller = (*redis.Rotator)(nil)
)

func TestConformance(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	t.Run(redis.Name, func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: rotator(t), New: w.target})
	})
	t.Run(redis.Name+" without an admin", func(t *testing.T) {
		rotatortest.Run(t, rotatortest.Fixture{Rotator: rotator(t), New: func(t *testing.T) rotatortest.Target {
			target := w.target(t)
			w.servers[0].Must(t, setUser(rotatortest.Read[secret](t, target.Current).User, "~lockstep:* +@all"), []any{"ACL", "SAVE"})
			target = target.WithoutAdmin()
			target.Marks = true // it may write keys of ours
			return target
		}})
	})
}

// TestConformanceOfAReplica runs the suite with a primary and its replica: the
// users of both are changed, and the replica's guard is what its primary wrote.
func TestConformanceOfAReplica(t *testing.T) {
	primary := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", redistest.Host+" "+portOf(primary),
		"--masteruser", redistest.Superuser, "--masterauth", redistest.SuperPassword)
	awaitLink(t, replica)
	w := newWorld(t, primary, replica)
	rotatortest.Run(t, rotatortest.Fixture{Rotator: rotator(t), New: func(t *testing.T) rotatortest.Target {
		target := w.target(t)
		target.Away, target.Back = nil, nil // a new full resynchronization each time
		return target
	}})
}

func portOf(s *redistest.Server) string { return strings.TrimPrefix(s.Addr(), redistest.Host+":") }

// awaitLink waits until a replica has caught up with its primary.
func awaitLink(t *testing.T, replica *redistest.Server) {
	t.Helper()
	c := replica.Client(redistest.Superuser, redistest.SuperPassword)
	defer c.Close()
	until(t, func() bool {
		info, err := c.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
}
