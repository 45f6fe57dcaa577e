package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"lockstep"
	"lockstep/client/admin"
	"lockstep/client/internal/clienttest"
	"lockstep/internal/pgserver"
	"lockstep/internal/pgtest"
)

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, srv *clienttest.Server) *admin.Client {
	t.Helper()
	c, err := admin.New(t.Context(), admin.Config{
		Endpoint: srv.URL(), Region: clienttest.Region, Credentials: srv.Credentials(), CAFile: srv.CAFile(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rotating makes a secret of a real PostgreSQL role with a five-second
// schedule.
func rotating(t *testing.T, srv *clienttest.Server, c *admin.Client) {
	t.Helper()
	pg := pgtest.Shared(t)
	database := pg.Database(t)
	role := database + "_app"
	pg.Must(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'first'")
	t.Cleanup(func() {
		if err := pg.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	login := map[string]any{"engine": "postgres", "host": pgserver.Host, "port": pg.Port(), "dbname": database}
	value := func(user, password, master string) string {
		login["username"], login["password"] = user, password
		if master != "" {
			login["masterarn"] = master
		}
		b, err := json.Marshal(login)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	master := srv.Create(t, "admin", value(pgserver.Superuser, pg.Password(), ""))
	srv.Create(t, "app", value(role, "first", master))
	rotator := "postgres"
	got, err := c.SetRotation(testContext(t), "app", admin.RotationChange{
		Rotator: &rotator, Schedule: &admin.Schedule{Expression: "@every 1s"},
		Retirement: &admin.Retirement{After: lockstep.RetireNextRun},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !got.Enabled || got.Rotator != rotator || got.Schedule.Expression != "@every 1s" || got.NextRotation.IsZero() || got.Secret.Name != "app" {
		t.Errorf("rotation %+v", got)
	}
}

func TestRotationsRunsAndPlans(t *testing.T) {
	srv := clienttest.Start(t)
	c := open(t, srv)
	rotating(t, srv, c)
	plan, err := c.Plan(testContext(t), "app")
	if err != nil || !plan.Done || !plan.Ready || len(plan.Actions) == 0 {
		t.Errorf("plan %+v, %v", plan, err)
	}
	run := firstRun(t, c)
	if run.State != lockstep.RunSucceeded || !run.Final || len(run.Steps) < 4 || run.Steps[0].Step != lockstep.StepCreate || run.Steps[0].Outcome != "ok" {
		t.Errorf("run %+v", run)
	}
	if got, err := c.Rotation(testContext(t), "app"); err != nil || got.LastRotated.IsZero() {
		t.Errorf("rotation %+v, %v", got, err)
	}
	events, err := c.Events(testContext(t), admin.EventQuery{Secret: "app", After: 1, Limit: 2})
	if err != nil || len(events) != 2 || events[0].Seq != 2 || events[0].Name != "app" {
		t.Errorf("events %v, %v", events, err)
	}
	if got, err := c.Check(testContext(t)); err != nil || !got.OK {
		t.Errorf("check %+v, %v", got, err)
	}
	st, err := c.Status(testContext(t))
	if err != nil || st.Account != "000000000000" || st.Version != "test" || st.NATSURL == "" || len(st.Regions) != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
}

// firstRun waits for the first Run to be over.
func firstRun(t *testing.T, c *admin.Client) admin.Run {
	t.Helper()
	ctx := testContext(t)
	for {
		page, err := c.Runs(ctx, admin.RunQuery{Secret: "app", Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(page.Runs); n > 0 && page.Runs[n-1].Final {
			run, err := c.Run(ctx, page.Runs[n-1].ID)
			if err != nil {
				t.Fatal(err)
			}
			return run
		}
	}
}

func TestRefusalsAreTyped(t *testing.T) {
	srv := clienttest.Start(t)
	c := open(t, srv)
	srv.Create(t, "app", "x")
	ctx := testContext(t)
	unknown := "nothing"
	for name, try := range map[string]struct {
		call func() error
		kind error
		code string
	}{
		"no such secret":  {func() error { _, err := c.Rotation(ctx, "none"); return err }, lockstep.ErrNotFound, "NotFound"},
		"no such run":     {func() error { _, err := c.Run(ctx, "run-0"); return err }, lockstep.ErrNotFound, "NotFound"},
		"no such plan":    {func() error { _, err := c.PlanResult(ctx, "plan-0", 0); return err }, lockstep.ErrNotFound, "NotFound"},
		"no rotator":      {func() error { _, err := c.Plan(ctx, "app"); return err }, lockstep.ErrState, "State"},
		"unknown rotator": {func() error { _, err := c.SetRotation(ctx, "app", admin.RotationChange{Rotator: &unknown}); return err }, lockstep.ErrUnknownRotator, "UnknownRotator"},
		"a bad limit":     {func() error { _, err := c.Runs(ctx, admin.RunQuery{Limit: 100000}); return err }, lockstep.ErrInvalid, "Invalid"},
	} {
		err := try.call()
		var refused *admin.Error
		if !errors.As(err, &refused) || !errors.Is(err, try.kind) || refused.Code != try.code || refused.Message == "" || refused.Status < 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
