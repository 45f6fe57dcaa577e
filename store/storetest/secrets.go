package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var secretTests = map[string]func(*testing.T, *fixture){
	"every field comes back":             secretFields,
	"nil and empty tags differ":          secretTags,
	"a name is unique while not gone":    secretNames,
	"save keeps the event sequence":      secretEventSeq,
	"found by name, ARN and partial ARN": secretFind,
	"access moves forward only":          secretAccess,
	"next due":                           secretNextDue,
	"claim due":                          secretClaimDue,
	"purge due":                          secretPurgeDue,
	"purge takes all but events":         secretPurge,
	"unverified due":                     secretUnverified,
	"accounts":                           secretAccounts,
	"numbers are not reused":             secretNumbers,
}

// fullSecret has every field set; a new field that the store forgets fails the
// test, since no field may be zero.
func fullSecret(t *testing.T, at time.Time) *lockstep.Secret {
	t.Helper()
	s := newSecret(t, "prod/db/orders", at)
	day := at.Truncate(24 * time.Hour)
	s.Description, s.Type, s.KMSKeyID, s.ResourcePolicy = "orders' Ünicode", "database", "alias/x", `{"Version":"2012-10-17"}`
	s.Tags = []lockstep.Tag{{Key: "z", Value: "1"}, {Key: "a", Value: ""}}
	s.Changed, s.Accessed, s.DeleteAt = at.Add(time.Second), day, at.Add(time.Hour)
	s.Gone, s.Unverified = true, true
	s.PrimaryRegion = "eu-west-1"
	s.Replicas = []lockstep.Replica{{Region: "eu-west-1", KMSKeyID: "k", Status: "InSync", Message: "m"}}
	s.Rotation = &lockstep.Rotation{
		Enabled: true, Rotator: "postgres", RotatorARN: "arn:x", Custom: true,
		Schedule:    lockstep.Schedule{Expression: "rate(1 day)", TimeZone: "Europe/Berlin", Jitter: time.Minute, MaxAge: time.Hour, Anchor: at},
		Retirement:  lockstep.Retirement{After: lockstep.RetireDelay, Delay: time.Hour},
		MaxAttempts: 3, RunDeadline: time.Hour, VerifyEvery: time.Hour,
	}
	s.LastRotated, s.NextRotation, s.EventSeq = at.Add(-time.Hour), at.Add(time.Hour), 7
	s.NextVerify, s.Target, s.AdminRef = at.Add(time.Minute), "target", "admin"
	return s
}

func secretFields(t *testing.T, f *fixture) {
	s := fullSecret(t, f.now(t))
	f.update(t, func(tx store.Tx) error { return tx.InsertSecret(s) })
	noZeroField(t, *s)
	get := func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(s.ID) }
	same(t, read(t, f, get), s)

	s.Gone, s.DeleteAt, s.Description = false, time.Time{}, "changed"
	s.Rotation.Schedule.Expression = "rate(2 days)"
	f.update(t, func(tx store.Tx) error { return tx.SaveSecret(s) })
	same(t, read(t, f, get), s)

	s.Tags, s.Replicas, s.Rotation = nil, nil, nil
	f.update(t, func(tx store.Tx) error { return tx.SaveSecret(s) })
	same(t, read(t, f, get), s)

	missing(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(s.ID + 1) })
	absent := s.Clone()
	absent.ID++
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.SaveSecret(absent) })
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { _, err := tx.LockSecret(absent.ID); return err })
}

// noZeroField keeps the "full" samples of this suite full.
func noZeroField(t *testing.T, v any) {
	t.Helper()
	r := reflect.ValueOf(v)
	for i := range r.NumField() {
		if r.Field(i).IsZero() {
			t.Errorf("the sample leaves %s.%s at zero", r.Type(), r.Type().Field(i).Name)
		}
	}
}

func same[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func secretTags(t *testing.T, f *fixture) {
	never := f.secret(t, "never")
	none := f.secret(t, "none", func(s *lockstep.Secret) { s.Tags = []lockstep.Tag{} })
	if s := read(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(never.ID) }); s.Tags != nil {
		t.Errorf("never tagged: got %#v, want nil", s.Tags)
	}
	if s := read(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(none.ID) }); s.Tags == nil {
		t.Error("tags removed: got nil, want empty")
	}
}

