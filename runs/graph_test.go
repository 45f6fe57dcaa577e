package runs_test

import (
	"strings"
	"testing"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
	"lockstep/store"
)

// managed stores a Secret whose value names an admin.
func (r *rig) managed(t *testing.T, name, master string) *lockstep.Secret {
	t.Helper()
	v := credential{Host: "db", User: name, Password: "first", Master: master}.value()
	out, err := r.keeper.Create(t.Context(), keeper.CreateInput{Owner: owner, Name: name, Token: token(t), Value: v})
	must(t, err)
	return out.Secret
}

func (r *rig) turnOn(t *testing.T, name string) error {
	t.Helper()
	rotator := "single"
	_, err := r.Configure(t.Context(), ref(name), runs.RotateInput{Token: token(t), RotatorARN: &rotator})
	return err
}

// family is root, which manages admin and lone, and admin, which manages one and
// two; stray names nobody.
func family(t *testing.T, r *rig) {
	t.Helper()
	root := r.managed(t, "root", "")
	admin := r.managed(t, "admin", string(root.ARN))
	r.managed(t, "lone", "root") // by its name
	r.managed(t, "one", string(admin.ARN))
	r.managed(t, "two", string(admin.ARN[:len(admin.ARN)-7])) // by the ARN without its end
	r.managed(t, "stray", "nobody")
	for _, name := range []string{"one", "two", "stray", "lone", "admin", "root"} {
		must(t, r.turnOn(t, name))
	}
}

// drawn is a Graph in one line: what is managed, its admin, its level.
func drawn(g runs.Graph) string {
	var out []string
	for _, n := range g.Nodes {
		text := strings.Repeat(">", n.Level) + n.Name()
		if n.Secret == nil {
			text += "!"
		}
		if n.Admin != nil {
			text += "<" + n.Admin.Name()
		}
		out = append(out, text)
	}
	for _, c := range g.Cycles {
		text := "cycle"
		for _, n := range c {
			text += " " + n.Name()
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestGraph(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		family(t, r)
		graph := func(name string) string {
			t.Helper()
			var g runs.Graph
			var err error
			if name == "" {
				g, err = r.Graph(t.Context(), owner)
			} else {
				g, err = r.GraphOf(t.Context(), ref(name))
			}
			must(t, err)
			return drawn(g)
		}
		for _, row := range []struct{ of, want string }{
			{"", "nobody!, root, >admin<root, >lone<root, >stray<nobody, >>one<admin, >>two<admin"},
			{"admin", "root, >admin<root, >>one<admin, >>two<admin"},
			{"root", "root, >admin<root, >lone<root, >>one<admin, >>two<admin"},
			{"one", "root, >admin<root, >>one<admin"},
			{"stray", "nobody!, >stray<nobody"},
		} {
			if got := graph(row.of); got != row.want {
				t.Errorf("graph of %q:\n got %s\nwant %s", row.of, got, row.want)
			}
		}
		// A rotation carries the link on; a value put by hand changes it.
		r.finished(t, r.rotate(t, "one").Run)
		if got := graph("one"); got != "root, >admin<root, >>one<admin" {
			t.Errorf("after a rotation: %s", got)
		}
		put := func(name, master string) error {
			_, err := r.keeper.Put(t.Context(), ref(name), keeper.PutInput{
				Token: token(t), Value: credential{Host: "db", User: name, Password: "x", Master: master}.value(),
			})
			return err
		}
		must(t, put("one", "root"))
		if got := graph("one"); got != "root, >one<root" {
			t.Errorf("after a put: %s", got)
		}
		must(t, put("one", "p4ss word\n"))
		if got := graph("one"); got != lockstep.NoSecretName+"!, >one<"+lockstep.NoSecretName {
			t.Errorf("what is no name: %s", got)
		}
		// Back onto the version that named admin.
		wants(t, put("root", "two"), lockstep.ErrState)
		_, err := r.GraphOf(t.Context(), ref("none"))
		wants(t, err, lockstep.ErrNotFound)
	})
}

func TestCyclesAreRefusedAndFound(t *testing.T) {
	r := onSQLite(t)
	r.managed(t, "a", "b")
	r.managed(t, "b", "c")
	r.managed(t, "c", "a")
	r.managed(t, "self", "self")
	must(t, r.turnOn(t, "a"))
	must(t, r.turnOn(t, "b"))
	err := r.turnOn(t, "c")
	wants(t, err, lockstep.ErrState)
	if want := "c is managed by a is managed by b is managed by c"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want …%s…", err, want)
	}
	wants(t, r.turnOn(t, "self"), lockstep.ErrState)
	// Two that are set in the same moment do not see each other.
	must(t, r.store.Update(t.Context(), func(tx store.Tx) error {
		s, err := keeper.LockLive(tx, ref("c"))
		if err != nil {
			return err
		}
		s.Rotation = &lockstep.Rotation{Rotator: "single", RotatorARN: "single", Enabled: true}
		return tx.SaveSecret(s)
	}))
	g, err := r.Graph(t.Context(), owner)
	must(t, err)
	if got := drawn(g); got != "a<b, b<c, c<a, cycle a b c" {
		t.Errorf("got %s", got)
	}
	g, err = r.GraphOf(t.Context(), ref("b"))
	must(t, err)
	if len(g.Cycles) != 1 || len(g.Nodes) != 3 {
		t.Errorf("of one: %s", drawn(g))
	}
	// A batch does not wait for ever.
	b, err := r.StartBatch(t.Context(), runs.NewBatch{Owner: owner})
	must(t, err)
	r.batchToEnd(t, b.Batch.ID)
}

