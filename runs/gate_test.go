package runs_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/migratedtest"
	"lockstep/runs"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

// limited is the rig with limits, on the same store.
func (r *rig) limited(l runs.Limits) *rig {
	cfg := r.config
	cfg.Limits = l
	c := *r
	c.Service = runs.New(cfg)
	return &c
}

// underWay lists the names of the Secrets whose Runs have a Job.
func (r *rig) underWay(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, j := range r.jobs(t) {
		if j.Kind == store.JobRun {
			out = append(out, j.Name)
		}
	}
	slices.Sort(out)
	return out
}

func (r *rig) admit(t *testing.T) {
	t.Helper()
	for {
		n, err := r.AdmitDue(t.Context(), 10)
		must(t, err)
		if n < 10 {
			return
		}
	}
}

func TestTheGovernorsLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits runs.Limits
		want   int
	}{
		{"in all", runs.Limits{Total: 3}, 3},
		{"per rotator", runs.Limits{PerRotator: 2}, 2},
		{"per target", runs.Limits{PerTarget: 1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := onSQLite(t).limited(c.limits)
			for i := range 6 {
				r.rotating(t, fmt.Sprintf("s%d", i), "single", every("1h"))
			}
			r.clock.pass(time.Hour)
			seen := map[string]bool{}
			for len(seen) < 6 {
				r.admit(t)
				now := r.underWay(t)
				if len(now) == 0 || len(now) > c.want {
					t.Fatalf("%d runs are under way, %d have been", len(now), len(seen))
				}
				list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
				must(t, err)
				for _, h := range list {
					if waits := !slices.Contains(now, h.Secret.Name); waits != strings.HasPrefix(h.Run.Reason, "waits for a place") {
						t.Errorf("%s waits %t, reason %q", h.Secret.Name, waits, h.Run.Reason)
					}
				}
				id := runNamed(list, now[0])
				r.finished(t, id)
				must(t, r.dropJob(t, now[0]))
				seen[now[0]] = true
			}
			r.sound(t)
		})
	}
}

// TestStartsByHandAtOnceExceedNoLimit: as many persons press the button at the
// same moment as the store has connections.
func TestStartsByHandAtOnceExceedNoLimit(t *testing.T) {
	const limit, secrets = 2, 18
	onBoth(t, func(t *testing.T, r *rig) {
		r = r.limited(runs.Limits{Total: limit})
		for i := range secrets {
			r.rotating(t, fmt.Sprintf("s%d", i), "single")
		}
		var hands sync.WaitGroup
		for i := range secrets {
			own := token(t)
			hands.Go(func() {
				if _, err := r.Rotate(t.Context(), ref(fmt.Sprintf("s%d", i)), runs.RotateInput{Token: own}); err != nil {
					t.Error(err)
				}
			})
		}
		hands.Wait()
		if n := r.places(t); n > limit {
			t.Errorf("%d runs are under way", n)
		}
		r.admit(t)
		if n := r.places(t); n != limit {
			t.Errorf("%d runs are under way after those that wait were let in", n)
		}
	})
}

// TestAStartByHandTakesNoPlaceBesideAnother: whoever gives places away at this
// moment may be about to give the last one.
func TestAStartByHandTakesNoPlaceBesideAnother(t *testing.T) {
	r := newRig(t, sqlstore.Config{DSN: migratedtest.Postgres(t), Connections: 4}, nil).limited(runs.Limits{Total: 9})
	r.rotating(t, "s", "single")
	must(t, r.store.Update(t.Context(), func(tx store.Tx) error {
		if _, err := tx.LockAdmission(); err != nil {
			return err
		}
		run := r.run(t, r.rotate(t, "s").Run)
		if n := r.places(t); n != 0 || !strings.Contains(run.Reason, "others come first") {
			t.Errorf("%d runs are under way, reason %q", n, run.Reason)
		}
		return nil
	}))
	r.admit(t)
	if n := r.places(t); n != 1 {
		t.Errorf("%d runs are under way after the other has ended", n)
	}
}

func (r *rig) places(t *testing.T) (n int) {
	t.Helper()
	r.view(t, func(tx store.ReadTx) error {
		used, err := tx.Usage()
		for _, u := range used {
			n += u.Places
		}
		return err
	})
	return n
}

func runNamed(list []runs.History, name string) lockstep.RunID {
	for _, h := range list {
		if h.Secret.Name == name {
			return h.Run.ID
		}
	}
	return ""
}

// dropJob does what the relay does once the stream has the Job.
func (r *rig) dropJob(t *testing.T, name string) error {
	return r.store.Update(t.Context(), func(tx store.Tx) error {
		s, err := tx.FindSecret(owner, name)
		if err != nil {
			return err
		}
		return tx.DropJobs(s.ID, store.JobRun)
	})
}

