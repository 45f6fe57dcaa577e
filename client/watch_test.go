package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/client"
	"lockstep/client/internal/clienttest"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

func watch(t *testing.T, c *client.Client, cfg client.WatchConfig) *client.Watcher {
	t.Helper()
	w, err := c.Watch(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// next takes n events and shows them as "name:seq:type".
func next(t *testing.T, w *client.Watcher, n int) []string {
	t.Helper()
	var out []string
	for range n {
		e, err := w.Next(testContext(t))
		if err != nil {
			t.Fatalf("after %v: %v", out, err)
		}
		out = append(out, fmt.Sprintf("%s:%d:%s", e.Name, e.Seq, e.Type))
	}
	return out
}

// quiet checks that nothing more comes before a sign of another secret.
func quiet(t *testing.T, srv *clienttest.Server, w *client.Watcher, sign string) {
	t.Helper()
	srv.Create(t, sign, "x")
	if got := next(t, w, 1); !strings.HasPrefix(got[0], sign+":1:") {
		t.Errorf("one more: %s", got[0])
	}
}

// put makes versions of a secret; each is one event.
func put(t *testing.T, srv *clienttest.Server, name string, n int) {
	t.Helper()
	for i := range n {
		srv.Put(t, name, fmt.Sprint(name, i))
	}
}

func expect(t *testing.T, got []string, name string, from, n int) {
	t.Helper()
	for i := range n {
		if want := fmt.Sprintf("%s:%d:version.current", name, from+i); i >= len(got) || got[i] != want {
			t.Fatalf("got %v, want %s at %d", got, want, i)
		}
	}
}

func TestWatchGivesThePresentStateThenWhatFollows(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "prod/a", "x")
	srv.Create(t, "test/b", "x")
	put(t, srv, "prod/a", 3)
	w := watch(t, srv.Client(t), client.WatchConfig{Pattern: "prod/*"})
	if got := next(t, w, 2); got[0] != "prod/a:1:secret.created" || got[1] != "prod/a:4:version.current" {
		t.Fatalf("present state %v", got)
	}
	put(t, srv, "prod/a", 2)
	put(t, srv, "test/b", 2)
	expect(t, next(t, w, 2), "prod/a", 5, 2)
	quiet(t, srv, w, "prod/sign")

	only := watch(t, srv.Client(t), client.WatchConfig{Types: []lockstep.EventType{lockstep.EventSecretCreated}})
	names := strings.Join(next(t, only, 3), " ")
	if names != "prod/a:1:secret.created test/b:1:secret.created prod/sign:1:secret.created" {
		t.Errorf("by type: %s", names)
	}
}

func TestWatchOverARestart(t *testing.T) {
	for name, wipe := range map[string]func(*clienttest.Server, testing.TB){
		"kept":  func(*clienttest.Server, testing.TB) {},
		"wiped": (*clienttest.Server).Wipe,
	} {
		t.Run(name, func(t *testing.T) {
			srv := clienttest.Start(t)
			srv.Create(t, "a", "x")
			w := watch(t, srv.Client(t), client.WatchConfig{})
			next(t, w, 1)
			put(t, srv, "a", 3)
			expect(t, next(t, w, 1), "a", 2, 1) // two are on their way
			srv.Stop()
			wipe(srv, t)
			srv.Resume(t)
			put(t, srv, "a", 3)
			expect(t, next(t, w, 5), "a", 3, 5)
			quiet(t, srv, w, "sign")
		})
	}
}

// wire is a TCP proxy that can be cut.
type wire struct {
	net.Listener
	mu    sync.Mutex
	to    string
	cut   bool
	conns []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: strings.TrimPrefix(to, "tls://")}
	t.Cleanup(func() { w.set(true); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.pipe(c)
		}
	}()
	return w
}