func secretNames(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	insert := func(s *lockstep.Secret) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.InsertSecret(s) }
	}
	f.refuse(t, lockstep.ErrExists, insert(newSecret(t, "name", s.Created)))

	other := newSecret(t, "name", s.Created)
	other.Region = "eu-west-1"
	f.update(t, insert(other))
	f.update(t, insert(newSecret(t, "Name", s.Created)))

	s.DeleteAt = s.Created.Add(time.Hour)
	f.update(t, func(tx store.Tx) error { return tx.SaveSecret(s) })
	f.refuse(t, lockstep.ErrExists, insert(newSecret(t, "name", s.Created)))

	s.Gone = true
	f.update(t, func(tx store.Tx) error { return tx.SaveSecret(s) })
	again := newSecret(t, "name", s.Created)
	f.update(t, insert(again))
	got := read(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.FindSecret(owner, "name") })
	same(t, got.ID, again.ID)
}

func secretEventSeq(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	f.update(t, func(tx store.Tx) error {
		locked, err := tx.LockSecret(s.ID)
		if err != nil {
			return err
		}
		if err := tx.AddEvent(event(t, s, lockstep.EventSecretCreated)); err != nil {
			return err
		}
		return tx.SaveSecret(locked)
	})
	got := read(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(s.ID) })
	same(t, got.EventSeq, 1)
}

func secretFind(t *testing.T, f *fixture) {
	plain := f.secret(t, "prod/db")
	dashed := f.secret(t, "prod/db-a1b2c3")
	f.secret(t, "marked", func(s *lockstep.Secret) { s.DeleteAt = s.Created.Add(time.Hour) })
	f.secret(t, "gone", func(s *lockstep.Secret) { s.Gone = true })
	partial := func(name string) string {
		return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s", region, account, name)
	}
	for _, c := range []struct {
		ref  string
		want string
	}{
		{"prod/db", "prod/db"},
		{"prod/db-a1b2c3", "prod/db-a1b2c3"},
		{string(plain.ARN), "prod/db"},
		{string(dashed.ARN), "prod/db-a1b2c3"},
		{partial("prod/db"), "prod/db"},
		// It reads as a full ARN of prod/db with another suffix.
		{partial("prod/db-a1b2c3"), ""},
		{partial("prod/db-zzzzzz"), ""},
		{string(plain.ARN[:len(plain.ARN)-1]), ""},
		{partial("prod/d"), ""},
		{"arn:aws-cn:secretsmanager:us-east-1:000000000000:secret:prod/db", ""},
		{"arn:aws:secretsmanager:eu-west-1:000000000000:secret:prod/db", ""},
		{"arn:aws:secretsmanager:us-east-1:111111111111:secret:prod/db", ""},
		{"Prod/db", ""},
		{"", ""},
		{"marked", "marked"},
		{"gone", ""},
	} {
		get := func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.FindSecret(owner, c.ref) }
		if c.want == "" {
			t.Run("no "+c.ref, func(t *testing.T) { missing(t, f, get) })
			continue
		}
		t.Run(c.ref, func(t *testing.T) { same(t, read(t, f, get).Name, c.want) })
	}
	missing(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) {
		return tx.FindSecret(store.Owner{Account: "111111111111", Region: region}, "prod/db")
	})
}

func secretAccess(t *testing.T, f *fixture) {
	s := f.secret(t, "name")
	f.version(t, s.ID, "v1")
	day := s.Created.Truncate(24 * time.Hour)
	for _, d := range []time.Time{day, day.AddDate(0, 0, -1)} {
		f.update(t, func(tx store.Tx) error { return tx.TouchAccess(s.ID, "v1", d) })
		same(t, read(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(s.ID) }).Accessed, day)
		same(t, read(t, f, func(tx store.ReadTx) (*lockstep.Version, error) { return tx.Version(s.ID, "v1") }).Accessed, day)
	}
	f.update(t, func(tx store.Tx) error { return tx.TouchAccess(s.ID, "absent", day) })
}

