package workers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/keeper"
	"lockstep/rotators/postgres"
	"lockstep/runs"
	"lockstep/store"
)

// inspect lets the pools look at every target, and returns what was found.
func (w *world) inspect(t *testing.T) (*store.Inspection, []store.Violation) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wake, release := w.store.Subscribe(store.TopicSchedule)
	defer release()
	in, err := w.engine.Inspect(ctx, owner, "me")
	must(t, err)
	again, err := w.engine.Inspect(ctx, owner, "me")
	must(t, err)
	if again.ID != in.ID {
		t.Errorf("two inspections at once, %s and %s", in.ID, again.ID)
	}
	for in.Active {
		_, err := w.engine.AdmitDue(ctx, 100)
		must(t, err)
		in, err = w.engine.Inspection(ctx, owner, in.ID)
		must(t, err)
		if !in.Active {
			break
		}
		select {
		case <-wake:
		case <-ctx.Done():
			t.Fatalf("the inspection does not end: %+v", in)
		}
	}
	looks, err := w.engine.Findings(ctx, owner, in.ID, 0, 100)
	must(t, err)
	var found []store.Violation
	for _, l := range looks {
		found = append(found, l.Found...)
	}
	return in, found
}

func rulesOf(found []store.Violation) map[string]int {
	out := make(map[string]int)
	for _, v := range found {
		out[v.Rule]++
	}
	return out
}

// TestLooksAtTargets rotates a pair twice, so that one Version is retired, and
// then spoils at the target what a look has to see.
func TestLooksAtTargets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	s := w.app(t, postgres.NameAlternating, func(in *runs.RotateInput) {
		in.Retirement = &lockstep.Retirement{After: lockstep.RetireDelay, Delay: 50 * time.Millisecond}
	})
	w.pool(t.Context(), t)
	old := w.current(t, "app")
	w.succeeded(t, w.rotate(t, "app").Run)
	w.until(t, "the retirement", func(tx store.ReadTx) (bool, error) {
		list, err := tx.Events(s.ID, 0, 100)
		return strings.Contains(fmt.Sprint(list), string(lockstep.EventVersionRetired)), err
	})
	in, found := w.inspect(t)
	if in.Total != 1 || in.Answered != 1 || in.Broken+in.Unseen+in.Excused != 0 || len(found) != 0 {
		t.Errorf("a sound target: %+v, %v", in, found)
	}

	w.pg.Must(t, "ALTER ROLE "+old.User+" LOGIN PASSWORD '"+old.Password+"'")
	if _, found := w.inspect(t); rulesOf(found)[runs.RuleRetired] != 1 {
		t.Errorf("a retired version logs in: %v", found)
	}
	w.pg.Must(t, "ALTER ROLE "+old.User+" NOLOGIN PASSWORD NULL", "ALTER ROLE "+w.current(t, "app").User+" PASSWORD 'another'")
	if in, found := w.inspect(t); rulesOf(found)[runs.RuleCurrent] != 1 || in.Broken != 1 {
		t.Errorf("AWSCURRENT is refused: %+v, %v", in, found)
	}
	must(t, w.store.Update(t.Context(), func(tx store.Tx) error {
		s, err := tx.LockSecret(s.ID)
		if err != nil {
			return err
		}
		s.Unverified = true
		return tx.SaveSecret(s)
	}))
	if in, found := w.inspect(t); len(found) != 0 || in.Excused != 1 {
		t.Errorf("AWSCURRENT is refused, which is known: %+v, %v", in, found)
	}
}

// TestSessionsOfAPair: who still uses the old credential is named, and is gone
// once it is retired.
func TestSessionsOfAPair(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Shared(t))
	s := w.app(t, postgres.NameAlternating, func(in *runs.RotateInput) {
		in.Retirement = &lockstep.Retirement{After: lockstep.RetireManual}
	})
	w.pool(t.Context(), t)
	old := w.current(t, "app")
	conn := w.pg.Connect(t, old.User, old.Password, w.database)
	w.succeeded(t, w.rotate(t, "app").Run)
	ask := func() *store.Plan {
		plan, err := w.engine.Sessions(t.Context(), keeper.Ref{Owner: owner, ID: "app"})
		must(t, err)
		w.poll(t, "the answer", func() bool {
			plan, err = w.engine.PlanResult(t.Context(), owner, plan.ID)
			must(t, err)
			return plan.Done
		})
		return plan
	}
	if got := ask(); len(got.Sessions) != 1 || !got.Sessions[0].Old || got.Sessions[0].User != old.User || got.Sessions[0].Since == nil {
		t.Errorf("before the retirement: %+v", got)
	}
	_, err := w.engine.ReleaseRetirement(t.Context(), keeper.Ref{Owner: owner, ID: "app"}, runs.Release{By: "me"})
	must(t, err)
	w.until(t, "the retirement", func(tx store.ReadTx) (bool, error) {
		list, err := tx.Events(s.ID, 0, 100)
		return strings.Contains(fmt.Sprint(list), string(lockstep.EventVersionRetired)), err
	})
	if got := ask(); len(got.Sessions) != 0 || got.Error != "" {
		t.Errorf("after it: %+v", got)
	}
	if conn.Ping(t.Context()) == nil {
		t.Error("a session of the old credential lives on")
	}
}
