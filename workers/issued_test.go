package workers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/migratedtest"
	"lockstep/internal/pgtest"
	"lockstep/internal/tokentest"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/runs"
	"lockstep/store"
)

// provider is a world whose target issues tokens.
type provider struct {
	*world
	server *tokentest.Server
	secret *lockstep.Secret
}

// callLife is short, so that the second search for orphans comes soon.
const callLife = lease

// newProvider makes a Secret whose token the rotator renews.
func newProvider(t *testing.T, w *world, o tokentest.Options, r rotators.Rotator, change ...func(*runs.RotateInput)) *provider {
	t.Helper()
	p := &provider{world: w, server: tokentest.Start(t, o)}
	must(t, w.registry.Register("tokens", r))
	w.engine = runs.New(runs.Config{
		Store: w.store, Vault: w.keeper, Rotators: w.registry, MinInterval: time.Second, Lease: lease, CallLife: callLife,
	})
	out, err := w.keeper.Create(t.Context(), keeper.CreateInput{
		Owner: owner, Name: "app", Token: token(t), Value: tokentest.Value(p.server.URL(), p.server.First("by hand")),
	})
	must(t, err)
	p.secret = out.Secret
	name := "tokens"
	in := runs.RotateInput{RotatorARN: &name}
	for _, f := range change {
		f(&in)
	}
	_, err = w.engine.Configure(t.Context(), ref("app"), in)
	must(t, err)
	return p
}

func onSQLite(t *testing.T) *world { return newWorld(t, pgtest.Shared(t)) }

func onPostgres(t *testing.T) *world {
	return newWorldOn(t, pgtest.Shared(t), migratedtest.Postgres(t))
}

// value is AWSCURRENT.
func (p *provider) value(t *testing.T) lockstep.Value {
	t.Helper()
	out, err := p.keeper.Get(t.Context(), ref("app"), keeper.GetInput{})
	must(t, err)
	return out.Value
}

// put makes a new token by hand and puts it as AWSCURRENT.
func (p *provider) put(t *testing.T) {
	t.Helper()
	_, err := p.keeper.Put(t.Context(), ref("app"), keeper.PutInput{
		Token: token(t), Value: tokentest.Value(p.server.URL(), p.server.First("by hand again")),
	})
	must(t, err)
}

func (p *provider) intents(t *testing.T) []*store.Intent {
	t.Helper()
	var out []*store.Intent
	must(t, p.store.View(t.Context(), func(tx store.ReadTx) (err error) {
		out, err = tx.Intents(p.secret.ID)
		return err
	}))
	return out
}

// settled waits until nothing is left to be looked for at the target; the store
// need not announce that.
func (p *provider) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if !slices.ContainsFunc(p.intents(t), func(i *store.Intent) bool { return !i.SweepDue.IsZero() }) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: the end of the last sweep")
		}
	}
}

// holds asserts that AWSCURRENT works, that the target accepts nothing that the
// store does not know of, that M is what it accepts, and that the rows hold
// together.
func (p *provider) holds(t *testing.T) {
	t.Helper()
	if !p.server.Accepts(tokentest.Secret(p.value(t))) {
		t.Error("the target refuses AWSCURRENT")
	}
	idle, err := p.keeper.IdleValues(t.Context(), p.secret.ID, "")
	must(t, err)
	known := []string{tokentest.Secret(p.value(t))}
	for _, v := range idle {
		known = append(known, tokentest.Secret(v))
	}
	for _, tok := range p.server.Tokens() {
		if !slices.Contains(known, tok.Secret) {
			t.Errorf("the target accepts %s (%s), which the store does not know", tok.ID, tok.Name)
		}
	}
	broken, err := p.engine.Check(t.Context(), 0)
	must(t, err)
	for _, v := range broken.Violations {
		t.Errorf("%s: %s: %s", v.Rule, v.ARN, v.Detail)
	}
}

func (p *provider) events(t *testing.T) string {
	t.Helper()
	var out []string
	must(t, p.store.View(t.Context(), func(tx store.ReadTx) error {
		list, err := tx.Events(p.secret.ID, 0, 200)
		out = nil
		for _, e := range list {
			out = append(out, fmt.Sprintf("%s: %s (%s)", e.Type, e.Data.Reason, e.Data.Hint))
		}
		return err
	}))
	return strings.Join(out, "\n")
}

