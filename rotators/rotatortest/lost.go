package rotatortest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// cut is where a connection breaks.
type cut int

const (
	// beforeSending: the target never sees the message.
	beforeSending cut = iota
	// beforeAnswer: the target gets the message, and its answer is lost.
	beforeAnswer
)

// mostMessages bounds the messages of one call; it is an error to need more.
const mostMessages = 100

// testLost breaks the connection at each message of a set in turn, and looks
// whether the call said the truth about what it did, and whether the next claim
// comes through.
func testLost(t *testing.T, s *suite) {
	need(t, s.Through != nil, "address of its own")
	for _, how := range []cut{beforeSending, beforeAnswer} {
		done := false
		for n := int64(1); !done; n++ {
			if n > mostMessages {
				t.Fatalf("a set of more than %d messages", mostMessages)
			}
			done = s.loseMessage(t, how, n)
		}
	}
}

// loseMessage makes a set whose nth message is lost; true if it has fewer.
func (s *suite) loseMessage(t *testing.T, how cut, n int64) (fewer bool) {
	t.Helper()
	p := startProxy(t, s.Address, how, n)
	defer p.stop()
	s.fence += 2
	pending := s.create(t)
	r := s.request(s.fence, s.Through(t, pending, p.address()))
	r.Current = s.Through(t, r.Current, p.address())
	if !r.Admin.IsZero() {
		r.Admin = s.Through(t, r.Admin, p.address())
	}
	err := s.rotator.Set(t.Context(), r)
	te := lockstep.AsTargetError(err)
	switch {
	case err == nil:
		s.wantAccepted(t, "a value that was set", pending)
	case te.Fault != lockstep.FaultTransient:
		t.Errorf("message %d lost: fault %d, want a passing one: %v", n, te.Fault, err)
	case te.Outcome == lockstep.NotApplied:
		s.wantRefused(t, fmt.Sprintf("a value that was not applied (message %d lost, way %d: %v)", n, how, err), pending)
	}
	s.nextClaim(t, pending)
	return p.seen.Load() < n
}

// nextClaim does what the engine does after a lost answer: it raises the marker
// where it can, and sets again.
func (s *suite) nextClaim(t *testing.T, pending lockstep.Value) {
	t.Helper()
	if f, ok := s.rotator.(rotators.Fencer); ok && s.Marks {
		if _, err := f.Raise(t.Context(), s.request(s.fence+1, lockstep.Value{})); err != nil {
			t.Fatalf("raise after a lost message: %v", err)
		}
	}
	if err := s.setAfterLoss(t, s.request(s.fence+1, pending)); err != nil {
		t.Fatalf("set after a lost message: %v", err)
	}
	s.wantAccepted(t, "the value that was set again", pending)
	s.finish(pending)
}

// setAfterLoss sets at once where a marker holds older calls off. Else the
// engine lets the lease run out first; a set that fails because the older call
// lands under its hands stands for that time.
func (s *suite) setAfterLoss(t *testing.T, r *rotators.Request) error {
	t.Helper()
	late := time.After(lease)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.rotator.Set(t.Context(), r)
		if err == nil || s.Marks {
			return err
		}
		select {
		case <-late:
			return err
		case <-tick.C:
		}
	}
}

// proxy passes connections on to a target, and breaks all of them at the nth
// message that it sees.
type proxy struct {
	t      testing.TB
	target string
	how    cut
	n      int64
	seen   atomic.Int64
	accept net.Listener
	wg     sync.WaitGroup
	mu     sync.Mutex
	open   []net.Conn
}

func startProxy(t testing.TB, target string, how cut, n int64) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, target: target, how: how, n: n, accept: l}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(t.Context(), c) })
		}
	})
	return p
}

func (p *proxy) address() string { return p.accept.Addr().String() }

func (p *proxy) stop() {
	_ = p.accept.Close()
	p.breakAll()
	p.wg.Wait()
}

func (p *proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

func (p *proxy) serve(ctx context.Context, client net.Conn) {
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open = append(p.open, client, server)
	p.mu.Unlock()
	var lost atomic.Bool
	p.wg.Go(func() { p.answers(server, client, &lost) })
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			_ = server.Close()
			return
		}
		if p.seen.Add(1) == p.n {
			if p.how == beforeSending {
				p.breakAll()
				return
			}
			lost.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// answers passes on what the target says, until an answer is to be lost.
func (p *proxy) answers(server, client net.Conn, lost *atomic.Bool) {
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		if lost.Load() {
			p.breakAll()
			return
		}
		if err != nil {
			_ = client.Close()
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}
