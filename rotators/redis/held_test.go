package redis_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/redistest"
	"lockstep/rotators"
	"lockstep/rotators/rotatortest"
)

// relay stands between a rotator and a server, and holds back each message that
// has EXEC in it until the test lets it go.
type relay struct {
	port int
	held chan struct{} // receives when a message is held
	free chan struct{} // closed: nothing is held any more
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", redistest.Host+":0")
	rotatortest.Check(t, err)
	r := &relay{port: l.Addr().(*net.TCPAddr).Port, held: make(chan struct{}, 9), free: make(chan struct{})}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			stop := context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })
			all.Go(func() { defer stop(); defer out.Close(); r.forward(out, in) })
			all.Go(func() { defer in.Close(); _, _ = io.Copy(in, out) })
		}
	})
	return r
}

func (r *relay) forward(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if bytes.Contains(bytes.ToLower(buf[:n]), []byte("exec")) {
			r.held <- struct{}{}
			<-r.free
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// heldUp starts a set whose EXEC does not arrive before the test lets it go.
func (w *world) heldUp(t *testing.T, until time.Duration) (app *rotation, done <-chan error, letGo func()) {
	t.Helper()
	app = w.rotation(t)
	r := newRelay(t, w.servers[0].Addr())
	for _, v := range []*lockstep.Value{&app.Current, &app.Admin} {
		s := rotatortest.Read[secret](t, *v)
		s.Port = r.port
		*v = s.value(t)
	}
	app.Pending = app.create(t)
	app.Guard.NotAfter = func(_ context.Context, now time.Time) (time.Time, error) { return now.Add(until), nil }
	result := make(chan error, 1)
	request := app.Request
	go func() { result <- rotator(t).Set(t.Context(), &request) }()
	select {
	case <-r.held:
	case err := <-result:
		t.Fatalf("set ended before its EXEC: %v", err)
	}
	return app, result, func() { close(r.free) }
}

// wantNothing checks that a call did nothing, and says so.
func (w *world) wantNothing(t *testing.T, app *rotation, err error) {
	t.Helper()
	te := lockstep.AsTargetError(err)
	if err == nil || te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultTransient {
		t.Errorf("got %v (%v, %d), want a passing NotApplied", err, te.Outcome, te.Fault)
	}
	pending := rotatortest.Read[secret](t, app.Pending)
	pending.Port = w.servers[0].Port()
	if w.accepts(t, pending.value(t)) {
		t.Error("the value of the late call is accepted")
	}
}

// TestAnExecThatComesTooLate: the server's own clock refuses what was sent in
// time and arrives after the time.
func TestAnExecThatComesTooLate(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	app, done, letGo := w.heldUp(t, 100*time.Millisecond)
	c := w.servers[0].Client(redistest.Superuser, redistest.SuperPassword)
	defer c.Close()
	until(t, func() bool {
		keys, err := c.Keys(t.Context(), "lockstep:*:until:*").Result()
		return err == nil && len(keys) == 0
	})
	letGo()
	w.wantNothing(t, app, <-done)
}

// TestAnExecThatANewerClaimOvertakes: the marker that a newer claim raises
// refuses what is on its way.
func TestAnExecThatANewerClaimOvertakes(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	app, done, letGo := w.heldUp(t, time.Hour)
	newer := app.Request
	direct := rotatortest.Read[secret](t, app.Current)
	direct.Port = w.servers[0].Port()
	newer.Current = direct.value(t)
	newer.Admin = w.secret("lockadmin", rotatortest.PasswordOfAdmin).value(t)
	newer.Guard.Fence++
	fence, err := rotator(t).Raise(t.Context(), &newer)
	if err != nil || fence != newer.Guard.Fence {
		t.Fatalf("raise: %d, %v", fence, err)
	}
	letGo()
	w.wantNothing(t, app, <-done)
}

// rotation is a request about a user of its own.
type rotation struct {
	rotators.Request
	user string
}

func (w *world) rotation(t *testing.T) *rotation {
	t.Helper()
	target := w.target(t)
	return &rotation{user: rotatortest.Read[secret](t, target.Current).User, Request: rotators.Request{
		ARN: target.ARN, Name: "app", Current: target.Current, Admin: target.Admin,
		Guard: rotators.Guard{Fence: 1, NotAfter: func(_ context.Context, now time.Time) (time.Time, error) {
			return now.Add(time.Minute), nil
		}},
	}}
}

func (r *rotation) create(t testing.TB) lockstep.Value {
	t.Helper()
	v, err := rotator(t).Create(t.Context(), &r.Request)
	rotatortest.Check(t, err)
	return v
}

// next is one whole Run: create, set, test, and AWSCURRENT moves.
func (r *rotation) next(t testing.TB) {
	t.Helper()
	r.Guard.Fence++
	r.Pending = r.create(t)
	rotatortest.Check(t, rotator(t).Set(t.Context(), &r.Request))
	rotatortest.Check(t, rotator(t).Test(t.Context(), &r.Request, r.Pending))
	r.Live, r.Current, r.Pending = []lockstep.Value{r.Current}, r.Pending, lockstep.Value{}
}

// TestARestartForgetsNothing: set is saved before it counts, and a server that
// cannot save is told before anything is changed.
func TestARestartForgetsNothing(t *testing.T) {
	s := redistest.Start(t)
	w := newWorld(t, s)
	app := w.rotation(t)
	app.next(t)
	s.Pause(t)
	s.Resume(t)
	if !w.accepts(t, app.Current) {
		t.Error("the restarted server refuses AWSCURRENT")
	}

	// ACL SAVE writes a new file beside the old one, and renames it.
	rotatortest.Check(t, os.Rename(s.ACLPath(), s.ACLPath()+".away"))
	rotatortest.Check(t, os.Mkdir(s.ACLPath(), 0o700))
	app.Guard.Fence++
	app.Pending = app.create(t)
	te := lockstep.AsTargetError(rotator(t).Set(t.Context(), &app.Request))
	if te.Outcome != lockstep.NotApplied || te.Fault != lockstep.FaultPermanent || !strings.Contains(te.Hint, "restart") {
		t.Errorf("set where nothing can be saved: %v (%v, %d, %q)", te, te.Outcome, te.Fault, te.Hint)
	}
	if w.accepts(t, app.Pending) {
		t.Error("the value that cannot be saved is accepted")
	}
	rotatortest.Check(t, os.Remove(s.ACLPath()))
	rotatortest.Check(t, os.Rename(s.ACLPath()+".away", s.ACLPath()))
	rotatortest.Check(t, rotator(t).Set(t.Context(), &app.Request))
}