func TestIssued(t *testing.T) {
	t.Parallel()
	for name, world := range map[string]func(*testing.T) *world{"sqlite": onSQLite, "postgresql": onPostgres} {
		t.Run("several/"+name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, world(t), tokentest.Options{}, tokentest.NewSeveral())
			p.pool(t.Context(), t)
			for n := 1; n <= 3; n++ {
				old := p.value(t)
				run := p.succeeded(t, p.rotate(t, "app").Run)
				if p.server.Issued() != n || p.value(t).Equal(old) || !strings.Contains(p.value(t).Reveal(), `"note":"kept"`) {
					t.Errorf("run %s: %d tokens issued", run.ID, p.server.Issued())
				}
				if !p.server.Accepts(tokentest.Secret(old)) || len(p.server.Tokens()) != 2 {
					t.Errorf("the old token works: %t; %d tokens work, want 2", p.server.Accepts(tokentest.Secret(old)), len(p.server.Tokens()))
				}
				p.holds(t)
				var steps []lockstep.Step
				for _, s := range p.history(t, run.ID).Steps {
					if !s.OK || s.Ended.IsZero() {
						t.Errorf("step %+v", s)
					}
					steps = append(steps, s.Step)
				}
				if fmt.Sprint(steps) != "[create set test finish]" {
					t.Errorf("steps %v", steps)
				}
			}
		})
		t.Run("one/"+name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, world(t), tokentest.Options{One: true}, tokentest.NewOne())
			p.pool(t.Context(), t)
			for range 3 {
				p.succeeded(t, p.rotate(t, "app").Run)
				p.holds(t)
			}
			if n := p.server.Issued(); n != 3 {
				t.Errorf("%d tokens issued, want 3", n)
			}
			var live []*lockstep.Version
			must(t, p.store.View(t.Context(), func(tx store.ReadTx) (err error) {
				live, err = tx.LiveVersions(p.secret.ID)
				return err
			}))
			if len(live) != 1 {
				t.Errorf("%d versions may be live, want 1", len(live))
			}
		})
	}
}

func TestIssuedRetiredByDelay(t *testing.T) {
	t.Parallel()
	p := newProvider(t, onSQLite(t), tokentest.Options{}, tokentest.NewSeveral(), func(in *runs.RotateInput) {
		in.Retirement = &lockstep.Retirement{After: lockstep.RetireDelay, Delay: 50 * time.Millisecond}
	})
	p.pool(t.Context(), t)
	old := p.value(t)
	p.succeeded(t, p.rotate(t, "app").Run)
	p.until(t, "the retirement", func(tx store.ReadTx) (bool, error) {
		list, err := tx.Events(p.secret.ID, 0, 100)
		return strings.Contains(fmt.Sprint(list), string(lockstep.EventVersionRetired)), err
	})
	if p.server.Accepts(tokentest.Secret(old)) || len(p.server.Tokens()) != 1 {
		t.Errorf("%d tokens work, want AWSCURRENT's alone", len(p.server.Tokens()))
	}
	p.holds(t)
}

// TestIssuedAnswerLost: of many, the orphan is revoked and another is issued;
// where issuing kills the old one, nobody asks again.
func TestIssuedAnswerLost(t *testing.T) {
	t.Parallel()
	t.Run("several", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, onSQLite(t), tokentest.Options{}, tokentest.NewSeveral())
		foreign := p.server.First("ci token")
		unknown := p.server.First(string(lockstep.NewMarker(p.secret.ARN, "run-0123456789abcdef0123456789abcdef", 7)))
		p.server.Break(tokentest.CallIssue, tokentest.CutAfter, tokentest.Garble)
		p.pool(t.Context(), t)
		p.succeeded(t, p.rotate(t, "app").Run)
		p.settled(t)
		for _, tok := range []tokentest.Token{foreign, unknown} {
			if !p.server.Accepts(tok.Secret) {
				t.Errorf("the token %q was revoked", tok.Name)
			}
			p.server.Kill(tok.Secret)
		}
		p.holds(t)
		told := p.events(t)
		if strings.Count(told, string(lockstep.EventOrphanRevoked)) != 2 || !strings.Contains(told, string(lockstep.EventOrphanUnknown)) || !strings.Contains(told, unknown.ID) {
			t.Errorf("the events tell:\n%s", told)
		}
	})
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, onSQLite(t), tokentest.Options{One: true}, tokentest.NewOne())
		p.server.Break(tokentest.CallIssue, tokentest.CutAfter)
		p.pool(t.Context(), t)
		p.lost(t, p.rotate(t, "app").Run)
	})
}

// lost asserts that a Run is lost, that nothing starts another, and that a value
// put by hand ends that.
func (p *provider) lost(t *testing.T, id lockstep.RunID) {
	t.Helper()
	asked := p.server.Calls(tokentest.CallIssue)
	run := p.ended(t, id)
	if run.State != lockstep.RunLost || run.Hint == "" || !strings.Contains(p.events(t), string(lockstep.EventRunLost)) {
		t.Fatalf("run is %s (%s), events:\n%s", run.State, run.Hint, p.events(t))
	}
	for range 2 {
		if _, err := p.engine.Rotate(t.Context(), ref("app"), runs.RotateInput{Token: token(t)}); !errors.Is(err, lockstep.ErrState) {
			t.Errorf("a rotation after a lost run: %v", err)
		}
		// A test of AWSCURRENT is nobody's deposit.
		test, err := p.engine.Rotate(t.Context(), ref("app"), runs.RotateInput{Token: token(t), TestOnly: true})
		must(t, err)
		p.ended(t, test.Run)
	}
	if n := p.server.Calls(tokentest.CallIssue); n > max(asked, 1) {
		t.Errorf("the provider was asked %d times", n)
	}
	broken, err := p.engine.Check(t.Context(), 0)
	must(t, err)
	if len(broken.Violations) != 0 {
		t.Errorf("%+v", broken.Violations)
	}
	p.put(t)
	p.succeeded(t, p.rotate(t, "app").Run)
	p.holds(t)
}

