package bus

import (
	"os"
	"path/filepath"
	"testing"
	"time"
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

// TestConsumerAheadOfItsStream: a SIGKILL may lose the last messages of the
// stream after the consumer's state reached the disk. What is published then
// gets the lost numbers again, and must not be taken for delivered.
func TestConsumerAheadOfItsStream(t *testing.T) {
	dir := t.TempDir()
	in := func(c *Config) { c.Dir = dir }
	run := func(names ...string) {
		b := start(t, in)
		q := open(t, b)
		for _, name := range names {
			mustPublish(t, b, job(t, name, name))
			if err := take(t, q).Ack(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		q.Stop()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run("a")
	found, err := filepath.Glob(filepath.Join(dir, "store", "jetstream", "*", "streams", StreamJobs, "msgs"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the stream's messages: %v, %v", found, err)
	}
	before := filepath.Join(t.TempDir(), "msgs")
	if err := os.CopyFS(before, os.DirFS(found[0])); err != nil {
		t.Fatal(err)
	}
	run("b", "c", "d")
	if err := os.RemoveAll(found[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(found[0], os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	b := start(t, in)
	mustPublish(t, b, job(t, "e", "e"))
	if d := take(t, open(t, b)); d.Subject() != job(t, "e", "e").Subject {
		t.Errorf("got %s", d.Subject())
	}
}