func TestWhoGoesFirst(t *testing.T) {
	r := onSQLite(t).limited(runs.Limits{Total: 1})
	r.rotating(t, "first", "single")
	for _, name := range []string{"scheduled", "old", "older"} {
		age := map[string]time.Duration{"old": 3 * time.Hour, "older": 2 * time.Hour}[name]
		r.rotating(t, name, "single", func(in *runs.RotateInput) {
			in.Schedule = &lockstep.Schedule{Expression: "@every 1h", MaxAge: age}
		})
	}
	r.rotating(t, "manual", "single")
	r.rotating(t, "emergency", "single")
	out := r.rotate(t, "first")
	r.admit(t)
	r.clock.pass(time.Hour)
	r.admit(t)
	r.rotate(t, "manual")
	_, err := r.Rotate(t.Context(), ref("emergency"), runs.RotateInput{Token: token(t), Trigger: lockstep.TriggerEmergency})
	must(t, err)
	r.admit(t)
	name, id := "first", out.Run
	var order []string
	for {
		r.finished(t, id)
		must(t, r.dropJob(t, name))
		r.admit(t)
		now := r.underWay(t)
		if len(now) == 0 {
			break
		}
		if name = now[0]; len(now) > 1 || len(order) > 5 {
			t.Fatalf("under way: %v after %v", now, order)
		}
		order = append(order, name)
		list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true})
		must(t, err)
		id = runNamed(list, name)
	}
	if want := []string{"emergency", "manual", "older", "old", "scheduled"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

// A Run that is put aside for a retirement holds no place, and gets one again.
func TestAParkedRunLeavesItsPlace(t *testing.T) {
	r := onSQLite(t).limited(runs.Limits{Total: 2})
	s := r.rotating(t, "pair", "pair", retired(lockstep.Retirement{After: lockstep.RetireManual}))
	r.rotating(t, "other", "single")
	r.finished(t, r.rotate(t, "pair").Run)
	_, stages := r.read(t, s.ID)
	parked := r.rotate(t, "pair")
	r.admit(t)
	_, err := r.Claim(t.Context(), parked.Run, "worker")
	if err == nil || !strings.Contains(err.Error(), "blocked by retirement") {
		t.Fatal(err)
	}
	usage := func() (n int) {
		r.view(t, func(tx store.ReadTx) error {
			list, err := tx.Usage()
			for _, u := range list {
				n += u.Places
			}
			return err
		})
		return n
	}
	if usage() != 0 {
		t.Error("the run that waits for a person holds a place")
	}
	_, err = r.ReleaseRetirement(t.Context(), ref("pair"), runs.Release{By: "anna"})
	must(t, err)
	c, err := r.ClaimRetire(t.Context(), s.ID, stages[lockstep.Previous], "worker")
	must(t, err)
	must(t, c.Retired(t.Context()))
	r.finished(t, parked.Run)
	if usage() != 0 {
		t.Error("a place is left over")
	}
}

func hold(name string, kind lockstep.HoldKind) lockstep.Hold {
	return lockstep.Hold{Account: owner.Account, Region: owner.Region, Name: name, Kind: kind, By: "anna"}
}

func (r *rig) set(t *testing.T, h lockstep.Hold) {
	t.Helper()
	_, err := r.SetHold(t.Context(), h)
	must(t, err)
}

func TestPauseAndResume(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		s := r.rotating(t, "db", "single")
		r.rotating(t, "urgent", "single")
		r.set(t, hold("pause", lockstep.HoldPause))
		held := r.rotate(t, "db")
		if got := r.run(t, held.Run); got.State != lockstep.RunQueued || !strings.Contains(got.Reason, "pause") {
			t.Errorf("state %s, reason %q", got.State, got.Reason)
		}
		if r.events(t, s.ID)[lockstep.EventRunWaiting] != 1 {
			t.Error("no event says that it waits")
		}
		urgent, err := r.Rotate(t.Context(), ref("urgent"), runs.RotateInput{Token: token(t), Trigger: lockstep.TriggerEmergency})
		must(t, err)
		r.finished(t, urgent.Run) // an emergency passes
		r.admit(t)
		if _, err := r.Claim(t.Context(), held.Run, "worker"); err == nil {
			t.Error("a run that is held was claimed")
		}
		must(t, r.RemoveHold(t.Context(), owner, "pause"))
		r.admit(t)
		r.finished(t, held.Run)
		wants(t, r.RemoveHold(t.Context(), owner, "pause"), lockstep.ErrNotFound)
		r.sound(t)
	})
}