// TestIssuedRefused: what the provider says it has not done is done again, or ends
// the Run, and nothing is lost by it.
func TestIssuedRefused(t *testing.T) {
	t.Parallel()
	for name, rotator := range map[string]rotators.Rotator{"several": tokentest.NewSeveral(), "one": tokentest.NewOne()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, onSQLite(t), tokentest.Options{One: name == "one"}, rotator)
			p.server.Break(tokentest.CallIssue, tokentest.Refuse)
			p.pool(t.Context(), t)
			if run := p.ended(t, p.rotate(t, "app").Run); run.State != lockstep.RunFailed || !strings.Contains(run.Reason, "403") {
				t.Errorf("run is %s: %s", run.State, run.Reason)
			}
			p.holds(t)
			p.succeeded(t, p.rotate(t, "app").Run)
			p.holds(t)
		})
	}
}

// TestIssuedUndone: a token that fails its test is revoked; where there is nothing
// to go back to, the Run finishes and says so.
func TestIssuedUndone(t *testing.T) {
	t.Parallel()
	t.Run("several", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, onSQLite(t), tokentest.Options{}, tokentest.NewSeveral())
		p.server.Break(tokentest.CallTest, tokentest.Refuse)
		p.pool(t.Context(), t)
		if run := p.ended(t, p.rotate(t, "app").Run); run.State != lockstep.RunFailed {
			t.Errorf("run is %s: %s", run.State, run.Reason)
		}
		if n := len(p.server.Tokens()); n != 1 {
			t.Errorf("%d tokens work, want AWSCURRENT's", n)
		}
		p.holds(t)
	})
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, onSQLite(t), tokentest.Options{One: true}, tokentest.NewOne())
		p.server.Break(tokentest.CallTest, tokentest.Refuse)
		p.pool(t.Context(), t)
		p.succeeded(t, p.rotate(t, "app").Run)
		p.holds(t)
	})
}

// TestIssuedCancelled: a cancel while the provider works on it takes the token
// back, or takes effect once it is AWSCURRENT.
func TestIssuedCancelled(t *testing.T) {
	t.Parallel()
	for name, rotator := range map[string]rotators.Rotator{"several": tokentest.NewSeveral(), "one": tokentest.NewOne()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, onSQLite(t), tokentest.Options{One: name == "one"}, rotator)
			cancelled := make(chan error, 1)
			p.server.Hold(func(ctx context.Context) {
				_, err := p.engine.CancelRotation(ctx, ref("app"))
				cancelled <- err
			})
			p.pool(t.Context(), t)
			run := p.ended(t, p.rotate(t, "app").Run)
			must(t, <-cancelled)
			want := lockstep.RunCancelled
			if name == "one" {
				want = lockstep.RunSucceeded
			}
			if run.State != want || len(p.server.Tokens()) != 1 {
				t.Errorf("run is %s (%s); %d tokens work", run.State, run.Reason, len(p.server.Tokens()))
			}
			p.holds(t)
		})
	}
}

// TestIssuedExpires: a value that dies by itself is renewed before, without a
// schedule, and leaves M when it is dead.
func TestIssuedExpires(t *testing.T) {
	t.Parallel()
	const life = 30 * time.Minute
	p := newProvider(t, onSQLite(t), tokentest.Options{Life: life}, tokentest.NewEphemeral())
	p.pool(t.Context(), t)
	p.succeeded(t, p.rotate(t, "app").Run)
	var s *lockstep.Secret
	must(t, p.store.View(t.Context(), func(tx store.ReadTx) (err error) { s, err = tx.Secret(p.secret.ID); return err }))
	if left := time.Until(s.NextRotation); left <= life/3 || left > life*2/3 {
		t.Errorf("the next rotation is in %v, the token lives for %v", left, life)
	}
	// The settings of the day do not forget it.
	every := 24 * time.Hour
	_, err := p.engine.Configure(t.Context(), ref("app"), runs.RotateInput{VerifyEvery: &every})
	must(t, err)
	must(t, p.store.View(t.Context(), func(tx store.ReadTx) (err error) { s, err = tx.Secret(p.secret.ID); return err }))
	if s.NextRotation.IsZero() {
		t.Error("a change of the rotation has dropped the next date")
	}
	// Nothing finds what a lost answer left: it is left to die.
	p.server.Break(tokentest.CallIssue, tokentest.CutAfter)
	p.succeeded(t, p.rotate(t, "app").Run)
	p.settled(t)
	if n := p.server.Calls(tokentest.CallList) + p.server.Calls(tokentest.CallRevoke); n != 0 {
		t.Errorf("%d calls to list or revoke", n)
	}
}
