package sqlstore

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/store"
)

// explainer is a session that asks for the plan of each statement before it
// runs it.
type explainer struct {
	session
	t *testing.T
	// prefix explains a statement; scans tells whether a line of the plan
	// reads a whole table.
	prefix string
	scans  func(line string) bool
	seen   map[string]bool
}

func (e *explainer) exec(query string, args ...any) (int64, error) {
	e.explain(query, args)
	return e.session.exec(query, args...)
}

func (e *explainer) query(query string, args ...any) (rows, error) {
	e.explain(query, args)
	return e.session.query(query, args...)
}

func (e *explainer) explain(query string, args []any) {
	e.t.Helper()
	if e.seen[query] {
		return
	}
	e.seen[query] = true
	plan, err := all(e.session, planLine, e.prefix+query, args...)
	if err != nil {
		e.t.Errorf("explain %s: %v", query, err)
	}
	// The Versions of one Secret are few and may be sorted.
	ofOne := strings.Contains(strings.Join(plan, "\n"), "(secret=?")
	for _, line := range plan {
		if e.scans(line) && !(ofOne && strings.HasPrefix(line, "USE TEMP B-TREE")) {
			e.t.Errorf("a whole table is read:\n%s\nplan:\n%s", query, strings.Join(plan, "\n"))
			return
		}
	}
}

// planLine reads a line of either plan: the text is the last column.
func planLine(r row) (string, error) {
	var line string
	if _, ok := r.(postgresRows); ok {
		return line, r.Scan(&line)
	}
	var id, parent, unused int
	return line, r.Scan(&id, &parent, &unused, &line)
}

// sqliteScans allows to read a partial index from its beginning, which holds
// only what is asked for, the newest of a table by its number, or a list that the
// statement was given.
func sqliteScans(line string) bool {
	if strings.HasPrefix(line, "USE TEMP B-TREE FOR ORDER BY") {
		return true
	}
	if strings.HasPrefix(line, "SCAN json_each VIRTUAL TABLE") {
		return false
	}
	if !strings.HasPrefix(line, "SCAN ") || line == "SCAN CONSTANT ROW" || line == "SCAN events" || line == "SCAN places" || line == "SCAN extra" || line == "SCAN found" {
		return false
	}
	for _, index := range []string{
		"secrets_rotation", "secrets_purge", "secrets_verify", "versions_retire", "runs_retry", "jobs_due",
		"secrets_drift", "holds_restored", "waits_", "batches_active", "events_unsent", "events_old", "secrets_oldest", "inspections_active", "looks_asked", "batch_items_awaited",
	} {
		if strings.Contains(line, index) {
			return false
		}
	}
	return true
}

// TestNoScans runs every method that is called again and again and looks at the
// plans of its statements: none may read a whole table.
func TestNoScans(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), "lockstep.db")
		checkPlans(t, dsn, &explainer{prefix: "EXPLAIN QUERY PLAN ", scans: sqliteScans})
	})
	t.Run("postgres", func(t *testing.T) {
		// On tables this small the planner would rather scan; what has no index
		// still shows.
		dsn := pgtest.Shared(t).DatabaseDSN(t)
		sep := "?"
		if strings.Contains(dsn, "?") {
			sep = "&"
		}
		checkPlans(t, dsn+sep+"enable_seqscan=off", &explainer{
			prefix: "EXPLAIN ",
			scans: func(line string) bool {
				return strings.Contains(line, "Seq Scan") && !strings.Contains(line, "on places")
			},
		})
	})
}