func TestHoldsCover(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "prod/db", "single", every("1h"))
	r.rotating(t, "test/db", "single", every("1h"))
	h := hold("pause-prod", lockstep.HoldPause)
	h.Match = "prod/*"
	r.set(t, h)
	r.clock.pass(time.Hour)
	r.admit(t)
	if got := r.underWay(t); !slices.Equal(got, []string{"test/db"}) {
		t.Errorf("under way: %v", got)
	}
	must(t, r.RemoveHold(t.Context(), owner, "pause-prod"))
	r.admit(t)
	if got := r.underWay(t); len(got) != 2 {
		t.Errorf("after the pause: %v", got)
	}
}

func TestAFreezeMovesTheDate(t *testing.T) {
	r := onSQLite(t)
	s := r.rotating(t, "db", "single", every("1h"))
	f := hold("freeze", lockstep.HoldFreeze)
	f.From, f.To = began, began.Add(5*time.Hour)
	r.set(t, f)
	r.clock.pass(time.Hour)
	r.admit(t)
	after, _ := r.read(t, s.ID)
	if !after.NextRotation.Equal(f.To) || len(r.underWay(t)) != 0 {
		t.Errorf("next rotation %s, want the end of the freeze %s", after.NextRotation, f.To)
	}
	r.clock.pass(4 * time.Hour)
	r.admit(t)
	if len(r.underWay(t)) != 1 {
		t.Error("the freeze is over, and nothing runs")
	}
	// A person's run waits as a row and goes by itself when the freeze ends.
	r.rotating(t, "byhand", "single")
	f.Name, f.From, f.To = "again", r.clock.read(), r.clock.read().Add(time.Hour)
	r.set(t, f)
	out := r.rotate(t, "byhand")
	next, _, err := r.NextDue(t.Context())
	must(t, err)
	if !next.Equal(f.To) || !strings.Contains(r.run(t, out.Run).Reason, "until") {
		t.Errorf("looks again at %s, reason %q", next, r.run(t, out.Run).Reason)
	}
	r.clock.pass(time.Hour)
	r.admit(t)
	r.finished(t, out.Run)
}

func TestAMaximumAgeOutranksWindowAndGoesBeforeAFreeze(t *testing.T) {
	r := onSQLite(t)
	aged := func(in *runs.RotateInput) {
		in.Schedule = &lockstep.Schedule{Expression: "rate(90 days)", MaxAge: 240 * time.Hour}
	}
	s := r.rotating(t, "db", "single", aged)
	if want := began.Add(239 * time.Hour); !s.NextRotation.Equal(want) {
		t.Errorf("next rotation %s, want %s: an hour before it is ten days old", s.NextRotation, want)
	}
	f := hold("freeze", lockstep.HoldFreeze)
	f.From, f.To = began.Add(200*time.Hour), began.Add(300*time.Hour)
	r.set(t, f)
	s = r.rotating(t, "other", "single", aged)
	if !s.NextRotation.Before(f.From) || s.NextRotation.IsZero() {
		t.Errorf("next rotation %s: it must go before the freeze from %s", s.NextRotation, f.From)
	}
	// After a rotation the age counts anew.
	r.clock.pass(s.NextRotation.Sub(began))
	r.admit(t)
	list, err := r.Runs(t.Context(), store.RunQuery{Owner: owner, Open: true, Secret: s.ID})
	must(t, err)
	r.finished(t, list[0].Run.ID)
	after, _ := r.read(t, s.ID)
	if age := after.NextRotation.Sub(after.LastRotated); age > 240*time.Hour || age < 200*time.Hour {
		t.Errorf("rotated at %s, next at %s", after.LastRotated, after.NextRotation)
	}
}

func TestHoldsAreRefused(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single", func(in *runs.RotateInput) {
		in.Schedule = &lockstep.Schedule{Expression: "rate(30 days)", MaxAge: 2160 * time.Hour}
	})
	for name, change := range map[string]func(*lockstep.Hold){
		"no kind":                        func(h *lockstep.Hold) { h.Kind = "stop" },
		"a bad name":                     func(h *lockstep.Hold) { h.Name = "a b" },
		"name and tag":                   func(h *lockstep.Hold) { h.Match, h.Tag.Key = "x", "k" },
		"a malformed pattern":            func(h *lockstep.Hold) { h.Match = "[" },
		"over before it begins":          func(h *lockstep.Hold) { h.To = h.From },
		"over already":                   func(h *lockstep.Hold) { h.From, h.To = began.Add(-2*time.Hour), began.Add(-time.Hour) },
		"neither when nor how often":     func(h *lockstep.Hold) { h.From, h.To = time.Time{}, time.Time{} },
		"an unknown zone":                func(h *lockstep.Hold) { recur(h, "0 18 * * 5", "Mars/Olympus", time.Hour) },
		"an impossible cron":             func(h *lockstep.Hold) { recur(h, "0 0 30 2 *", "", time.Hour) },
		"longer than its interval":       func(h *lockstep.Hold) { recur(h, "0 18 * * *", "", 48*time.Hour) },
		"endless, with a deadline in it": func(h *lockstep.Hold) { h.To = time.Time{} },
		"a pause with an end":            func(h *lockstep.Hold) { h.Kind = lockstep.HoldPause },
	} {
		h := hold("freeze", lockstep.HoldFreeze)
		h.From, h.To = began, began.Add(time.Hour)
		change(&h)
		_, err := r.SetHold(t.Context(), h)
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		wants(t, err, lockstep.ErrInvalid)
		if !strings.Contains(err.Error(), "example") {
			t.Errorf("%s: %v has no example", name, err)
		}
	}
	// The other way round: an endless freeze is there, and a maximum age is set.
	r = onSQLite(t)
	f := hold("freeze", lockstep.HoldFreeze)
	f.From = began
	r.set(t, f)
	r.secret(t, "db")
	single := "single"
	_, err := r.Configure(t.Context(), ref("db"), runs.RotateInput{
		Token: token(t), RotatorARN: &single, Schedule: &lockstep.Schedule{Expression: "rate(30 days)", MaxAge: 2160 * time.Hour},
	})
	wants(t, err, lockstep.ErrInvalid)
}

