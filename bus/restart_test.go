package bus

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"lockstep"
)

// TestJobInFlightComesAtOnceAfterARestart: its worker is gone with the process,
// so nobody waits for AckWait to pass.
func TestJobInFlightComesAtOnceAfterARestart(t *testing.T) {
	dir := t.TempDir()
	slow := func(c *Config) { c.Dir, c.AckWait = dir, time.Hour }
	b := start(t, slow)
	mustPublish(t, b, job(t, "a", "1"))
	take(t, open(t, b))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = start(t, slow)
	if d := take(t, open(t, b)); d.Subject() != job(t, "a", "1").Subject {
		t.Errorf("got %s", d.Subject())
	}
}

// TestReturnedJobAtStart: a SIGKILL may lose the removal of an acknowledged Job
// after the consumer's state reached the disk. The Job is in the stream again and
// its subject is taken, so it must be delivered again.
func TestReturnedJobAtStart(t *testing.T) {
	dir := t.TempDir()
	in := func(c *Config) { c.Dir = dir }
	b := start(t, in)
	mustPublish(t, b, job(t, "a", "first"))
	closeBus(t, b)
	restore := keepMessages(t, filepath.Join(dir, "store", "jetstream", "*", "streams", StreamJobs, "msgs"))
	b = start(t, in)
	ackNext(t, open(t, b))
	closeBus(t, b)
	restore()
	b = start(t, in)
	ackNext(t, open(t, b))
	mustPublish(t, b, job(t, "a", "second"))
}

// TestReturnedJobFreesItsSubject: the same with a server that others run. Its
// consumers are not made anew at each start, so whoever meets the taken subject
// has to find that nobody will free it.
func TestReturnedJobFreesItsSubject(t *testing.T) {
	dir := t.TempDir()
	begin := func() (b *Bus, end func()) {
		srv, url := startServer(t, dir)
		b = start(t, func(c *Config) { c.Dir, c.External = "", &External{URL: url} })
		return b, func() {
			closeBus(t, b)
			srv.Shutdown()
			srv.WaitForShutdown()
		}
	}
	b, end := begin()
	mustPublish(t, b, job(t, "a", "first"))
	end()
	restore := keepMessages(t, filepath.Join(dir, "jetstream", "*", "streams", StreamJobs, "msgs"))
	b, end = begin()
	q := open(t, b)
	ackNext(t, q)
	q.Stop()
	end()
	restore()

	b, _ = begin()
	q = open(t, b)
	next := job(t, "a", "second")
	if err := b.PublishJob(testContext(t), next); !errors.Is(err, lockstep.ErrBusy) {
		t.Fatalf("the first job did not return: %v", err)
	}
	if has, err := b.HasJob(testContext(t), next.Subject); err != nil || !has {
		t.Fatalf("has the job: %v, %v", has, err)
	}
	ackNext(t, q)
	mustPublish(t, b, next)
	ackNext(t, q)
}

func closeBus(t *testing.T, b *Bus) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// ackNext settles the next Job; like a worker it calls again after an error.
func ackNext(t *testing.T, q *JobQueue) {
	t.Helper()
	ctx := testContext(t)
	for ctx.Err() == nil {
		d, err := q.Next(ctx)
		if err != nil {
			continue
		}
		if err := d.Ack(ctx); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no job came")
}

// startServer runs a NATS server as others would, over one directory.
func startServer(t *testing.T, dir string) (*server.Server, string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return s, "nats://" + s.Addr().String()
}

// keepMessages copies a stream's messages and returns what puts the copy back.
func keepMessages(t *testing.T, pattern string) (restore func()) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("the stream's messages: %v, %v", found, err)
	}
	kept := filepath.Join(t.TempDir(), "msgs")
	if err := os.CopyFS(kept, os.DirFS(found[0])); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(found[0]); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(found[0], os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
	}
}
