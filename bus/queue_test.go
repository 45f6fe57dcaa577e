package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lockstep"
)

func open(t testing.TB, b *Bus) *JobQueue {
	t.Helper()
	q, err := b.Jobs(testContext(t), DefaultPool, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Stop)
	return q
}

func take(t testing.TB, q *JobQueue) *Delivery {
	t.Helper()
	d, err := q.Next(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustPublish(t testing.TB, b *Bus, m Message) {
	t.Helper()
	if err := b.PublishJob(testContext(t), m); err != nil {
		t.Fatal(err)
	}
}

func TestOneJobASubject(t *testing.T) {
	b := start(t, nil)
	q := open(t, b)
	busy := func(when string) {
		t.Helper()
		if err := b.PublishJob(testContext(t), job(t, "a", "second")); !errors.Is(err, lockstep.ErrBusy) {
			t.Errorf("%s: got %v, want ErrBusy", when, err)
		}
		if has, err := b.HasJob(testContext(t), job(t, "a", "").Subject); err != nil || !has {
			t.Errorf("%s: HasJob says %v, %v", when, has, err)
		}
	}
	mustPublish(t, b, job(t, "a", "first"))
	busy("queued")
	mustPublish(t, b, job(t, "b", "other"))
	d := take(t, q)
	busy("in flight")
	if err := d.Ack(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if has, err := b.HasJob(testContext(t), job(t, "a", "").Subject); err != nil || has {
		t.Errorf("after Ack: HasJob says %v, %v", has, err)
	}
	// The id that was refused is not remembered as a duplicate.
	mustPublish(t, b, job(t, "a", "second"))
	if d := take(t, q); d.Subject() != job(t, "b", "").Subject {
		t.Errorf("got %s first", d.Subject())
	}
	if d := take(t, q); d.Subject() != job(t, "a", "").Subject || d.Redelivered() != 0 {
		t.Errorf("got %s, delivered %d times before", d.Subject(), d.Redelivered())
	}
}

func TestRepeatedJobIDIsSwallowed(t *testing.T) {
	b := start(t, nil)
	mustPublish(t, b, job(t, "a", "run-1-1"))
	mustPublish(t, b, job(t, "a", "run-1-1")) // the crash between publish and mark
	d := take(t, open(t, b))
	if err := d.Ack(testContext(t)); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, b, job(t, "a", "run-1-1"))
	if has, err := b.HasJob(testContext(t), d.Subject()); err != nil || has {
		t.Errorf("the repeated id was queued again: %v, %v", has, err)
	}
}

func TestUnacknowledgedJobComesAgain(t *testing.T) {
	b := start(t, func(c *Config) { c.AckWait = 300 * time.Millisecond })
	q := open(t, b)
	mustPublish(t, b, job(t, "a", "1"))
	first := take(t, q)
	second := take(t, q)
	if second.Subject() != first.Subject() || second.Redelivered() != 1 {
		t.Errorf("got %s, delivered %d times before", second.Subject(), second.Redelivered())
	}
}

func TestInProgressKeepsTheJob(t *testing.T) {
	b := start(t, func(c *Config) { c.AckWait = 600 * time.Millisecond })
	q := open(t, b)
	mustPublish(t, b, job(t, "a", "1"))
	d := take(t, q)
	ctx, cancel := context.WithTimeout(testContext(t), 1500*time.Millisecond)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	again := make(chan error, 1)
	go func() {
		_, err := q.Next(ctx)
		again <- err
	}()
	for {
		select {
		case <-tick.C:
			if err := d.InProgress(); err != nil {
				t.Fatal(err)
			}
			continue
		case err := <-again:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("delivered again in spite of InProgress: %v", err)
			}
		}
		return
	}
}

func TestNakDelays(t *testing.T) {
	b := start(t, nil)
	q := open(t, b)
	mustPublish(t, b, job(t, "a", "1"))
	begin := time.Now()
	if err := take(t, q).Nak(400 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := take(t, q); d.Redelivered() != 1 || time.Since(begin) < 350*time.Millisecond {
		t.Errorf("came again after %v, delivered %d times before", time.Since(begin), d.Redelivered())
	}
}

func TestDeadJob(t *testing.T) {
	b := start(t, nil)
	q := open(t, b)
	mustPublish(t, b, job(t, "a", "1"))
	d := take(t, q)
	if err := d.Dead(testContext(t), "not a job:\nunknown kind"); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, b, job(t, "a", "2")) // the subject is free
	m, err := b.last(testContext(t), StreamDead, DeadSubjectPrefix+".>")
	if err != nil || m == nil {
		t.Fatalf("no copy: %v", err)
	}
	if string(m.Data) != string(d.Body()) || m.Header.Get(HeaderReason) != "not a job: unknown kind" || m.Header.Get(HeaderSubject) != d.Subject() {
		t.Errorf("copy %s, headers %v", m.Data, m.Header)
	}
	second := take(t, q)
	if second.Redelivered() != 0 {
		t.Error("the dead job came again")
	}
	if err := second.Dead(testContext(t), "another reason"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		before uint64
		limit  int
		want   []string
	}{
		{0, 10, []string{"another reason", "not a job: unknown kind"}},
		{0, 1, []string{"another reason"}},
		{2, 10, []string{"not a job: unknown kind"}},
		{1, 10, nil},
	} {
		var got []string
		list, err := b.DeadJobs(testContext(t), c.before, c.limit)
		for _, j := range list {
			got = append(got, j.Reason)
			if j.Subject != d.Subject() || j.Bytes != len(d.Body()) || j.At.IsZero() {
				t.Errorf("%+v", j)
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("dead jobs before %d: %q, %v, want %q", c.before, got, err, c.want)
		}
	}
}

func TestPoolsDoNotMix(t *testing.T) {
	b := start(t, nil)
	if _, err := b.Jobs(testContext(t), "no.dots", 1); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	far, err := b.Jobs(testContext(t), "far", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.Stop)
	m := job(t, "a", "1")
	m.Subject = lockstep.JobSubject("123456789012", "us-east-1", "far", "run", "a")
	mustPublish(t, b, job(t, "a", "2"))
	mustPublish(t, b, m)
	if d := take(t, far); d.Subject() != m.Subject {
		t.Errorf("got %s", d.Subject())
	}
	if d := take(t, open(t, b)); d.Subject() != job(t, "a", "").Subject {
		t.Errorf("got %s", d.Subject())
	}
}

func TestStopGivesBackWhatWaits(t *testing.T) {
	b := start(t, func(c *Config) { c.AckWait = time.Hour })
	for i := range 4 {
		mustPublish(t, b, job(t, fmt.Sprint("s", i), fmt.Sprint(i)))
	}
	q := open(t, b)
	held := take(t, q)
	q.Stop()
	q.Stop()
	if _, err := q.Next(testContext(t)); !errors.Is(err, lockstep.ErrState) {
		t.Errorf("Next after Stop: %v, want ErrState", err)
	}
	next := open(t, b)
	for range 3 {
		if d := take(t, next); d.Subject() == held.Subject() {
			t.Error("the job that is held came again")
		}
	}
}

func TestQueueSurvivesAWipedStream(t *testing.T) {
	b := start(t, nil)
	q := open(t, b)
	if err := b.js.DeleteStream(testContext(t), StreamJobs); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	for b.PublishJob(ctx, job(t, "a", "1")) != nil {
		// The first call finds that the consumer is gone, the second one
		// makes stream and consumer anew and waits for a Job.
		short, cancel := context.WithTimeout(ctx, 3*pullHeartbeat)
		_, err := q.Next(short)
		cancel()
		if ctx.Err() != nil {
			t.Fatalf("the queue did not come back: %v", err)
		}
	}
	if d := take(t, q); d.Subject() != job(t, "a", "").Subject {
		t.Errorf("got %s", d.Subject())
	}
}

func TestFullJobStreamIsBusy(t *testing.T) {
	b := start(t, func(c *Config) { c.MaxStore = 1 << 20 }) // jobs: 128 KiB
	m := job(t, "a", "")
	m.Body = append(m.Body, make([]byte, 8000)...)
	ms := make([]Message, 20)
	for i := range ms {
		ms[i] = m
		ms[i].ID, ms[i].Subject = fmt.Sprint(i), job(t, fmt.Sprint("s", i), "").Subject
	}
	errs := b.PublishJobs(testContext(t), ms)
	if errs[0] != nil || !errors.Is(errs[19], lockstep.ErrBusy) {
		t.Errorf("first: %v, last: %v", errs[0], errs[19])
	}
}

func TestConsumerOptionsAreKept(t *testing.T) {
	b := start(t, nil)
	open(t, b)
	c, err := b.js.Consumer(testContext(t), StreamJobs, "pool-"+DefaultPool)
	if err != nil {
		t.Fatal(err)
	}
	got := c.CachedInfo().Config
	if got.AckPolicy != jetstream.AckExplicitPolicy || got.MaxDeliver != -1 || got.AckWait != DefaultAckWait {
		t.Errorf("got %+v", got)
	}
}