func recur(h *lockstep.Hold, expression, zone string, length time.Duration) {
	h.From, h.To = time.Time{}, time.Time{}
	h.Recurring = lockstep.Recurrence{Expression: expression, TimeZone: zone, For: length}
}

func TestDriftIsLookedFor(t *testing.T) {
	r := onSQLite(t)
	every := 6 * time.Hour
	s := r.rotating(t, "db", "single", func(in *runs.RotateInput) { in.VerifyEvery = &every })
	if wait := s.NextVerify.Sub(began); wait < every/2 || wait > every {
		t.Errorf("the first look comes after %s", wait)
	}
	first := s.NextVerify
	r.clock.pass(first.Sub(began))
	r.admit(t)
	var verify []store.Job
	for _, j := range r.jobs(t) {
		if j.Kind == store.JobVerify {
			verify = append(verify, j)
		}
	}
	after, _ := r.read(t, s.ID)
	if len(verify) != 1 || !after.NextVerify.Equal(first.Add(every)) {
		t.Fatalf("jobs %v, next look %s", verify, after.NextVerify)
	}
	c, err := r.ClaimVerify(t.Context(), s.ID, "worker")
	must(t, err)
	must(t, c.VerifyFailed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultTransient), 0))
	if after, _ = r.read(t, s.ID); after.Unverified {
		t.Error("a target that is away says nothing about the value")
	}
	c, err = r.ClaimVerify(t.Context(), s.ID, "worker")
	must(t, err)
	must(t, c.VerifyFailed(t.Context(), fault(lockstep.NotApplied, lockstep.FaultRefusedLogin), 0))
	if after, _ = r.read(t, s.ID); !after.Unverified {
		t.Error("a refused login is drift")
	}
	off := -time.Second
	s = r.rotating(t, "quiet", "single", func(in *runs.RotateInput) { in.VerifyEvery = &off })
	if !s.NextVerify.IsZero() {
		t.Errorf("never, and yet at %s", s.NextVerify)
	}
}

func TestPreviewAndLoad(t *testing.T) {
	r := onSQLite(t)
	r.rotating(t, "db", "single", func(in *runs.RotateInput) {
		in.Schedule = &lockstep.Schedule{Expression: "cron(0 3 * * ? *)"}
	})
	f := hold("freeze", lockstep.HoldFreeze)
	f.From, f.To = time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)
	r.set(t, f)
	p, err := r.Preview(t.Context(), ref("db"), 3)
	must(t, err)
	var got []string
	for _, fire := range p.Fires {
		got = append(got, fire.At.Format("02T15 ")+fire.Why)
	}
	if want := []string{"02T03 regular", "03T09 frozen", "04T03 regular"}; !slices.Equal(got, want) || p.Zone != "UTC" {
		t.Errorf("preview %v in %s, want %v", got, p.Zone, want)
	}
	l, err := r.Load(t.Context(), owner, 3)
	must(t, err)
	total := 0
	for _, n := range l.Hours {
		total += n
	}
	if len(l.Hours) != 72 || l.Secrets != 1 || total != 3 || l.Hours[15] != 1 || l.Hours[45] != 1 {
		t.Errorf("load %+v", l)
	}
	_, err = r.PreviewExpression(t.Context(), lockstep.Schedule{Expression: "0 0 30 2 *"}, 3)
	wants(t, err, lockstep.ErrInvalid)
	p, err = r.PreviewExpression(t.Context(), lockstep.Schedule{Expression: "0 9 * * 1", TimeZone: "Europe/Berlin"}, 2)
	must(t, err)
	if len(p.Fires) != 2 || p.Zone != "Europe/Berlin" {
		t.Errorf("%+v", p)
	}
}
