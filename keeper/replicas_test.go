package keeper_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/store"
)

const there = lockstep.Region("eu-west-1")

func in(region lockstep.Region, name string) keeper.Ref {
	return keeper.Ref{Owner: store.Owner{Account: home.Account, Region: region}, ID: name}
}

func replicate(regions ...lockstep.Region) keeper.ReplicateInput {
	var in keeper.ReplicateInput
	for _, r := range regions {
		in.Add = append(in.Add, keeper.ReplicaSpec{Region: r})
	}
	return in
}

// replicated makes a Secret with a replica.
func (w *world) replicated(name, token, value string) *lockstep.Secret {
	w.t.Helper()
	w.made(name, token, value)
	d, err := w.AddReplicas(w.t.Context(), ref(name), replicate(there))
	w.must(err)
	return d.Secret
}

func (w *world) valueIn(region lockstep.Region, name string) string {
	w.t.Helper()
	out, err := w.Get(w.t.Context(), in(region, name), keeper.GetInput{})
	w.must(err)
	return out.Value.Reveal()
}

func (w *world) status(name string) string {
	w.t.Helper()
	d, err := w.Describe(w.t.Context(), ref(name))
	w.must(err)
	out := ""
	for _, r := range d.Replicas {
		out += string(r.Region) + "=" + r.Status + " "
	}
	return out
}

func TestReplicas(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name string
			test func(*testing.T, *world)
		}{
			{"a replica has what the primary has, sealed under its own region's key", replicaHasAll},
			{"every change of the primary arrives", replicaFollows},
			{"what the engine finishes arrives by the mark", replicaOfRotation},
			{"a replica is written by replication alone", replicaReadOnly},
			{"a name that is taken fails, unless forced", replicaConflict},
			{"removed, the name is free; the last one ends the primary", replicaRemoved},
			{"promoted, it lives on by itself", replicaPromoted},
			{"a key that is not there fails that replica alone", replicaKey},
			{"a primary with replicas cannot be deleted", replicaDelete},
		} {
			t.Run(c.name, func(t *testing.T) { c.test(t, w.fresh(t)); w.healthy() })
		}
	})
}

func replicaHasAll(t *testing.T, w *world) {
	_, err := w.Create(t.Context(), keeper.CreateInput{
		Owner: home, Name: w.name, Token: "one", Value: lockstep.StringValue("v1"), Description: "d",
		Tags: []lockstep.Tag{{Key: "k", Value: "v"}}, Replicas: replicate(there),
	})
	w.must(err)
	_, err = w.put(w.name, "two", "v2", "mine")
	w.must(err)
	primary := w.secret(w.name)
	d, err := w.Describe(t.Context(), in(there, w.name))
	w.must(err)
	r := d.Secret
	if r.ARN != primary.ARN.In(there) || r.PrimaryRegion != home.Region || primary.PrimaryRegion != home.Region {
		t.Errorf("replica %s of %s, primaries %s and %s", r.ARN, primary.ARN, r.PrimaryRegion, primary.PrimaryRegion)
	}
	if r.Description != "d" || len(r.Tags) != 1 || r.Tags[0].Value != "v" {
		t.Errorf("description %q, tags %v", r.Description, r.Tags)
	}
	if d.Stages[lockstep.Current] != "one" || d.Stages["mine"] != "two" {
		t.Errorf("labels %v", d.Stages)
	}
	if got := w.valueIn(there, w.name); got != "v1" {
		t.Errorf("value %q", got)
	}
	var mine, its *lockstep.Version
	w.view(func(tx store.ReadTx) (err error) {
		if mine, err = tx.Version(primary.ID, "one"); err != nil {
			return err
		}
		its, err = tx.Version(r.ID, "one")
		return err
	})
	if mine.Sealed.KeyID == its.Sealed.KeyID {
		t.Error("both are sealed under the same master key")
	}
	if got := w.status(w.name); got != "eu-west-1=InSync " {
		t.Errorf("status %s", got)
	}
	if got := eventTypes(w.events(r.ID)); got != "secret.created version.current" {
		t.Errorf("events %s", got)
	}
}

