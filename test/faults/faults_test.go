// Package faults is the fault suite: it counts the calls of one rotation that
// touch the store, the target or the stream, and then, for each of them and
// each way to break it, breaks that one call of a real server, ends the process
// by SIGKILL where the way says so, starts it again, and looks whether every
// promise still holds: the invariants, the application's credential, and the
// next rotation.
//
// Besides the calls that fail, lose their answer, or end the process, a call
// may be held, and meanwhile something is taken away from outside: the process
// is paused beyond its lease, the store, NATS or the target is gone, the disk
// is full, a clock is stepped.
//
// A usual run breaks every call of the PostgreSQL rotators; of the other classes,
// and of what is done while a call is held, it takes a sample, the same each time
// unless -seed says another. -calls makes the sample larger, -nodes adds those
// with two workers, and -full takes everything.
package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/fault"
)

// caseTime bounds one case on a busy machine.
const caseTime = 90 * time.Second

// lease is long enough for a target call on a machine with other work, and
// short enough to be waited for after each crash.
const lease = "3s"

// parallel is how many groups run at once: they mostly wait for leases to run
// out, not for the processor.
const parallel = "24"

// full asks for every mode. Without it the process is killed after each call,
// not before: what is left then is what the kill after the call before it left,
// but for work in memory.
var full = flag.Bool("full", false, "every fault at every call")

// seed draws the samples.
var seed = flag.Uint64("seed", 1, "which sample is drawn; with -full, the order")

// perScene is how many calls of a sampled group are broken.
var perScene = flag.Int("calls", 1, "how many calls are broken of each group that is sampled")

// withNodes asks for the cases with several processes.
var withNodes = flag.Bool("nodes", false, "also two workers on one store, and what happens to one of them")

var stores = []string{"sqlite", "postgresql"}

// done counts the cases.
var done tally

func modes() []string {
	if *full {
		return fault.Modes()
	}
	return []string{fault.ModeFail, fault.ModeLose, fault.ModeKillAfter}
}

func TestMain(m *testing.M) {
	if target := os.Getenv(functionTarget); target != "" {
		if err := beFunction(context.Background(), target); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestEveryCallBroken(t *testing.T) {
	var cases, kills atomic.Int64
	t.Run("group", func(t *testing.T) {
		for _, b := range breaks() {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				g := newGroup(t, b.variant, b.store, house{})
				calls := g.count(t)
				t.Logf("one rotation makes %d calls: %s", len(calls), strings.Join(calls, " "))
				for _, mode := range b.modes {
					for _, n := range b.calls(len(calls)) {
						g.run(t, mode, n)
						cases.Add(1)
						done.add(mode)
					}
				}
				kills.Add(g.kills)
			})
		}
		for _, s := range sample(disturbances()) {
			t.Run(s.name()+"/"+s.disturbance.name, func(t *testing.T) {
				t.Parallel()
				s.run(t)
			})
		}
		if !*withNodes && !*full {
			return
		}
		t.Run("two workers", func(t *testing.T) {
			t.Parallel()
			twoWorkers(t)
		})
	})
	// make test prints attributes, also of tests that pass.
	t.Attr("fault-seed", fmt.Sprint(*seed))
	t.Attr("fault-cases", done.total())
	t.Attr("fault-cases-by-fault", done.String())
	t.Attr("sigkills-seen", fmt.Sprint(kills.Load()))
	if kills.Load() < cases.Load()/4 {
		t.Errorf("only %d of %d cases saw the process killed: the kill points are not reached", kills.Load(), cases.Load())
	}
}

// variant is a way to rotate.
type variant struct {
	name    string
	rotator string
	// byAdmin tells whether the secret names an admin's; without one, the role
	// changes its own password.
	byAdmin bool
	// retires tells whether the old credential is shut soon after finish.
	retires bool
	// sampled tells whether a usual run breaks a sample of its calls.
	sampled bool
}

var variants = []variant{
	{name: "postgres by an admin", rotator: "postgres", byAdmin: true},
	{name: "postgres by itself", rotator: "postgres", sampled: true},
	{name: "postgres-alternating", rotator: "postgres-alternating", byAdmin: true, retires: true},
	{name: "mariadb by an admin", rotator: "mariadb", byAdmin: true, sampled: true},
	{name: "mariadb by itself", rotator: "mariadb", sampled: true},
	{name: "mariadb-alternating", rotator: "mariadb-alternating", byAdmin: true, retires: true, sampled: true},
	{name: "redis, two values", rotator: "redis", byAdmin: true, retires: true, sampled: true},
	{name: "tokens, issued", rotator: "test-tokens", sampled: true},
	{name: "generic, no target", rotator: "generic", sampled: true},
	{name: "a function of somebody's own", rotator: "own", sampled: true},
}
