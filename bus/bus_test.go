package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"lockstep"
)

// patience bounds every wait of the tests; none depends on its length.
const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// start brings up a bus of its own; change may be nil.
func start(t testing.TB, change func(*Config)) *Bus {
	t.Helper()
	c := Config{Dir: t.TempDir(), MaxStore: 256 << 20}
	if change != nil {
		change(&c)
	}
	b, err := Start(testContext(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// job is a Job message for a secret's name.
func job(t testing.TB, name, id string) Message {
	t.Helper()
	body, err := EncodeJob(JobMessage{
		Kind: "run", Account: "123456789012", Region: "us-east-1", SecretID: 7, Name: name, Run: "run-1", Seq: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return Message{ID: id, Subject: lockstep.JobSubject("123456789012", "us-east-1", DefaultPool, "run", name), Body: body}
}

// event is an Event message of type version.current.
func event(t testing.TB, name string, seq uint64) (Message, lockstep.Event) {
	t.Helper()
	e := lockstep.Event{
		ID: fmt.Sprintf("evt-%s-%d", name, seq), Type: lockstep.EventVersionCurrent,
		Account: "123456789012", Region: "us-east-1", Name: name, Seq: seq, Time: time.Unix(1_800_000_000, 0),
		ARN: lockstep.ARN("arn:aws:secretsmanager:us-east-1:123456789012:secret:" + name + "-AbCdEf"),
	}
	body, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return Message{ID: e.ID, Subject: lockstep.EventSubject(&e), Body: body}, e
}

func publishEvent(t testing.TB, b *Bus, name string, seq uint64) {
	t.Helper()
	m, _ := event(t, name, seq)
	if err := b.PublishEvents(testContext(t), []Message{m})[0]; err != nil {
		t.Fatal(err)
	}
}

func TestStartRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"nothing":                  {},
		"listener without TLS":     {Dir: t.TempDir(), Listen: "127.0.0.1:0"},
		"two replicas":             {Dir: t.TempDir(), Replicas: 2},
		"embedded three replicas":  {Dir: t.TempDir(), Replicas: 3},
		"external without URL":     {External: &External{}},
		"store too small":          {Dir: t.TempDir(), MaxStore: 1},
		"negative acknowledgement": {Dir: t.TempDir(), AckWait: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Start(testContext(t), c); !errors.Is(err, lockstep.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

func TestSecondServerOnOneDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := start(t, func(c *Config) { c.Dir = dir })
	if _, err := Start(testContext(t), Config{Dir: dir}); !errors.Is(err, lockstep.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	if err := b.Health(testContext(t)); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, func(c *Config) { c.Dir = dir })
}

func TestRestartKeepsJobsAndEvents(t *testing.T) {
	dir := t.TempDir()
	b := start(t, func(c *Config) { c.Dir = dir })
	if err := b.PublishJob(testContext(t), job(t, "prod/db", "run-1-1")); err != nil {
		t.Fatal(err)
	}
	publishEvent(t, b, "prod/db", 5)
	before, err := b.EventStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = start(t, func(c *Config) { c.Dir = dir })
	after, err := b.EventStream(testContext(t))
	if err != nil || !after.Created.Equal(before.Created) || after.LastSeq != before.LastSeq {
		t.Errorf("stream %+v became %+v, %v", before, after, err)
	}
	_, want := event(t, "prod/db", 5)
	got, err := b.LastEvent(testContext(t), lockstep.EventSubject(&want))
	if err != nil || got == nil || got.ID != want.ID {
		t.Errorf("last event: %+v, %v", got, err)
	}
	if err := b.PublishJob(testContext(t), job(t, "prod/db", "run-1-2")); !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("the job is gone: %v", err)
	}
	if d := take(t, open(t, b)); d.Subject() != job(t, "prod/db", "").Subject {
		t.Errorf("got %s", d.Subject())
	}
}

func TestHealthAfterClose(t *testing.T) {
	b := start(t, nil)
	if err := b.Health(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := b.ClientURL(); got != "" {
		t.Errorf("client URL %q without a listener", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Health(testContext(t)); !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestEventStreamKeepsTheNewestOfASubject(t *testing.T) {
	b := start(t, nil)
	const n = eventsPerSubject + 10
	ms := make([]Message, n)
	for i := range ms {
		ms[i], _ = event(t, "busy", uint64(i+1))
	}
	for i, err := range b.PublishEvents(testContext(t), ms) {
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	publishEvent(t, b, "quiet", 1)
	info, err := b.handle(StreamEvents).Info(testContext(t))
	if err != nil || info.State.Msgs != eventsPerSubject+1 {
		t.Errorf("holds %d messages, %v", info.State.Msgs, err)
	}
	for subject, want := range map[string]uint64{
		ms[0].Subject: n,
		"lockstep.event.123456789012.us-east-1.*.*.busy":  n,
		"lockstep.event.123456789012.us-east-1.*.*.quiet": 1,
	} {
		e, err := b.LastEvent(testContext(t), subject)
		if err != nil || e == nil || e.Seq != want {
			t.Errorf("%s: %+v, %v; want sequence %d", subject, e, err, want)
		}
	}
	if e, err := b.LastEvent(testContext(t), "lockstep.event.123456789012.us-east-1.*.*.none"); e != nil || err != nil {
		t.Errorf("got %+v, %v for a subject without events", e, err)
	}
}

func TestRepeatedEventIsTakenOnce(t *testing.T) {
	b := start(t, nil)
	publishEvent(t, b, "a", 1)
	publishEvent(t, b, "a", 1)
	s, err := b.EventStream(testContext(t))
	if err != nil || s.LastSeq != 1 {
		t.Errorf("stream is at %d, %v; want 1", s.LastSeq, err)
	}
}

func TestWipedStreamIsMadeAnewAndTold(t *testing.T) {
	b := start(t, nil)
	publishEvent(t, b, "a", 1)
	before, err := b.EventStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(testContext(t), StreamEvents); err != nil {
		t.Fatal(err)
	}
	after, err := b.EventStream(testContext(t))
	if err != nil || after.Created.Equal(before.Created) || after.LastSeq != 0 {
		t.Errorf("got %+v, %v", after, err)
	}
	publishEvent(t, b, "a", 1)
}

func TestDeletedStreamsComeBackByThemselves(t *testing.T) {
	b := start(t, nil)
	wipe := func() {
		t.Helper()
		for _, name := range streamNames() {
			if err := b.js.DeleteStream(testContext(t), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	wipe()
	if err := b.PublishJob(testContext(t), job(t, "a", "1")); err == nil {
		t.Fatal("published without a stream")
	}
	mustPublish(t, b, job(t, "a", "1"))
	wipe()
	if has, err := b.HasJob(testContext(t), job(t, "a", "").Subject); err != nil || has {
		t.Errorf("HasJob says %v, %v", has, err)
	}
	publishEvent(t, b, "a", 1)
}

func TestMoreThanAThousandConsumers(t *testing.T) {
	b := start(t, nil)
	for i := range 1100 {
		if _, err := b.handle(StreamEvents).CreateConsumer(testContext(t), replayConsumer("lockstep.event.>", 0)); err != nil {
			t.Fatalf("consumer %d: %v", i, err)
		}
	}
}