// batchToEnd carries each Run of a Batch to its end as it is started, and returns
// the order: names that were under way together stand in one element.
func (r *rig) batchToEnd(t *testing.T, id string) (waves []string) {
	t.Helper()
	for {
		got := r.advanced(t, id)
		if got.Done() {
			return waves
		}
		open, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
		must(t, err)
		if len(open) == 0 {
			t.Fatalf("nothing is under way, and the batch is not done: %+v", got.Counts)
		}
		var names []string
		for _, h := range open {
			names = append(names, h.Secret.Name)
		}
		waves = append(waves, strings.Join(names, " "))
		for _, h := range open {
			r.finished(t, h.Run.ID)
		}
		_, err = r.AdmitDue(t.Context(), 2)
		must(t, err)
	}
}

func TestABatchRotatesAdminsFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		family(t, r)
		b, err := r.StartBatch(t.Context(), runs.NewBatch{Owner: owner})
		must(t, err)
		got := r.advanced(t, b.Batch.ID)
		if got.Counts["waiting"] != 4 || got.Counts["queued"] != 2 || got.Done() {
			t.Fatalf("at first: %+v", got.Counts)
		}
		waves := r.batchToEnd(t, b.Batch.ID)
		if got := strings.Join(waves, "; "); got != "stray root; lone admin; two one" && got != "root stray; admin lone; one two" {
			t.Errorf("the order was %s", got)
		}
		got, err = r.Batch(t.Context(), owner, b.Batch.ID)
		must(t, err)
		if got.Counts["succeeded"] != 6 {
			t.Errorf("%+v", got.Counts)
		}
		r.sound(t)
	})
}

// What waits does not wait for a run that failed, and is taken back with the
// batch.
func TestWhatWaitsInABatchGoesOn(t *testing.T) {
	r := onSQLite(t)
	family(t, r)
	start := func() string {
		b, err := r.StartBatch(t.Context(), runs.NewBatch{Owner: owner})
		must(t, err)
		r.advanced(t, b.Batch.ID)
		return b.Batch.ID
	}
	cancelled := start()
	_, err := r.CancelBatch(t.Context(), owner, cancelled)
	must(t, err)
	if got := r.advanced(t, cancelled); got.Counts["cancelled"] != 6 || !got.Done() {
		t.Errorf("cancelled: %+v", got.Counts)
	}
	id := start()
	open, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
	must(t, err)
	for _, h := range open {
		_, err := r.claim(t, h.Run.ID, "worker").Failed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultPermanent))
		must(t, err)
	}
	_, err = r.AdmitDue(t.Context(), 10)
	must(t, err)
	if got := r.advanced(t, id); got.Counts["queued"] != 2 || got.Counts["failed"] != 2 || got.Counts["waiting"] != 2 {
		t.Errorf("after the admin's failure: %+v", got.Counts)
	}
	// A secret that is purged is waited for no longer.
	admin, err := r.keeper.Describe(t.Context(), ref("admin"))
	must(t, err)
	must(t, r.store.Update(t.Context(), func(tx store.Tx) error { return tx.PurgeSecret(admin.Secret.ID) }))
	if got := r.advanced(t, id); got.Counts["waiting"] != 0 {
		t.Errorf("after the admin's purge: %+v", got.Counts)
	}
}