func (w *wire) pipe(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	far, err := net.Dial("tcp", w.to)
	if w.cut || err != nil {
		_ = c.Close()
		return
	}
	w.conns = append(w.conns, c, far)
	go func() { _, _ = io.Copy(far, c); _ = far.Close() }()
	go func() { _, _ = io.Copy(c, far); _ = c.Close() }()
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func wired(t *testing.T, srv *clienttest.Server) (*client.Client, *wire) {
	t.Helper()
	st, err := srv.Client(t).Admin().Status(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	line := newWire(t, st.NATSURL)
	cfg := srv.Config()
	cfg.NATSURL = "tls://" + line.Addr().String()
	c, err := client.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, line
}

func TestWatchGetsWhatItMissedWhileCutOff(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "a", "x")
	c, line := wired(t, srv)
	w := watch(t, c, client.WatchConfig{})
	next(t, w, 1)
	seq := 2
	for range 3 {
		line.set(true)
		put(t, srv, "a", 4)
		line.set(false)
		put(t, srv, "a", 2)
		expect(t, next(t, w, 6), "a", seq, 6)
		seq += 6
	}
	// More than the stream keeps of one subject: the store has the rest.
	line.set(true)
	put(t, srv, "a", 300)
	line.set(false)
	expect(t, next(t, w, 300), "a", seq, 300)
	quiet(t, srv, w, "sign")
}

func TestWatchGoesOnWhereAnotherEnded(t *testing.T) {
	for name, wipe := range map[string]func(*clienttest.Server, testing.TB){
		"kept":  func(*clienttest.Server, testing.TB) {},
		"wiped": (*clienttest.Server).Wipe,
	} {
		t.Run(name, func(t *testing.T) {
			srv := clienttest.Start(t)
			srv.Create(t, "a", "x")
			srv.Create(t, "b", "x")
			c := srv.Client(t)
			w := watch(t, c, client.WatchConfig{})
			next(t, w, 2)
			put(t, srv, "a", 5)
			expect(t, next(t, w, 2), "a", 2, 2)
			saved, err := json.Marshal(w.State())
			if err != nil {
				t.Fatal(err)
			}
			w.Close()
			if _, err := w.Next(testContext(t)); !errors.Is(err, lockstep.ErrState) {
				t.Errorf("closed: %v", err)
			}
			srv.Stop()
			wipe(srv, t)
			srv.Resume(t)
			var state client.State
			if err := json.Unmarshal(saved, &state); err != nil {
				t.Fatal(err)
			}
			w = watch(t, c, client.WatchConfig{State: state})
			expect(t, next(t, w, 3), "a", 4, 3)
			put(t, srv, "b", 1)
			expect(t, next(t, w, 1), "b", 2, 1)
			quiet(t, srv, w, "sign")
		})
	}
}

func TestWatchSince(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "a", "x")
	put(t, srv, "a", 3)
	since := time.Now()
	put(t, srv, "a", 3)
	srv.Create(t, "new", "x")
	put(t, srv, "new", 2)
	w := watch(t, srv.Client(t), client.WatchConfig{Since: since})
	expect(t, next(t, w, 3), "a", 5, 3)
	if got := next(t, w, 3); got[0] != "new:1:secret.created" || got[2] != "new:3:version.current" {
		t.Errorf("got %v", got)
	}
	quiet(t, srv, w, "sign")
}

func TestASlowWatcherCatchesUp(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "a", "x")
	srv.Create(t, "b", "x")
	c := srv.Client(t)
	client.SetBuffer(c, 2)
	w := watch(t, c, client.WatchConfig{})
	next(t, w, 2)
	put(t, srv, "a", 20) // most do not find room, and nothing comes after them
	put(t, srv, "b", 1)
	seen := map[string]int{"a": 1, "b": 1}
	for range 21 {
		e, err := w.Next(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.Name]++; uint64(seen[e.Name]) != e.Seq {
			t.Fatalf("%s: %d, want %d", e.Name, e.Seq, seen[e.Name])
		}
	}
	quiet(t, srv, w, "sign")
}

func TestWatchTellsOfEventsThatAreGone(t *testing.T) {
	srv := clienttest.Start(t)
	arn := srv.Create(t, "a", "x")
	c := srv.Client(t)
	w := watch(t, c, client.WatchConfig{})
	next(t, w, 1)
	state := w.State()
	put(t, srv, "a", 5)
	srv.Stop()
	srv.Wipe(t)
	forget(t, srv.Dir+"/lockstep.db")
	srv.Resume(t)
	put(t, srv, "a", 2)
	for _, w := range []*client.Watcher{w, watch(t, c, client.WatchConfig{State: state})} {
		seen := uint64(1)
		for seen < 8 {
			e, err := w.Next(testContext(t))
			var gap *client.GapError
			switch {
			case errors.As(err, &gap) && string(gap.ARN) == arn && gap.From == seen+1:
				seen = gap.To
			case err == nil && e.Seq == seen+1:
				seen++
			default:
				t.Fatalf("after %d: %v, %v", seen, e.Seq, err)
			}
		}
	}
}

// forget removes all events from a store that no server uses.
func forget(t *testing.T, path string) {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.DeleteEventsBefore(tx.Now().Add(time.Hour), 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchRefuses(t *testing.T) {
	srv := clienttest.Start(t)
	c := srv.Client(t)
	for _, cfg := range []client.WatchConfig{{Pattern: "a b"}, {Types: []lockstep.EventType{"nothing"}}} {
		if _, err := c.Watch(testContext(t), cfg); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