func secretNextDue(t *testing.T, f *fixture) {
	next := func(tx store.ReadTx) (time.Time, error) { return tx.NextDue() }
	same(t, read(t, f, next), time.Time{})
	at := f.now(t).Add(time.Hour)
	f.secret(t, "later", due(at.Add(time.Hour)))
	f.secret(t, "off", due(at.Add(-time.Hour)), func(s *lockstep.Secret) { s.Rotation.Enabled = false })
	f.secret(t, "marked", due(at.Add(-time.Hour)), func(s *lockstep.Secret) { s.DeleteAt = at })
	f.secret(t, "gone", due(at.Add(-time.Hour)), func(s *lockstep.Secret) { s.Gone = true })
	f.secret(t, "by hand", due(time.Time{}))
	s := f.secret(t, "first", due(at))
	same(t, read(t, f, next), at)
	s.NextRotation = at.Add(3 * time.Hour)
	f.update(t, func(tx store.Tx) error { return tx.SaveSecret(s) })
	same(t, read(t, f, next), at.Add(time.Hour))
}

func secretClaimDue(t *testing.T, f *fixture) {
	at := f.now(t)
	f.secret(t, "second", due(at.Add(-time.Second)))
	f.secret(t, "first", due(at.Add(-time.Minute)))
	f.secret(t, "future", due(at.Add(time.Hour)))
	f.secret(t, "off", due(at.Add(-time.Hour)), func(s *lockstep.Secret) { s.Rotation.Enabled = false })
	claim := func(limit int) (names []string) {
		f.update(t, func(tx store.Tx) error {
			names = nil
			list, err := tx.ClaimDue(limit)
			for _, s := range list {
				names = append(names, s.Name)
			}
			return err
		})
		return names
	}
	same(t, claim(1), []string{"first"})
	same(t, claim(10), []string{"first", "second"})
	f.update(t, func(tx store.Tx) error {
		list, err := tx.ClaimDue(10)
		for _, s := range list {
			s.NextRotation = at.Add(time.Hour)
			if err := tx.SaveSecret(s); err != nil {
				return err
			}
		}
		return err
	})
	same(t, claim(10), nil)
}

func secretPurgeDue(t *testing.T, f *fixture) {
	at := f.now(t)
	gone := f.secret(t, "gone", func(s *lockstep.Secret) { s.Gone = true })
	past := f.secret(t, "past", func(s *lockstep.Secret) { s.DeleteAt = at.Add(-time.Hour) })
	f.secret(t, "future", func(s *lockstep.Secret) { s.DeleteAt = at.Add(time.Hour) })
	f.secret(t, "live")
	held := f.secret(t, "held", func(s *lockstep.Secret) { s.Gone = true })
	f.run(t, held.ID, "run-1")
	got := read(t, f, func(tx store.ReadTx) ([]lockstep.SecretID, error) { return tx.PurgeDue(10) })
	slices.Sort(got)
	same(t, got, []lockstep.SecretID{gone.ID, past.ID})
	same(t, len(read(t, f, func(tx store.ReadTx) ([]lockstep.SecretID, error) { return tx.PurgeDue(1) })), 1)
}

