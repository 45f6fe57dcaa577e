package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/internal/migratedtest"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

const (
	account  = lockstep.AccountID("123456789012")
	region   = lockstep.Region("us-east-1")
	patience = 20 * time.Second
)

// world is a real store and a real NATS server with a Relay between them.
type world struct {
	*sqlstore.Store
	bus    *bus.Bus
	busDir string
	relay  *Relay
	clock  *clock
}

// clock is the store's: the wall clock and what was added to it.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newWorld(t testing.TB, change ...func(*bus.Config)) *world {
	t.Helper()
	w := &world{busDir: t.TempDir(), clock: &clock{}}
	var err error
	w.Store, err = sqlstore.Open(testContext(t), sqlstore.Config{DSN: migratedtest.SQLite(t), Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	w.startBus(t, change...)
	w.relay = w.newRelay(t, w.bus, "")
	return w
}

func (w *world) startBus(t testing.TB, change ...func(*bus.Config)) {
	t.Helper()
	c := bus.Config{Dir: w.busDir, MaxStore: 256 << 20}
	for _, f := range change {
		f(&c)
	}
	b, err := bus.Start(testContext(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	w.bus = b
}

// network is all that a Relay asks of NATS.
type network interface {
	Publisher
	Streams
}

func (w *world) newRelay(t testing.TB, n network, node string) *Relay {
	t.Helper()
	r, err := New(Config{Store: w.Store, Publisher: n, Streams: n, Node: node, Reconcile: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

func (w *world) start(t testing.TB, r *Relay) {
	t.Helper()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) update(t testing.TB, fn func(store.Tx) error) {
	t.Helper()
	if err := w.Update(testContext(t), fn); err != nil {
		t.Fatal(err)
	}
}

// secret stores a Secret.
func (w *world) secret(t testing.TB, name string) *lockstep.Secret {
	t.Helper()
	arn, err := lockstep.NewSecretARN(region, account, name)
	if err != nil {
		t.Fatal(err)
	}
	var s *lockstep.Secret
	w.update(t, func(tx store.Tx) error {
		s = &lockstep.Secret{Account: account, Region: region, Name: name, ARN: arn, Created: tx.Now(), Changed: tx.Now()}
		return tx.InsertSecret(s)
	})
	return s
}

// tell adds Events of a Secret in one transaction.
func (w *world) tell(t testing.TB, s *lockstep.Secret, types ...lockstep.EventType) []lockstep.Event {
	t.Helper()
	events := make([]lockstep.Event, len(types))
	w.update(t, func(tx store.Tx) error {
		if _, err := tx.LockSecret(s.ID); err != nil {
			return err
		}
		for i, typ := range types {
			id, err := lockstep.NewID("evt")
			if err != nil {
				return err
			}
			events[i] = lockstep.Event{ID: id, Type: typ, Secret: s.ID, Account: s.Account, Region: s.Region, Name: s.Name, ARN: s.ARN}
			if err := tx.AddEvent(&events[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return events
}

// run stores an open Run of a Secret, without a Job.
func (w *world) run(t testing.TB, s *lockstep.Secret) *lockstep.Run {
	t.Helper()
	id, err := lockstep.NewID("run")
	if err != nil {
		t.Fatal(err)
	}
	v, err := lockstep.NewVersionID()
	if err != nil {
		t.Fatal(err)
	}
	run := &lockstep.Run{ID: lockstep.RunID(id), Secret: s.ID, Version: v, State: lockstep.RunQueued, Trigger: lockstep.TriggerManual, JobSeq: 1}
	w.update(t, func(tx store.Tx) error {
		if _, err := tx.LockSecret(s.ID); err != nil {
			return err
		}
		run.Created = tx.Now()
		if err := tx.InsertVersion(&lockstep.Version{Secret: s.ID, ID: v, Created: tx.Now()}); err != nil {
			return err
		}
		return tx.InsertRun(run)
	})
	return run
}

// queue adds the Run's Job to the outbox.
func (w *world) queue(t testing.TB, s *lockstep.Secret, run *lockstep.Run) {
	t.Helper()
	w.update(t, func(tx store.Tx) error {
		return tx.AddJob(&store.Job{Kind: store.JobRun, Secret: s.ID, Account: account, Region: region, Name: s.Name, Run: run.ID, Version: run.Version, Seq: run.JobSeq})
	})
}

// outbox is what still waits.
func (w *world) outbox(t testing.TB) (jobs []store.Job, events []lockstep.Event) {
	t.Helper()
	err := w.View(testContext(t), func(tx store.ReadTx) (err error) {
		if jobs, err = tx.Jobs(1000); err != nil {
			return err
		}
		events, err = tx.UnsentEvents(1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return jobs, events
}

// eventually asks until it is so: the store has nothing that a test could wait
// on for a mark.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	end := time.After(patience)
	for !so() {
		select {
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (w *world) drained(t testing.TB) {
	t.Helper()
	eventually(t, "the outbox is empty", func() bool {
		jobs, events := w.outbox(t)
		return len(jobs)+len(events) == 0
	})
}

// last is the newest Event that the stream holds of e's subject.
func (w *world) last(t testing.TB, e lockstep.Event) *lockstep.Event {
	t.Helper()
	got, err := w.bus.LastEvent(testContext(t), lockstep.EventSubject(&e))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w *world) streamSeq(t testing.TB) uint64 {
	t.Helper()
	s, err := w.bus.EventStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return s.LastSeq
}

func (w *world) open(t testing.TB) *bus.JobQueue {
	t.Helper()
	q, err := w.bus.Jobs(testContext(t), bus.DefaultPool, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Stop)
	return q
}

func take(t testing.TB, q *bus.JobQueue) (*bus.Delivery, bus.JobMessage) {
	t.Helper()
	d, err := q.Next(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err := bus.DecodeJob(d.Body())
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]Config{
		"nothing":       {},
		"no streams":    {Store: w.Store, Publisher: w.bus},
		"negative poll": {Store: w.Store, Publisher: w.bus, Streams: w.bus, Poll: -1},
	} {
		if _, err := New(c); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	w.start(t, w.relay)
	if err := w.relay.Start(t.Context()); !errors.Is(err, lockstep.ErrState) {
		t.Errorf("second Start: got %v, want ErrState", err)
	}
	w.relay.Stop()
	w.relay.Stop()
	w.start(t, w.relay)
}

func TestEventsArriveInOrderAndAreMarked(t *testing.T) {
	w := newWorld(t)
	a, b := w.secret(t, "prod/a"), w.secret(t, "prod/b")
	before := w.tell(t, a, lockstep.EventSecretCreated)
	w.start(t, w.relay)
	for range 20 {
		w.tell(t, a, lockstep.EventVersionCurrent, lockstep.EventRunSucceeded)
		w.tell(t, b, lockstep.EventVersionCurrent)
	}
	w.drained(t)
	if n := w.streamSeq(t); n != 61 {
		t.Errorf("stream has %d events, want 61", n)
	}
	if got := w.last(t, before[0]); got == nil || got.Seq != 1 {
		t.Errorf("got %+v", got)
	}
	if got := w.last(t, lockstep.Event{Account: account, Region: region, Type: lockstep.EventRunSucceeded, Name: "prod/a"}); got == nil || got.Seq != 41 {
		t.Errorf("got %+v, want sequence 41", got)
	}
}

func TestJobArrivesAndItsRowGoes(t *testing.T) {
	w := newWorld(t)
	w.start(t, w.relay)
	q := w.open(t)
	s := w.secret(t, "prod/a")
	run := w.run(t, s)
	w.queue(t, s, run)
	d, m := take(t, q)
	want := bus.JobMessage{Kind: "run", Account: account, Region: region, SecretID: s.ID, Name: "prod/a", Run: run.ID, Version: run.Version, Seq: 1}
	if m != want || d.Subject() != "lockstep.job.123456789012.us-east-1.default.run.prod.a" {
		t.Errorf("got %+v on %s", m, d.Subject())
	}
	w.drained(t)
}

func TestJobIsPublishedWhenDue(t *testing.T) {
	w := newWorld(t)
	w.start(t, w.relay)
	q := w.open(t)
	s := w.secret(t, "prod/a")
	run := w.run(t, s)
	begin := time.Now()
	w.update(t, func(tx store.Tx) error {
		return tx.AddJob(&store.Job{Kind: store.JobRun, Secret: s.ID, Account: account, Region: region, Name: s.Name, Run: run.ID, Seq: 1, DueAt: tx.Now().Add(400 * time.Millisecond)})
	})
	take(t, q)
	if waited := time.Since(begin); waited < 350*time.Millisecond {
		t.Errorf("published after %v, due after 400ms", waited)
	}
}

func TestBusySubjectKeepsTheRow(t *testing.T) {
	w := newWorld(t)
	w.start(t, w.relay)
	q := w.open(t)
	s := w.secret(t, "prod/a")
	run := w.run(t, s)
	w.queue(t, s, run)
	d, _ := take(t, q)
	w.drained(t)
	run.JobSeq = 2
	w.queue(t, s, run)
	var row store.Job
	eventually(t, "the row is delayed", func() bool {
		err := w.View(testContext(t), func(tx store.ReadTx) error {
			next, err := tx.NextJob()
			if err != nil || next.IsZero() {
				return err
			}
			row.DueAt = next
			return nil
		})
		return err == nil && !row.DueAt.IsZero()
	})
	if err := d.Ack(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, m := take(t, q); m.Seq != 2 {
		t.Errorf("got sequence %d", m.Seq)
	}
	w.drained(t)
}

// asked notes which Jobs it was asked for.
type asked struct {
	*bus.Bus
	subjects chan string
}

func (a *asked) HasJob(ctx context.Context, subject string) (bool, error) {
	select {
	case a.subjects <- subject:
	default:
	}
	return a.Bus.HasJob(ctx, subject)
}

// TestLongBusySubjectIsLookedAt: a Job that the queue will never deliver keeps
// its subject for ever, and only HasJob finds that out.
func TestLongBusySubjectIsLookedAt(t *testing.T) {
	w := newWorld(t)
	a := &asked{Bus: w.bus, subjects: make(chan string, 1)}
	w.start(t, w.newRelay(t, a, ""))
	s := w.secret(t, "prod/a")
	run := w.run(t, s)
	w.queue(t, s, run)
	w.drained(t)
	run.JobSeq = 2
	w.queue(t, s, run)
	select {
	case got := <-a.subjects:
		if want := lockstep.JobSubject(account, region, bus.DefaultPool, "run", s.Name); got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	case <-testContext(t).Done():
		t.Error("nobody looks why the subject stays busy")
	}
}

func TestDelayGrowsToASecond(t *testing.T) {
	w := newWorld(t)
	var got []time.Duration
	for range 7 {
		got = append(got, w.relay.nextDelay(9))
	}
	want := "[50ms 100ms 200ms 400ms 800ms 1s 1s]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// deaf is a network whose answers are lost after the message arrived.
type deaf struct {
	*bus.Bus
	mu   sync.Mutex
	lose int
}

var errLost = errors.New("answer lost")

func (d *deaf) drop(errs []error) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range errs {
		if d.lose > 0 {
			d.lose--
			errs[i] = errLost
		}
	}
	return errs
}

func (d *deaf) PublishJobs(ctx context.Context, ms []bus.Message) []error {
	return d.drop(d.Bus.PublishJobs(ctx, ms))
}

func (d *deaf) PublishEvents(ctx context.Context, ms []bus.Message) []error {
	return d.drop(d.Bus.PublishEvents(ctx, ms))
}

func TestLostAnswersRepeatNothing(t *testing.T) {
	w := newWorld(t)
	d := &deaf{Bus: w.bus, lose: 12}
	r := w.newRelay(t, d, "")
	s := w.secret(t, "prod/a")
	run := w.run(t, s)
	w.queue(t, s, run)
	for range 5 {
		w.tell(t, s, lockstep.EventVersionCurrent, lockstep.EventRunSucceeded)
	}
	w.start(t, r)
	w.drained(t)
	if n := w.streamSeq(t); n != 10 {
		t.Errorf("stream has %d events, want 10", n)
	}
	q := w.open(t)
	one, _ := take(t, q)
	if err := one.Ack(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if has, err := w.bus.HasJob(testContext(t), one.Subject()); err != nil || has {
		t.Errorf("the job came twice: %v, %v", has, err)
	}
}

func TestNothingIsMarkedAfterAFailureOfTheSameSecret(t *testing.T) {
	w := newWorld(t)
	a := w.tell(t, w.secret(t, "prod/a"), lockstep.EventVersionCurrent, lockstep.EventRunSucceeded)
	b := w.tell(t, w.secret(t, "prod/b"), lockstep.EventVersionCurrent)
	r := w.newRelay(t, &deaf{Bus: w.bus, lose: 1}, "")
	arrived, err := r.publishEvents(testContext(t), slices.Concat(a, b))
	if !errors.Is(err, errLost) || !slices.Equal(arrived, []string{b[0].ID}) {
		t.Errorf("marked %v, %v; want prod/b's alone", arrived, err)
	}
}

func TestALowerSequenceIsNeverPutOverAHigherOne(t *testing.T) {
	w := newWorld(t)
	s := w.secret(t, "prod/a")
	all := w.tell(t, s, lockstep.EventVersionCurrent, lockstep.EventVersionCurrent)
	// Another relay, long ago, published both and marked neither.
	w.start(t, w.relay)
	w.drained(t)
	w.relay.Stop()
	w.update(t, func(tx store.Tx) error { return tx.EventsUnsent([]string{all[0].ID}) })
	before := w.streamSeq(t)
	again := w.newRelay(t, forgetful{w.bus}, "")
	w.start(t, again)
	w.drained(t)
	if now := w.streamSeq(t); now != before {
		t.Errorf("stream went from %d to %d", before, now)
	}
	if got := w.last(t, all[0]); got.Seq != 2 {
		t.Errorf("last is %d", got.Seq)
	}
}

// forgetful stands for a stream whose duplicate window has passed.
type forgetful struct{ *bus.Bus }

func (f forgetful) PublishEvents(ctx context.Context, ms []bus.Message) []error {
	for i := range ms {
		ms[i].ID += "-again"
	}
	return f.Bus.PublishEvents(ctx, ms)
}

func TestEventOfARecreatedSecretIsNotHeldBack(t *testing.T) {
	w := newWorld(t)
	old := w.secret(t, "prod/a")
	w.tell(t, old, lockstep.EventVersionCurrent, lockstep.EventVersionCurrent, lockstep.EventVersionCurrent)
	w.start(t, w.relay)
	w.drained(t)
	w.relay.Stop()
	w.update(t, func(tx store.Tx) error {
		s, err := tx.LockSecret(old.ID)
		if err != nil {
			return err
		}
		s.Gone = true
		return tx.SaveSecret(s)
	})
	young := w.secret(t, "prod/a")
	e := w.tell(t, young, lockstep.EventVersionCurrent)
	w.start(t, w.newRelay(t, w.bus, ""))
	w.drained(t)
	if got := w.last(t, e[0]); got == nil || got.ID != e[0].ID {
		t.Errorf("last is %+v, want the new secret's", got)
	}
}

func TestBodyIsACloudEvent(t *testing.T) {
	w := newWorld(t)
	s := w.secret(t, "prod/a")
	e := w.tell(t, s, lockstep.EventVersionCurrent)[0]
	w.start(t, w.relay)
	w.drained(t)
	got := w.last(t, e)
	want, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := json.Marshal(got); err != nil || string(have) != string(want) {
		t.Errorf("got %s, %v; want %s", have, err, want)
	}
}
