//go:build faults

package fault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/events"
	"lockstep/internal/tokentest"
	"lockstep/rotators"
	"lockstep/store"
)

// Enabled tells whether this binary can be told to fail.
const Enabled = true

// plan is what is to be broken; the process has one.
type plan struct {
	mu    sync.Mutex
	armed bool
	mode  string
	at    int
	seen  []string
	// held is the call that waits for the word to go on; empty if none does.
	held string
	free chan struct{}
}

var current plan

// offset is how far the store's clock was stepped, in nanoseconds.
var offset atomic.Int64

// Now is the time by a clock that commands step.
func Now() time.Time { return time.Now().Add(time.Duration(offset.Load())) }

// errInjected is what a broken call returns.
var errInjected = errors.New("fault injected")

// Listen takes commands until ctx ends.
func Listen(ctx context.Context) error {
	path := os.Getenv("LOCKSTEP_FAULTS")
	if path == "" {
		return nil
	}
	_ = os.Remove(path)
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("listen for faults: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	return nil
}

func serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return
	}
	_, _ = fmt.Fprintln(c, current.obey(strings.Fields(line)))
}

// obey does what a command says and returns the answer.
func (p *plan) obey(words []string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch line := strings.Join(words, " "); {
	case line == "stop":
		p.armed = false
		p.letGo()
		return strings.Join(p.seen, "\n")
	case line == "held":
		return p.held
	case line == "go":
		p.letGo()
		return "gone"
	case strings.HasPrefix(line, "clock "):
		by, err := time.ParseDuration(words[1])
		if err != nil {
			return "error: " + err.Error()
		}
		offset.Add(int64(by))
		return "stepped"
	default:
		var mode string
		var at int
		if _, err := fmt.Sscanf(line, "arm %s %d", &mode, &at); err != nil {
			return "error: " + err.Error()
		}
		p.letGo()
		p.armed, p.mode, p.at, p.seen = true, mode, at, nil
		return "armed"
	}
}

// letGo lets the call go on that is held, with p locked.
func (p *plan) letGo() {
	if p.held != "" {
		p.held = ""
		close(p.free)
	}
}

// hold waits for the word to go on.
func (p *plan) hold(name string) {
	p.mu.Lock()
	p.held, p.free = name, make(chan struct{})
	free := p.free
	p.mu.Unlock()
	<-free
}

// next counts a call and says what happens to it.
func (p *plan) next(name string) (mode string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed {
		return ""
	}
	p.seen = append(p.seen, name)
	if len(p.seen) == p.at {
		return p.mode
	}
	return ""
}

// call makes a call, or breaks it.
func call(name string, do func() error) error {
	switch current.next(name) {
	case ModeFail:
		return fmt.Errorf("%s not made: %w", name, errInjected)
	case ModeLose:
		if err := do(); err != nil {
			return err
		}
		return fmt.Errorf("answer of %s lost: %w", name, errInjected)
	case ModeKillBefore:
		die()
	case ModeKillAfter:
		_ = do()
		die()
	case ModeHold:
		current.hold(name)
	case ModeHoldAfter:
		err := do()
		current.hold(name)
		return err
	}
	return do()
}

// die ends the process at once; no deferred function runs.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

type markKey struct{}

// mark says which calls under a context count.
type mark int

const (
	marksNothing mark = iota
	marksWrites
	marksAll
)

// Background makes the writes under ctx count: scheduler and relay look at the
// store again and again, and only what they change belongs to a Run.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, markKey{}, marksWrites)
}

// Worker makes every call under ctx count.
func Worker(ctx context.Context) context.Context {
	return context.WithValue(ctx, markKey{}, marksAll)
}

func marked(ctx context.Context) mark {
	m, _ := ctx.Value(markKey{}).(mark)
	return m
}

type faultyStore struct{ store.Store }

// Store wraps s.
func Store(s store.Store) store.Store { return faultyStore{s} }

func (f faultyStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if marked(ctx) == marksNothing {
		return f.Store.Update(ctx, fn)
	}
	return asBusy(call("store.update", func() error { return f.Store.Update(ctx, fn) }))
}

func (f faultyStore) View(ctx context.Context, fn func(store.ReadTx) error) error {
	if marked(ctx) != marksAll {
		return f.Store.View(ctx, fn)
	}
	return asBusy(call("store.view", func() error { return f.Store.View(ctx, fn) }))
}

// asBusy gives an injected fault the form in which a store reports trouble.
func asBusy(err error) error {
	if errors.Is(err, errInjected) {
		return fmt.Errorf("%w: %w", err, lockstep.ErrBusy)
	}
	return err
}

type faultyRotator struct{ rotators.Chooser }

// pairRotator has the further abilities of a rotator with two accounts.
type pairRotator struct {
	faultyRotator
	retirer rotators.Retirer
}

// Rotator wraps r, with the abilities that the PostgreSQL rotators have.
func Rotator(r rotators.Rotator) rotators.Rotator {
	if s, ok := r.(several); ok {
		return severalRotator{issuingRotator{s}, s}
	}
	if i, ok := r.(rotators.Issuer); ok {
		return issuingRotator{i}
	}
	chooser, ok := r.(rotators.Chooser)
	if !ok {
		return r
	}
	f := faultyRotator{chooser}
	if retirer, ok := r.(rotators.Retirer); ok {
		return pairRotator{f, retirer}
	}
	return f
}

func (f faultyRotator) Create(ctx context.Context, r *rotators.Request) (v lockstep.Value, err error) {
	err = target("create", func() error {
		v, err = f.Chooser.Create(ctx, r)
		return err
	})
	return v, err
}

