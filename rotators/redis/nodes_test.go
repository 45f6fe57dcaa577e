package redis_test

import (
	"strings"
	"testing"

	"lockstep"
	"lockstep/internal/redistest"
	"lockstep/rotators/rotatortest"
)

// TestCluster: a value names one node, and every node is changed.
func TestCluster(t *testing.T) {
	servers := []*redistest.Server{}
	for range 3 {
		servers = append(servers, redistest.Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "60000"))
	}
	slots := [][]any{{0, 5460}, {5461, 10922}, {10923, 16383}}
	for i, s := range servers {
		s.Must(t, append([]any{"CLUSTER", "ADDSLOTSRANGE"}, slots[i]...))
		s.Must(t, []any{"CLUSTER", "MEET", redistest.Host, portOf(servers[0])})
	}
	for _, s := range servers {
		c := s.Client(redistest.Superuser, redistest.SuperPassword)
		until(t, func() bool {
			info, err := c.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
		rotatortest.Check(t, c.Close())
	}
	w := newWorld(t, servers...)
	app := w.rotation(t)
	for _, v := range []*lockstep.Value{&app.Current, &app.Admin} {
		s := rotatortest.Read[secret](t, *v)
		s.Endpoints = nil // the cluster says where the others are
		s.Probes = [][]string{{"GET", "app:health"}}
		*v = s.value(t)
	}
	plan, err := rotator(t).Plan(t.Context(), &app.Request)
	if err != nil || len(plan.Problems) > 0 {
		t.Fatalf("plan: %+v, %v", plan, err)
	}
	for range 3 {
		old := app.Live
		app.next(t)
		for _, v := range append(old, app.Current, app.Live[0]) {
			want := v.Equal(app.Current) || v.Equal(app.Live[0])
			if w.accepts(t, v) != want { // it asks each node, and wants one answer
				t.Errorf("accepted: %v", !want)
			}
		}
	}
	rotatortest.Check(t, rotator(t).Retire(t.Context(), &app.Request, app.Live[0]))
	if w.accepts(t, app.Live[0]) {
		t.Error("the retired value is accepted")
	}

	// One node that differs makes the verdict; one that is away leaves none.
	servers[2].Must(t, []any{"ACL", "SETUSER", app.user, "resetpass", ">another-one"})
	wantFault(t, rotator(t).Test(t.Context(), &app.Request, app.Current), lockstep.FaultRefusedLogin, "")
	servers[1].Pause(t)
	wantFault(t, rotator(t).Test(t.Context(), &app.Request, app.Current), lockstep.FaultTransient, "")
	app.Guard.Fence++
	app.Pending = app.create(t)
	wantFault(t, rotator(t).Set(t.Context(), &app.Request), lockstep.FaultTransient, "")
}

func wantFault(t *testing.T, err error, f lockstep.Fault, hint string) {
	t.Helper()
	te := lockstep.AsTargetError(err)
	if err == nil || te.Outcome != lockstep.NotApplied || te.Fault != f || !strings.Contains(te.Hint, hint) {
		t.Errorf("got %v (%v, %d, %q), want %d with a hint of %q", err, te.Outcome, te.Fault, te.Hint, f, hint)
	}
}

func TestWhatStandsInTheWay(t *testing.T) {
	s := redistest.Start(t)
	w := newWorld(t, s)
	for _, c := range []struct {
		name   string
		change func(*secret, *secret) // of AWSCURRENT and of the admin
		rules  string                 // for the user, beforehand
		fault  lockstep.Fault
		hint   string
	}{
		{"no such user", func(app, _ *secret) { app.User = "nobody-at-all" }, "", lockstep.FaultPermanent, "create the user"},
		{"nopass", func(*secret, *secret) {}, "nopass", lockstep.FaultPermanent, "resetpass"},
		{"the admin of another server", func(_, admin *secret) { admin.Port++ }, "", lockstep.FaultPermanent, "masterarn"},
		{"a node that the admin does not know", func(app, _ *secret) { app.Endpoints = []string{"127.0.0.1:1"} }, "", lockstep.FaultPermanent, "endpoints"},
		{"a node that does not answer", func(app, admin *secret) {
			app.Endpoints = []string{"127.0.0.1:1"}
			admin.Endpoints = app.Endpoints
		}, "", lockstep.FaultTransient, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := w.rotation(t)
			if c.rules != "" {
				s.Must(t, setUser(app.user, c.rules))
			}
			current, admin := rotatortest.Read[secret](t, app.Current), rotatortest.Read[secret](t, app.Admin)
			c.change(&current, &admin)
			app.Current, app.Admin = current.value(t), admin.value(t)
			app.Pending = app.create(t)
			wantFault(t, rotator(t).Set(t.Context(), &app.Request), c.fault, c.hint)
			plan, err := rotator(t).Plan(t.Context(), &app.Request)
			if err != nil || len(plan.Problems) == 0 {
				t.Errorf("plan saw no problem: %+v, %v", plan, err)
			}
		})
	}
}

func TestProbes(t *testing.T) {
	s := redistest.Start(t)
	w := newWorld(t, s)
	app := w.rotation(t)
	for _, c := range []struct {
		probe []string
		fault lockstep.Fault
		ok    bool
	}{
		{probe: []string{"GET", "app:missing"}, ok: true},
		{probe: []string{"GET", "other:key"}, fault: lockstep.FaultPermanent},
		{probe: []string{"ACL", "LIST"}, fault: lockstep.FaultPermanent},
		{probe: []string{"NOSUCHCOMMAND"}, fault: lockstep.FaultPermanent},
	} {
		current := rotatortest.Read[secret](t, app.Current)
		current.Probes = [][]string{{"PING"}, c.probe}
		err := rotator(t).Test(t.Context(), &app.Request, current.value(t))
		if c.ok && err != nil {
			t.Errorf("%v: %v", c.probe, err)
		}
		if !c.ok {
			wantFault(t, err, c.fault, "")
		}
	}
}

func TestValues(t *testing.T) {
	account, err := rotator(t).Account(lockstep.StringValue(`{"engine":"valkey","host":"Cache.Example.","username":"app","password":"x","port":"7000"}`))
	if err != nil || account.String() != "redis|cache.example|7000|app" {
		t.Errorf("account %v, %v", account, err)
	}
	for _, text := range []string{
		`{"host":"h","username":"u"}`, `{"host":"h","password":"planted"}`, `{"username":"u","password":"planted"}`,
		`{"engine":"mysql","host":"h","username":"u","password":"planted"}`,
		`{"host":"h","username":"a b","password":"planted"}`, `{"host":"a,b","username":"u","password":"planted"}`,
		`{"host":"h","username":"u","password":"planted","port":0}`,
		`{"host":"h","username":"u","password":"planted","endpoints":["h"]}`,
		`{"host":"h","username":"u","password":"planted","nodes":"h:1"}`,
		`{"host":"h","username":"u","password":"planted","probes":[[]]}`,
		`{"host":"h","username":"u","password":"planted","probes":["GET a"]}`,
		`{"host":"h","username":"u","password":"planted","ssl":"maybe"}`,
	} {
		if _, err := rotator(t).Account(lockstep.StringValue(text)); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
