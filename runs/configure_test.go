package runs_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
)

func TestConfigureRefuses(t *testing.T) {
	r := onSQLite(t)
	r.secret(t, "db")
	if _, err := r.keeper.Create(t.Context(), keeper.CreateInput{
		Owner: owner, Name: "text", Token: token(t), Value: lockstep.StringValue("no JSON"),
	}); err != nil {
		t.Fatal(err)
	}
	name := func(s string) *string { return &s }
	for what, c := range map[string]struct {
		secret string
		in     runs.RotateInput
		want   error
	}{
		"no such secret":       {"nobody", runs.RotateInput{RotatorARN: name("single")}, lockstep.ErrNotFound},
		"no rotator":           {"db", runs.RotateInput{}, lockstep.ErrState},
		"unknown rotator":      {"db", runs.RotateInput{RotatorARN: name("nothing")}, lockstep.ErrUnknownRotator},
		"unknown rotator ARN":  {"db", runs.RotateInput{RotatorARN: name("arn:aws:lambda:us-east-1:1:function:nothing")}, lockstep.ErrDenied},
		"malformed schedule":   {"db", with("single", every("soon")), lockstep.ErrInvalid},
		"too often":            {"db", with("single", every("10ms")), lockstep.ErrInvalid},
		"never again":          {"db", with("single", func(in *runs.RotateInput) { in.Schedule = &lockstep.Schedule{Expression: "cron(0 0 1 1 ? 2020)"} }), lockstep.ErrInvalid},
		"unknown policy":       {"db", with("single", retired(lockstep.Retirement{After: "never"})), lockstep.ErrInvalid},
		"delay of nothing":     {"db", with("single", retired(lockstep.Retirement{After: lockstep.RetireDelay})), lockstep.ErrInvalid},
		"delay without policy": {"db", with("single", retired(lockstep.Retirement{Delay: time.Hour})), lockstep.ErrInvalid},
		"a value of no use":    {"text", runs.RotateInput{RotatorARN: name("single")}, lockstep.ErrState},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := r.Configure(t.Context(), ref(c.secret), c.in)
			var refusal *lockstep.Refusal
			if !errors.Is(err, c.want) || !errors.As(err, &refusal) {
				t.Errorf("got %v, want a refusal of kind %v", err, c.want)
			}
			if d, err := r.keeper.Describe(t.Context(), ref(c.secret)); err == nil && d.Secret.Rotation != nil {
				t.Errorf("stored all the same: %+v", d.Secret.Rotation)
			}
		})
	}
}

func with(rotator string, change func(*runs.RotateInput)) runs.RotateInput {
	in := runs.RotateInput{RotatorARN: &rotator}
	change(&in)
	return in
}

func TestOneSecretAnAccount(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.rotating(t, "db", "pair")
		for _, user := range []string{"db", "db_2"} {
			_, err := r.keeper.Create(t.Context(), createWith("second-"+user, credential{Host: "DB", User: user, Password: "x"}, token(t)))
			must(t, err)
			_, err = r.Configure(t.Context(), ref("second-"+user), with("single", func(*runs.RotateInput) {}))
			wants(t, err, lockstep.ErrState)
			if !strings.Contains(err.Error(), ":secret:db-") {
				t.Errorf("the refusal does not name the first: %v", err)
			}
		}
		_, err := r.CancelRotation(t.Context(), ref("db"))
		must(t, err)
		_, err = r.Configure(t.Context(), ref("second-db"), with("single", func(*runs.RotateInput) {}))
		must(t, err)
		_, err = r.CancelRotation(t.Context(), ref("db"))
		wants(t, err, lockstep.ErrState)
	})
}

// Two requests at once that set different parts of a Rotation both count.
func TestConfigureLosesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		s := r.rotating(t, "db", "pair")
		for i := range 10 {
			delay := time.Duration(i+1) * time.Minute
			var wg sync.WaitGroup
			for _, change := range []func(*runs.RotateInput){
				retired(lockstep.Retirement{After: lockstep.RetireDelay, Delay: delay}), every(delay.String()),
			} {
				wg.Go(func() {
					var in runs.RotateInput
					change(&in)
					if _, err := r.Configure(t.Context(), ref("db"), in); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			after, _ := r.read(t, s.ID)
			if after.Rotation.Retirement.Delay != delay || after.Rotation.Schedule.Expression != "@every "+delay.String() {
				t.Fatalf("one of two changes was lost: %+v", after.Rotation)
			}
		}
	})
}

func TestTheRotatorStaysWhileARunIsAtTheTarget(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single")
	out := r.rotate(t, "db")
	c := r.claim(t, out.Run, "worker")
	r.created(t, c)
	_, err := r.Configure(t.Context(), ref("db"), with("pair", func(*runs.RotateInput) {}))
	wants(t, err, lockstep.ErrState)
	must(t, c.Applied(t.Context()))
	must(t, c.Finish(t.Context()))
	_, err = r.Configure(t.Context(), ref("db"), with("pair", func(*runs.RotateInput) {}))
	must(t, err)
}