func (f faultyRotator) Set(ctx context.Context, r *rotators.Request) error {
	return target("set", func() error { return f.Chooser.Set(ctx, guarded(r)) })
}

// guarded makes asking for NOT-AFTER a call of its own: between it and the
// change there is nothing but the target's own guards.
func guarded(r *rotators.Request) *rotators.Request {
	out := *r
	out.Guard.NotAfter = func(ctx context.Context, now time.Time) (at time.Time, err error) {
		err = call("guard", func() error {
			at, err = r.Guard.NotAfter(ctx, now)
			return err
		})
		return at, err
	}
	return &out
}

func (f faultyRotator) Test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	return target("test", func() error { return f.Chooser.Test(ctx, r, v) })
}

// Raise is rotators.Fencer's.
func (f faultyRotator) Raise(ctx context.Context, r *rotators.Request) (fence uint64, err error) {
	fencer, ok := f.Chooser.(rotators.Fencer)
	if !ok {
		return r.Guard.Fence, nil
	}
	err = target("raise", func() error {
		fence, err = fencer.Raise(ctx, r)
		return err
	})
	return fence, err
}

// Account is rotators.Identifier's; it touches nothing.
func (f faultyRotator) Account(v lockstep.Value) (rotators.Account, error) {
	return f.Chooser.(rotators.Identifier).Account(v)
}

// Accounts is rotators.Identifier's; it touches nothing.
func (f faultyRotator) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	return f.Chooser.(rotators.Identifier).Accounts(v)
}

// Retire is rotators.Retirer's.
func (f pairRotator) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	return target("retire", func() error { return f.retirer.Retire(ctx, guarded(r), old) })
}

type faultyFunctions struct{ Finder }

// Functions wraps f.
func Functions(f Finder) Finder { return faultyFunctions{f} }

func (f faultyFunctions) Function(ctx context.Context, account lockstep.AccountID, name string) (rotators.Function, error) {
	found, err := f.Finder.Function(ctx, account, name)
	return faultyFunction{found}, err
}

type faultyFunction struct{ rotators.Function }

// Invoke is rotators.Function's.
func (f faultyFunction) Invoke(ctx context.Context, c rotators.Call) error {
	return target(string(c.Event.Step), func() error { return f.Function.Invoke(ctx, c) })
}

// issuingRotator is a rotator whose target makes the values.
type issuingRotator struct{ rotators.Issuer }

// several has the further abilities of one that is asked for many.
type several interface {
	rotators.Issuer
	rotators.Retirer
	rotators.OrphanFinder
}

type severalRotator struct {
	issuingRotator
	real several
}

// Rotators are registered besides the others, for targets that tests have.
func Rotators() map[string]rotators.Rotator {
	return map[string]rotators.Rotator{"test-tokens": tokentest.NewSeveral(), "test-token": tokentest.NewOne()}
}

func (f issuingRotator) Issue(ctx context.Context, r *rotators.Request) (v lockstep.Value, err error) {
	err = target("issue", func() error {
		v, err = f.Issuer.Issue(ctx, guarded(r))
		return err
	})
	if err != nil {
		v = lockstep.Value{}
	}
	return v, err
}

func (f issuingRotator) Test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	return target("test", func() error { return f.Issuer.Test(ctx, r, v) })
}

// Retire is rotators.Retirer's.
func (f severalRotator) Retire(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	return target("retire", func() error { return f.real.Retire(ctx, guarded(r), old) })
}

// Marked is rotators.OrphanFinder's.
func (f severalRotator) Marked(ctx context.Context, r *rotators.Request) (list []rotators.Marked, err error) {
	err = target("marked", func() error {
		list, err = f.real.Marked(ctx, r)
		return err
	})
	return list, err
}

// Revoke is rotators.OrphanFinder's.
func (f severalRotator) Revoke(ctx context.Context, r *rotators.Request, m rotators.Marked) error {
	return target("revoke", func() error { return f.real.Revoke(ctx, guarded(r), m) })
}

// KillSessions is rotators.SessionKiller's.
func (f pairRotator) KillSessions(ctx context.Context, r *rotators.Request, old lockstep.Value) error {
	killer, ok := f.Chooser.(rotators.SessionKiller)
	if !ok {
		return nil
	}
	return target("kill", func() error { return killer.KillSessions(ctx, r, old) })
}

// target gives an injected fault the form in which a rotator reports trouble:
// a call that was not made is NotApplied, a lost answer is Unknown.
func target(name string, do func() error) error {
	made := false
	err := call("target."+name, func() error {
		made = true
		return do()
	})
	if errors.Is(err, errInjected) && !made {
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: err}
	}
	return err
}

type faultyPublisher struct{ events.Publisher }

// Publisher wraps p.
func Publisher(p events.Publisher) events.Publisher { return faultyPublisher{p} }

func (f faultyPublisher) PublishJobs(ctx context.Context, ms []bus.Message) []error {
	return f.publish("stream.jobs", ms, func() []error { return f.Publisher.PublishJobs(ctx, ms) })
}

func (f faultyPublisher) PublishEvents(ctx context.Context, ms []bus.Message) []error {
	return f.publish("stream.events", ms, func() []error { return f.Publisher.PublishEvents(ctx, ms) })
}

func (f faultyPublisher) publish(name string, ms []bus.Message, do func() []error) (errs []error) {
	err := call(name, func() error {
		errs = do()
		return errors.Join(errs...)
	})
	if !errors.Is(err, errInjected) {
		return errs
	}
	errs = make([]error, len(ms))
	for i := range errs {
		errs[i] = err
	}
	return errs
}