func replicaFollows(t *testing.T, w *world) {
	w.replicated(w.name, "one", "v1")
	ctx := t.Context()
	_, err := w.put(w.name, "two", "v2")
	w.must(err)
	if got := w.valueIn(there, w.name); got != "v2" {
		t.Errorf("after a put: %q", got)
	}
	_, err = w.MoveStage(ctx, ref(w.name), keeper.MoveStageInput{Stage: lockstep.Current, From: "two", To: "one"})
	w.must(err)
	if got := w.valueIn(there, w.name); got != "v1" {
		t.Errorf("after the label moved back: %q", got)
	}
	w.must(w.Tag(ctx, ref(w.name), []lockstep.Tag{{Key: "a", Value: "b"}}))
	_, err = w.PutPolicy(ctx, ref(w.name), "{}")
	w.must(err)
	text := "other"
	_, err = w.Update(ctx, ref(w.name), keeper.UpdateInput{Token: "x", Description: &text})
	w.must(err)
	d, err := w.Describe(ctx, in(there, w.name))
	w.must(err)
	if len(d.Secret.Tags) != 1 || d.Secret.ResourcePolicy != "{}" || d.Secret.Description != text {
		t.Errorf("replica has tags %v, policy %q, description %q", d.Secret.Tags, d.Secret.ResourcePolicy, d.Secret.Description)
	}
	w.must(w.Untag(ctx, ref(w.name), []string{"a"}))
	d, err = w.Describe(ctx, in(there, w.name))
	w.must(err)
	if d.Secret.Tags == nil || len(d.Secret.Tags) != 0 {
		t.Errorf("tags %v after the last was removed", d.Secret.Tags)
	}
}

// replicaOfRotation changes the primary as the engine does, by the ledger: no
// keeper is called, the Replicator does the rest.
func replicaOfRotation(t *testing.T, w *world) {
	s := w.replicated(w.name, "one", login("app", "v1").Reveal())
	sealed, _, err := w.SealPending(t.Context(), s, "two", login("app", "v2"))
	w.must(err)
	w.update(func(tx store.Tx) error {
		s, err := tx.LockSecret(s.ID)
		if err != nil {
			return err
		}
		b, err := ledger.Open(tx, s, lockstep.Traits{})
		if err != nil {
			return err
		}
		err = tx.InsertVersion(&lockstep.Version{Secret: s.ID, ID: "two", Created: b.Now, Sealed: sealed})
		return errors.Join(err, b.MoveCurrent("two"), b.Close())
	})
	if got := w.status(w.name); got != "eu-west-1=InProgress " {
		t.Errorf("before replication: %s", got)
	}
	r := keeper.NewReplicator(w.Keeper, slog.New(slog.DiscardHandler))
	r.Start(t.Context())
	defer r.Stop()
	deadline := time.Now().Add(time.Minute)
	for w.status(w.name) != "eu-west-1=InSync " {
		if time.Now().After(deadline) {
			t.Fatal("the replica was not told of the change")
		}
	}
	if got := w.valueIn(there, w.name); got != login("app", "v2").Reveal() {
		t.Error("the replica has another value")
	}
}

