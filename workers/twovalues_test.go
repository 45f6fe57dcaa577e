package workers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/internal/redistest"
	"lockstep/keeper"
	"lockstep/rotators/redis"
	"lockstep/runs"
	"lockstep/store"
)

// cache is a Redis with one user that a Secret is about.
type cache struct {
	*world
	server *redistest.Server
	secret *lockstep.Secret
}

func newCache(t *testing.T, extra string, in runs.RotateInput) *cache {
	t.Helper()
	c := &cache{world: newWorld(t, pgtest.Shared(t)), server: redistest.Start(t)}
	byValue, err := redis.New(redis.Config{})
	must(t, err)
	must(t, c.registry.Register(redis.Name, byValue))
	c.server.Must(t, []any{"ACL", "SETUSER", "app", "on", ">app-secret-1", "~app:*", "+@all", "-@admin"})
	admin := c.put(t, "admin", redistest.Superuser, redistest.SuperPassword, "")
	c.secret = c.put(t, "app", "app", "app-secret-1", fmt.Sprintf(`,"masterarn":%q%s`, admin.ARN, extra))
	name := redis.Name
	in.RotatorARN = &name
	_, err = c.engine.Configure(t.Context(), ref("app"), in)
	must(t, err)
	c.pool(t.Context(), t)
	return c
}

func (c *cache) text(user, password, more string) lockstep.Value {
	return lockstep.StringValue(fmt.Sprintf(`{"engine":"redis","host":%q,"port":%d,"username":%q,"password":%q%s}`,
		redistest.Host, c.server.Port(), user, password, more))
}

func (c *cache) put(t *testing.T, name, user, password, more string) *lockstep.Secret {
	t.Helper()
	out, err := c.keeper.Create(t.Context(), keeper.CreateInput{Owner: owner, Name: name, Token: token(t), Value: c.text(user, password, more)})
	must(t, err)
	return out.Secret
}

// eventually waits for what the store need not announce.
func (c *cache) eventually(t *testing.T, what string, seen func(tx store.ReadTx) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var ok bool
		must(t, c.store.View(t.Context(), func(tx store.ReadTx) (err error) { ok, err = seen(tx); return err }))
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// now is AWSCURRENT.
func (c *cache) now(t *testing.T) secret {
	t.Helper()
	out, err := c.keeper.Get(t.Context(), ref("app"), keeper.GetInput{})
	must(t, err)
	var v struct {
		User     string `json:"username"`
		Password string `json:"password"`
	}
	must(t, json.Unmarshal(out.Value.Bytes(), &v))
	return secret{User: v.User, Password: v.Password}
}

// logsIn tells whether the server accepts a value.
func (c *cache) logsIn(t *testing.T, s secret) bool {
	t.Helper()
	client := c.server.Client(s.User, s.Password)
	defer client.Close()
	return client.Ping(t.Context()).Err() == nil
}

// passwords is how many the user has.
func (c *cache) passwords(t *testing.T) int {
	t.Helper()
	client := c.server.Client(redistest.Superuser, redistest.SuperPassword)
	defer client.Close()
	answer, err := client.Do(t.Context(), "ACL", "GETUSER", "app").Slice()
	must(t, err)
	for i := 0; i+1 < len(answer); i += 2 {
		if answer[i] == "passwords" {
			return len(answer[i+1].([]any))
		}
	}
	t.Fatal("no passwords in ACL GETUSER")
	return 0
}

// holds asserts that AWSCURRENT logs in, that the user has as many passwords as
// the store thinks may be live, and that the rows hold together.
func (c *cache) holds(t *testing.T, want int) {
	t.Helper()
	if !c.logsIn(t, c.now(t)) {
		t.Error("the target refuses AWSCURRENT")
	}
	var live []*lockstep.Version
	must(t, c.store.View(t.Context(), func(tx store.ReadTx) (err error) {
		live, err = tx.LiveVersions(c.secret.ID)
		return err
	}))
	if n := c.passwords(t); n != want || len(live) != want {
		t.Errorf("%d passwords at the target, %d live versions, want %d", n, len(live), want)
	}
	broken, err := c.engine.Check(t.Context(), 0)
	must(t, err)
	for _, v := range broken.Violations {
		t.Errorf("%s: %s: %s", v.Rule, v.ARN, v.Detail)
	}
}

// TestTwoValues: the value that AWSCURRENT has left lives until the next Run,
// and no longer, at the target and in the store.
func TestTwoValues(t *testing.T) {
	t.Parallel()
	c := newCache(t, "", runs.RotateInput{})
	old := c.now(t)
	for range 3 {
		left := c.now(t)
		c.succeeded(t, c.rotate(t, "app").Run)
		c.holds(t, 2)
		if !c.logsIn(t, left) {
			t.Error("the value that AWSCURRENT has left is refused")
		}
	}
	if c.logsIn(t, old) {
		t.Error("the first value logs in")
	}
	// A hand that goes back two steps is followed.
	_, err := c.keeper.Put(t.Context(), ref("app"), keeper.PutInput{Token: token(t), Value: c.text("app", old.Password, fmt.Sprintf(`,"masterarn":"%s"`, "admin"))})
	must(t, err)
	c.eventually(t, "the verification", func(tx store.ReadTx) (bool, error) {
		s, err := tx.Secret(c.secret.ID)
		return err == nil && !s.Unverified, err
	})
	if !c.logsIn(t, old) {
		t.Error("AWSCURRENT that was put by hand is refused")
	}
}

// TestTwoValuesUndone: a Run that fails takes its value away again.
func TestTwoValuesUndone(t *testing.T) {
	t.Parallel()
	c := newCache(t, `,"probes":[["GET","other:key"]]`, runs.RotateInput{})
	run := c.ended(t, c.rotate(t, "app").Run)
	if run.State != lockstep.RunFailed || !strings.Contains(run.Reason, "probe 1") {
		t.Errorf("run is %s: %s", run.State, run.Reason)
	}
	c.holds(t, 1)
}

// TestTwoValuesRetired: the old value goes after the delay; one that is
// AWSCURRENT's again stays, and blocks nothing.
func TestTwoValuesRetired(t *testing.T) {
	t.Parallel()
	c := newCache(t, "", runs.RotateInput{Retirement: &lockstep.Retirement{After: lockstep.RetireDelay, Delay: 50 * time.Millisecond}})
	settled := func(tx store.ReadTx) (bool, error) {
		live, err := tx.LiveVersions(c.secret.ID)
		for _, v := range live {
			if v.Retirement.Blocks() {
				return false, err
			}
		}
		return true, err
	}
	c.succeeded(t, c.rotate(t, "app").Run)
	c.eventually(t, "the retirement", settled)
	c.holds(t, 1)

	same, err := c.keeper.Get(t.Context(), ref("app"), keeper.GetInput{})
	must(t, err)
	_, err = c.keeper.Put(t.Context(), ref("app"), keeper.PutInput{Token: token(t), Value: same.Value})
	must(t, err)
	c.eventually(t, "the retirement of the same credential", settled)
	if !c.logsIn(t, c.now(t)) {
		t.Error("AWSCURRENT was retired")
	}
	c.succeeded(t, c.rotate(t, "app").Run)
	c.eventually(t, "the last retirement", settled)
	if n := c.passwords(t); n != 1 {
		t.Errorf("%d passwords at the target, want 1", n)
	}
}
