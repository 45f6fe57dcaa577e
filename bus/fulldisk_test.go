package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// TestStreamsTakeMessagesAgainAfterAFullDisk: the server remembers a failed
// write for as long as a stream is open, so it is restarted. Applications find it
// at the same address.
func TestStreamsTakeMessagesAgainAfterAFullDisk(t *testing.T) {
	dir := t.TempDir()
	d := openDoor(t, func(c *Config) { c.Dir = dir })
	b := d.Bus
	told := make(chan *nats.Msg, 256)
	application, _ := d.client(t, "orders", "orders", nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1))
	if _, err := application.ChanSubscribe(prodDB, told); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, b, job(t, "before", "1"))
	publishEvent(t, b, "before", 1)
	q := open(t, b)

	fillDisk(t, filepath.Join(dir, "store"))
	ctx := testContext(t)
	first, second := job(t, "a", "2"), job(t, "b", "3")
	published, _ := event(t, "a", 2)
	for _, publish := range []func() error{
		func() error { return b.PublishJob(ctx, first) },
		func() error { return b.PublishEvents(ctx, []Message{published})[0] },
		func() error { return b.PublishJob(ctx, second) },
	} {
		err := publish()
		for err != nil && ctx.Err() == nil { // as the relay does
			err = publish()
		}
		if err != nil {
			t.Fatalf("nothing can be published: %v", err)
		}
	}
	for range 3 {
		ackNext(t, q)
	}
	if err := b.Health(ctx); err != nil {
		t.Error(err)
	}
	if state, err := b.EventStream(ctx); err != nil || state.LastSeq != 2 {
		t.Errorf("event stream: %+v, %v", state, err)
	}
	for seq := uint64(3); len(told) == 0 && ctx.Err() == nil; seq++ {
		publishEvent(t, b, "prod/db/orders", seq)
	}
	if len(told) == 0 {
		t.Error("the application hears nothing")
	}
}

// fillDisk makes every write to the messages that are open below dir end as on a
// full disk, until they are opened again.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range open {
		file, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(file, dir) || !strings.HasSuffix(file, ".blk") {
			continue
		}
		var fd int
		if _, err := fmt.Sscanf(filepath.Base(name), "%d", &fd); err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(full.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n < 2 {
		t.Fatalf("%d files of messages are open", n)
	}
}