func replicaReadOnly(t *testing.T, w *world) {
	w.replicated(w.name, "one", "v1")
	ctx, r := t.Context(), in(there, w.name)
	text := "x"
	for what, call := range map[string]func() error{
		"put": func() error {
			_, err := w.Put(ctx, r, keeper.PutInput{Token: "two", Value: lockstep.StringValue("v")})
			return err
		},
		"update": func() error {
			_, err := w.Update(ctx, r, keeper.UpdateInput{Token: "two", Description: &text})
			return err
		},
		"tag":    func() error { return w.Tag(ctx, r, []lockstep.Tag{{Key: "a"}}) },
		"untag":  func() error { return w.Untag(ctx, r, []string{"a"}) },
		"policy": func() error { _, err := w.PutPolicy(ctx, r, "{}"); return err },
		"no policy": func() error {
			_, err := w.DeletePolicy(ctx, r)
			return err
		},
		"delete":  func() error { _, err := w.Delete(ctx, r, keeper.DeleteInput{Force: true}); return err },
		"restore": func() error { _, err := w.Restore(ctx, r); return err },
		"move":    func() error { _, err := w.MoveStage(ctx, r, keeper.MoveStageInput{Stage: "x", To: "one"}); return err },
		"replicate": func() error {
			_, err := w.AddReplicas(ctx, r, replicate("ap-south-1"))
			return err
		},
		"remove": func() error { _, err := w.RemoveReplicas(ctx, r, []lockstep.Region{there}); return err },
	} {
		err := call()
		if !errors.Is(err, lockstep.ErrInvalid) || err.Error() != "Operation not permitted on a replica secret. Call must be made in primary secret's region." {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func replicaConflict(t *testing.T, w *world) {
	w.made(w.name, "one", "v1")
	_, err := w.Create(t.Context(), keeper.CreateInput{
		Owner: store.Owner{Account: home.Account, Region: there}, Name: w.name, Token: "own", Value: lockstep.StringValue("its own"),
	})
	w.must(err)
	d, err := w.AddReplicas(t.Context(), ref(w.name), replicate(there))
	w.must(err)
	if r := d.Replicas[0]; r.Status != lockstep.ReplicaFailed || r.Message != "Replication failed: Secret name "+w.name+" already exists in region eu-west-1." {
		t.Errorf("status %s: %s", r.Status, r.Message)
	}
	if got := w.valueIn(there, w.name); got != "its own" {
		t.Errorf("the other secret was changed to %q", got)
	}
	forced := replicate(there)
	forced.Force = true
	d, err = w.AddReplicas(t.Context(), ref(w.name), forced)
	w.must(err)
	if got := d.Replicas[0].Status; got != lockstep.ReplicaInSync {
		t.Errorf("status %s", got)
	}
	if got := w.valueIn(there, w.name); got != "v1" {
		t.Errorf("forced, the replica has %q", got)
	}
}

func replicaRemoved(t *testing.T, w *world) {
	w.made(w.name, "one", "v1")
	_, err := w.AddReplicas(t.Context(), ref(w.name), replicate(there, "ap-south-1"))
	w.must(err)
	for range 2 { // the second time there is nothing to remove
		d, err := w.RemoveReplicas(t.Context(), ref(w.name), []lockstep.Region{there, "sa-east-1"})
		w.must(err)
		if len(d.Replicas) != 1 || d.Secret.PrimaryRegion != home.Region {
			t.Errorf("replicas %v, primary %q", d.Replicas, d.Secret.PrimaryRegion)
		}
	}
	if _, err := w.Describe(t.Context(), in(there, w.name)); !errors.Is(err, keeper.ErrNoSecret) {
		t.Errorf("a removed replica: %v", err)
	}
	d, err := w.RemoveReplicas(t.Context(), ref(w.name), []lockstep.Region{"ap-south-1"})
	w.must(err)
	if len(d.Replicas) != 0 || d.Secret.PrimaryRegion != "" {
		t.Errorf("after the last: replicas %v, primary %q", d.Replicas, d.Secret.PrimaryRegion)
	}
	_, err = w.Create(t.Context(), keeper.CreateInput{Owner: store.Owner{Account: home.Account, Region: there}, Name: w.name, Token: "new"})
	w.must(err)
}

func replicaPromoted(t *testing.T, w *world) {
	w.replicated(w.name, "one", "v1")
	if _, err := w.Promote(t.Context(), ref(w.name)); !errors.Is(err, lockstep.ErrState) {
		t.Errorf("a primary: %v", err)
	}
	d, err := w.Promote(t.Context(), in(there, w.name))
	w.must(err)
	if d.Secret.PrimaryRegion != "" || d.Secret.IsReplica() {
		t.Errorf("primary region %q", d.Secret.PrimaryRegion)
	}
	if s := w.secret(w.name); len(s.Replicas) != 0 || s.PrimaryRegion != "" {
		t.Errorf("the primary still has %v", s.Replicas)
	}
	_, err = w.put(w.name, "two", "v2")
	w.must(err)
	_, err = w.Put(t.Context(), in(there, w.name), keeper.PutInput{Token: "own", Value: lockstep.StringValue("its own")})
	w.must(err)
	if a, b := w.valueIn(home.Region, w.name), w.valueIn(there, w.name); a != "v2" || b != "its own" {
		t.Errorf("values %q and %q", a, b)
	}
}

func replicaKey(t *testing.T, w *world) {
	w.made(w.name, "one", "v1")
	asked := replicate("ap-south-1")
	asked.Add = append(asked.Add, keeper.ReplicaSpec{Region: there, KMSKeyID: "nosuch"})
	_, err := w.AddReplicas(t.Context(), ref(w.name), asked)
	w.must(err)
	if got := w.status(w.name); got != "ap-south-1=InSync eu-west-1=Failed " {
		t.Errorf("status %s", got)
	}
	// Tried again with a key that is there, it works.
	_, err = w.AddReplicas(t.Context(), ref(w.name), replicate(there))
	w.must(err)
	if got := w.status(w.name); got != "ap-south-1=InSync eu-west-1=InSync " {
		t.Errorf("status %s", got)
	}
}

func replicaDelete(t *testing.T, w *world) {
	s := w.replicated(w.name, "one", "v1")
	for _, force := range []bool{false, true} {
		_, err := w.Delete(t.Context(), ref(w.name), keeper.DeleteInput{Force: force})
		want := "You can't delete secret " + string(s.ARN) + " that still has replica regions [eu-west-1]"
		if !errors.Is(err, lockstep.ErrInvalid) || err.Error() != want {
			t.Errorf("force %t: %v", force, err)
		}
	}
}

// TestReplicatorRests: it does nothing while nothing waits, and ends when told.
func TestReplicatorRests(t *testing.T) {
	w := onSQLite(t)
	r := keeper.NewReplicator(w.Keeper, slog.New(slog.DiscardHandler))
	r.Start(t.Context())
	r.Stop()
	r.Stop()
}