func secretPurge(t *testing.T, f *fixture) {
	s, other := f.secret(t, "name"), f.secret(t, "other")
	for _, id := range []lockstep.SecretID{s.ID, other.ID} {
		v := f.version(t, id, "v1")
		r := f.run(t, id, lockstep.RunID(fmt.Sprintf("run-%d", id)))
		f.update(t, func(tx store.Tx) error {
			_, err := tx.BeginStep(lockstep.StepRecord{Run: r.ID, Step: lockstep.StepCreate, Started: v.Created})
			return firstError(err,
				tx.SaveStages(id, lockstep.Stages{lockstep.Current: "v1"}),
				tx.AddRefused(id, "v1", sealed("refused")),
				tx.HoldAccount(lockstep.AccountKey(fmt.Sprint(id)), id),
				tx.AddJob(&store.Job{Kind: store.JobRun, Secret: id, Run: r.ID}),
				tx.SavePlan(&store.Plan{ID: fmt.Sprint(id), Secret: id, Created: v.Created}),
			)
		})
	}
	f.update(t, func(tx store.Tx) error { return tx.AddEvent(event(t, s, lockstep.EventSecretPurged)) })
	f.update(t, func(tx store.Tx) error { return tx.PurgeSecret(s.ID) })

	missing(t, f, func(tx store.ReadTx) (*lockstep.Secret, error) { return tx.Secret(s.ID) })
	missing(t, f, func(tx store.ReadTx) (*lockstep.Version, error) { return tx.Version(s.ID, "v1") })
	missing(t, f, func(tx store.ReadTx) (lockstep.Slot, error) { return tx.Slot(s.ID) })
	missing(t, f, func(tx store.ReadTx) (*lockstep.Run, error) { return tx.LastRun(s.ID) })
	missing(t, f, func(tx store.ReadTx) (*store.Plan, error) { return tx.Plan(fmt.Sprint(s.ID)) })
	missing(t, f, func(tx store.ReadTx) (lockstep.SecretID, error) {
		return tx.AccountHolder(lockstep.AccountKey(fmt.Sprint(s.ID)))
	})
	events := read(t, f, func(tx store.ReadTx) ([]lockstep.Event, error) { return tx.Events(s.ID, 0, 10) })
	same(t, len(events), 1)
	same(t, read(t, f, func(tx store.ReadTx) (*lockstep.Run, error) { return tx.OpenRun(other.ID) }).Secret, other.ID)
	same(t, len(read(t, f, func(tx store.ReadTx) ([]store.Job, error) { return tx.Jobs(10) })), 1)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.PurgeSecret(s.ID) })
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func secretUnverified(t *testing.T, f *fixture) {
	unverified := func(s *lockstep.Secret) {
		s.Unverified, s.Rotation = true, &lockstep.Rotation{Enabled: true, Rotator: "r"}
	}
	f.secret(t, "off", unverified, func(s *lockstep.Secret) { s.Rotation.Enabled = false })
	plain := f.secret(t, "plain", unverified)
	f.secret(t, "fine")
	f.secret(t, "marked", unverified, func(s *lockstep.Secret) { s.DeleteAt = s.Created.Add(time.Hour) })
	running := f.secret(t, "running", unverified)
	f.run(t, running.ID, "run-1")
	queued := f.secret(t, "queued", unverified)
	f.update(t, func(tx store.Tx) error { return tx.AddJob(&store.Job{Kind: store.JobVerify, Secret: queued.ID}) })
	leased := f.secret(t, "leased", unverified)
	f.claim(t, leased.ID, "w1", 50*time.Millisecond)

	list := func(tx store.ReadTx) ([]lockstep.SecretID, error) { return tx.UnverifiedDue(10) }
	same(t, read(t, f, list)[:1], []lockstep.SecretID{plain.ID})
	f.pass(t, 100*time.Millisecond)
	same(t, read(t, f, list), []lockstep.SecretID{plain.ID, leased.ID})
}

func secretAccounts(t *testing.T, f *fixture) {
	a, b := f.secret(t, "a"), f.secret(t, "b")
	holder := func(tx store.ReadTx) (lockstep.SecretID, error) { return tx.AccountHolder("acct") }
	missing(t, f, holder)
	hold := func(id lockstep.SecretID) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.HoldAccount("acct", id) }
	}
	f.update(t, hold(a.ID))
	f.update(t, hold(a.ID))
	f.refuse(t, lockstep.ErrConflict, hold(b.ID))
	same(t, read(t, f, holder), a.ID)
	f.update(t, func(tx store.Tx) error { return tx.ReleaseAccounts(a.ID) })
	f.update(t, hold(b.ID))
	same(t, read(t, f, holder), b.ID)
}

func secretNumbers(t *testing.T, f *fixture) {
	a := f.secret(t, "a")
	f.update(t, func(tx store.Tx) error { return tx.PurgeSecret(a.ID) })
	if b := f.secret(t, "a"); b.ID <= a.ID {
		t.Fatalf("number %d after %d", b.ID, a.ID)
	}
}