func checkPlans(t *testing.T, dsn string, e *explainer) {
	e.t, e.seen = t, map[string]bool{}
	s, err := Open(t.Context(), Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	err = s.Update(t.Context(), func(st store.Tx) error {
		plain, ok := st.(*tx)
		if !ok {
			t.Fatalf("got a %T", st)
		}
		e.session = plain.session
		return everything(newTx(t.Context(), e))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.seen) < 50 {
		t.Errorf("only %d statements were looked at", len(e.seen))
	}
}

// everything calls each method once, but those that a person asks for and that
// read all of something by their nature (Violations).
func everything(t *tx) error {
	s := &lockstep.Secret{Account: "a", Region: "r", Name: "n", ARN: "arn", Created: t.Now(), Changed: t.Now()}
	if err := t.InsertSecret(s); err != nil {
		return err
	}
	v := &lockstep.Version{Secret: s.ID, ID: "v", Created: t.Now()}
	r := &lockstep.Run{ID: "run", Secret: s.ID, Version: "v", State: lockstep.RunQueued, Created: t.Now()}
	j := &store.Job{Kind: store.JobRun, Secret: s.ID}
	ev := &lockstep.Event{ID: "event", Secret: s.ID}
	errs := []error{t.InsertVersion(v), t.InsertRun(r), t.AddJob(j), t.AddEvent(ev)}
	l, err := t.ClaimSlot(s.ID, "w", time.Hour)
	errs = append(errs, err)
	errs = append(errs, everyRead(t, s)...)
	errs = append(errs,
		t.SaveSecret(s), t.TouchAccess(s.ID, "v", t.Now()), t.HoldAccount("k", s.ID), t.ReleaseAccounts(s.ID),
		t.SaveVersion(v), t.SaveStages(s.ID, lockstep.Stages{"x": "v"}), t.SaveStages(s.ID, lockstep.Stages{}),
		t.AddRefused(s.ID, "v", &lockstep.Sealed{}), t.DropRefused(s.ID, "v"),
		t.SaveRun(r, &l), t.EndStep(lockstep.StepRecord{}), t.SavePlan(&store.Plan{ID: "p", Secret: s.ID}),
		t.DeletePlansBefore(t.Now()), t.GuardSlot(l),
		t.DelayJob(1, t.Now()), t.JobsSent([]int64{1}), t.DropJobs(s.ID, store.JobRun),
		t.MarkReplication(s.ID), t.DelayReplication(store.ReplicationMark{Primary: s.ID}, t.Now()),
		t.ReplicationDone(store.ReplicationMark{Primary: s.ID}),
		t.EventsSent([]string{"event"}), t.EventsUnsent([]string{"event"}),
	)
	_, err = t.BreakSlot(lockstep.Slot{Secret: s.ID}, "w", time.Hour)
	errs = append(errs, err)
	_, err = t.ExtendSlot(l, time.Hour)
	errs = append(errs, err)
	_, err = t.RaiseFence(l, 1)
	errs = append(errs, err, t.ReleaseSlot(l))
	_, err = t.BeginStep(lockstep.StepRecord{Run: "run", Step: lockstep.StepSet, Started: t.Now()})
	errs = append(errs, err)
	_, err = t.DeleteEventsBefore(t.Now(), 1)
	errs = append(errs, err)
	_, err = t.PruneVersions(s.ID, 1, t.Now())
	errs = append(errs, err, t.DeleteVersion(s.ID, "v"), t.PurgeSecret(s.ID))
	return unexpected(errs)
}

func everyRead(t *tx, s *lockstep.Secret) (errs []error) {
	add := func(err error) { errs = append(errs, err) }
	o := store.Owner{Account: "a", Region: "r"}
	_, err := t.Secret(s.ID)
	add(err)
	_, err = t.LockSecret(s.ID)
	add(err)
	_, err = t.FindSecret(o, "n")
	add(err)
	for _, sort := range []store.SecretSort{store.SortCreated, store.SortChanged, store.SortAccessed, store.SortName} {
		for _, after := range []*lockstep.Secret{nil, s} {
			_, err = t.ListSecrets(store.SecretQuery{Owner: o, Sort: sort, After: after, IncludeDeleted: after == nil})
			add(err)
		}
	}
	with := []store.TermRange{store.TermsWith(store.TermName, "n")}
	for _, sort := range []store.SecretSort{store.SortCreated, store.SortName} {
		q := store.SecretQuery{Owner: o, Sort: sort, After: s, Limit: 1, Terms: [][]store.TermRange{with, with}}
		_, err = t.ListSecrets(q)
		add(err)
		_, err = t.walk(q, walkFor)
		add(err)
	}
	_, err = t.NextDue()
	add(err)
	_, err = t.ClaimDue(1)
	add(err)
	_, err = t.AccountHolder("k")
	add(err)
	_, err = t.PurgeDue(1)
	add(err)
	add(admission(t, s))
	add(batches(t, s))
	add(inspections(t, s))
	_, err = t.UnverifiedDue(1)
	add(err)
	_, err = t.Version(s.ID, "v")
	add(err)
	_, err = t.LiveVersions(s.ID)
	add(err)
	_, err = t.Stages(s.ID)
	add(err)
	_, err = t.DueRetirements(1)
	add(err)
	_, err = t.NextRetirement()
	add(err)
	for _, q := range []store.RunQuery{
		{Owner: o},
		{Owner: o, Before: "run"},
		{Owner: o, Open: true},
		{Owner: o, Secret: s.ID, Before: "run"},
	} {
		_, err = t.Runs(q)
		add(err)
	}
	_, err = t.Run("run")
	add(err)
	_, err = t.OpenRun(s.ID)
	add(err)
	_, err = t.LastRun(s.ID)
	add(err)
	_, err = t.StrandedRuns(1)
	add(err)
	_, err = t.Steps("run")
	add(err)
	_, err = t.Slot(s.ID)
	add(err)
	_, err = t.Jobs(1)
	add(err)
	_, err = t.NextJob()
	add(err)
	_, err = t.UnsentEvents(1)
	add(err)
	_, err = t.Events(s.ID, 0, 1)
	add(err)
	_, err = t.EventTail(1)
	add(err)
	_, err = t.DefaultKey(o, "secrets")
	add(err)
	_, err = t.Setting("x")
	add(err)
	_, err = t.Figures()
	add(err)
	_, err = t.Replication(s.ID)
	add(err)
	_, err = t.DueReplications(1)
	add(err)
	_, err = t.NextReplication()
	add(err)
	return append(errs, everyIdentity(t)...)
}

func everyIdentity(t *tx) (errs []error) {
	add := func(err error) { errs = append(errs, err) }
	_, err := t.AccessKey("x")
	add(err)
	_, err = t.AccessKeys("x")
	add(err)
	q := store.NameQuery{Account: "a", Limit: 1}
	_, err = t.Users(q)
	add(err)
	_, err = t.Groups(q)
	add(err)
	_, err = t.Roles(q)
	add(err)
	_, err = t.Policies(q)
	add(err)
	_, err = t.GroupsOf("x")
	add(err)
	_, err = t.Members("x")
	add(err)
	_, err = t.Attached("x")
	add(err)
	_, err = t.Holders("x")
	add(err)
	return errs
}

// unexpected joins the errors that are not the refusals of a made-up call.
func unexpected(errs []error) error {
	var out []error
	for _, err := range errs {
		if !errors.Is(err, lockstep.ErrNotFound) && !errors.Is(err, lockstep.ErrBusy) && !errors.Is(err, context.Canceled) {
			out = append(out, err)
		}
	}
	return errors.Join(out...)
}

func tryLock(t *tx) error {
	_, _, err := t.TryLockAdmission()
	return err
}

// admission calls each method of the governor once.
func admission(t *tx, s *lockstep.Secret) error {
	p := store.Place{Run: "r", Secret: s.ID, Rotator: "x", Target: "y"}
	h := &lockstep.Hold{Account: s.Account, Region: s.Region, Name: "h", Kind: lockstep.HoldPause, Created: t.Now()}
	owner := store.Owner{Account: s.Account, Region: s.Region}
	full := store.FullList{Rotators: []string{"a", "b"}, Targets: []lockstep.TargetKey{"c"}}
	first := func(_ any, err error) error { return err }
	return errors.Join(
		t.SaveHold(h), first(t.Holds(owner)), t.DeleteHold(owner, "h"), first(t.LockAdmission()), tryLock(t),
		t.SaveWait(store.Wait{Place: p}), first(t.Waiting()), first(t.NextWait()), first(t.HeldWaits(2, 1)),
		first(t.NextWaits(store.FullList{}, 1)), first(t.NextWaits(full, 1)), t.LeaveWait("r"),
		t.TakePlace(p), first(t.Usage()), first(t.RestoresVerified()), first(t.HasPlace("r")), t.UseAdmin("r", s.ID), first(t.AdminUsed(s.ID)), t.LeavePlace("r"),
		first(t.NextVerify()), first(t.ClaimVerifies(1)), first(t.HasMaxAge(owner, 0, 1)),
	)
}

// batches calls each method about batches once.
func batches(t *tx, s *lockstep.Secret) error {
	b := &store.Batch{ID: "b", Owner: store.Owner{Account: s.Account, Region: s.Region}, State: store.BatchActive, Created: t.Now()}
	first := func(_ any, err error) error { return err }
	return errors.Join(
		t.SaveBatch(b), first(t.Batch("b")), first(t.Batches(b.Owner, 1)), first(t.LockBatch("b")), first(t.WorkingBatch()),
		t.SaveItem(store.BatchItem{Batch: "b", Secret: s.ID, State: store.ItemPending}), first(t.BatchCounts("b")),
		first(t.BatchFailures("b", 1)), first(t.BatchItems("b", store.ItemPending, 0, 1)),
		first(t.BatchItems("b", store.ItemStarted, 0, 1)), first(t.ReopenItems("b")),
		first(t.BatchItem("b", s.ID)), first(t.ReleaseItems()), first(t.ManagedBy(s.Account, []string{"x", "y"}, 1)), first(t.Managed(b.Owner, 1)),
	)
}

// inspections calls each method about Inspections once.
func inspections(t *tx, s *lockstep.Secret) error {
	i := &store.Inspection{ID: "i", Owner: store.Owner{Account: s.Account, Region: s.Region}, Active: true, Created: t.Now()}
	l := store.Look{Inspection: "i", Secret: s.ID, Verdict: store.LookSound}
	full := store.FullList{Rotators: []string{"a", "b"}, Targets: []lockstep.TargetKey{"c"}}
	first := func(_ any, err error) error { return err }
	return errors.Join(
		t.InsertInspection(i), first(t.Inspection("i")), first(t.ActiveInspection(i.Owner)), first(t.WorkingInspection()),
		t.ExpandInspection(i, 1), t.ExpandInspection(i, 1), first(t.WaitingLooks("i", full, 1)), first(t.LostLooks(t.Now(), 1)),
		t.AskLook(l), t.AnswerLook(l), first(t.Look("i", s.ID)), first(t.LooksFound("i", 0, 1)), first(t.EndInspection(i)),
		t.DeleteInspectionsBefore(t.Now()),
	)
}
