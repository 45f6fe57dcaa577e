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
// is full, a clock is stepped. These take long and are not part of a run unless
// it is asked for: -seed takes the sample of a seed, -full takes them all.
package faults

import (
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

// seed draws a sample of what is done while a call is held.
var seed = flag.Uint64("seed", 0, "also the sample of this seed (0: none)")

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
	flag.Parse()
	if *full && *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestEveryCallBroken(t *testing.T) {
	var cases, kills atomic.Int64
	t.Run("group", func(t *testing.T) {
		for _, v := range variants {
			for _, store := range stores {
				for _, mode := range modes() {
					t.Run(v.name+"/"+store+"/"+mode, func(t *testing.T) {
						t.Parallel()
						g := newGroup(t, v, store, house{})
						calls := g.count(t)
						t.Logf("one rotation makes %d calls: %s", len(calls), strings.Join(calls, " "))
						for n := 1; n <= len(calls); n++ {
							g.run(t, mode, n)
							cases.Add(1)
							done.add(mode)
						}
						kills.Add(g.kills)
					})
				}
			}
		}
		if *seed == 0 {
			return
		}
		for _, s := range sample(disturbances()) {
			t.Run(s.name()+"/"+s.disturbance.name, func(t *testing.T) {
				t.Parallel()
				s.run(t)
			})
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
	// admin tells whether the secret names an admin's; without one, the role
	// changes its own password.
	byAdmin bool
	// retires tells whether the old account is shut soon after finish.
	retires bool
}

var variants = []variant{
	{name: "postgres by an admin", rotator: "postgres", byAdmin: true},
	{name: "postgres by itself", rotator: "postgres"},
	{name: "postgres-alternating", rotator: "postgres-alternating", byAdmin: true, retires: true},
}
