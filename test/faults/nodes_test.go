package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/fault"
	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// nodes is two schedulers and two workers as processes of their own, on one
// PostgreSQL and three NATS servers. The workers can be told to fail; the group's
// server is the API node.
type nodes struct {
	*group
	cluster  *servertest.Cluster
	controls []control
	// refused counts what the target refused since a newer claim had marked it;
	// fenced what the store did. (Often the heartbeat is told first.)
	refused, fenced int
}

// nodeFault is what happens to a worker that has a call in hand, or to what all
// nodes share.
type nodeFault struct {
	name, mode string
	// act is told which worker it is.
	act func(t *testing.T, n *nodes, worker int, token string)
}

func nodeFaults() []*nodeFault {
	return []*nodeFault{
		{name: "worker killed, another goes on", mode: fault.ModeHold, act: killWorker},
		{name: "worker paused before, another goes on", mode: fault.ModeHold, act: pauseWorker},
		{name: "worker paused after, another goes on", mode: fault.ModeHoldAfter, act: pauseWorker},
		{name: "external NATS away", mode: fault.ModeHold, act: natsAway},
		{name: "shared store away", mode: fault.ModeHold, act: sharedStoreAway},
		{name: "schedulers killed", mode: fault.ModeHold, act: killSchedulers},
	}
}

func newNodes(t *testing.T, v variant) *nodes {
	t.Helper()
	dir := t.TempDir()
	n := &nodes{controls: []control{control(filepath.Join(dir, "1.sock")), control(filepath.Join(dir, "2.sock"))}}
	target := pgtest.Start(t)
	n.group = &group{variant: v, site: postgres{target}, target: target, store: pgtest.Start(t), secret: "app/" + v.rotator}
	n.cluster = servertest.StartCluster(t, servertest.ClusterOptions{
		Store: n.store.DatabaseDSN(t), APIs: 1, Schedulers: 2, Workers: 2, Tags: "faults",
		Args:      []string{"--lease", lease, "--min-interval", "1s", "--workers", "2", "--drain-delay", "100ms"},
		Config:    "../../deploy/nats/nats.conf",
		WorkerEnv: func(i int) []string { return []string{"LOCKSTEP_FAULTS=" + string(n.controls[i])} },
	})
	n.server = n.cluster.API[0]
	n.secrets, n.admin = n.server.Secrets(t), n.server.Admin(t)
	t.Cleanup(func() { n.unobserve(context.WithoutCancel(t.Context())) })
	n.createSecrets(t)
	return n
}

// arm arms both workers: whichever has the run meets the fault.
func (n *nodes) arm(t *testing.T, mode string, at int) {
	t.Helper()
	for _, c := range n.controls {
		c.send(t, fmt.Sprintf("arm %s %d", mode, at))
	}
}

// stop disarms both and returns the calls of the one that had most.
func (n *nodes) stop(t *testing.T) []string {
	t.Helper()
	var most []string
	for _, c := range n.controls {
		if calls := strings.Fields(c.send(t, "stop")); len(calls) > len(most) {
			most = calls
		}
	}
	return most
}

// count is group.count of the worker that does most: run and retirement may be
// different workers'.
func (n *nodes) count(t *testing.T) []string {
	t.Helper()
	var seen []string
	for range 3 {
		n.arm(t, fault.ModeFail, 0)
		n.rotate(t)
		n.settled(t)
		if calls := n.stop(t); len(calls) > len(seen) {
			seen = calls
		}
	}
	if len(seen) < 4 {
		t.Fatalf("a rotation made only %d calls that can be broken: %v", len(seen), seen)
	}
	return seen
}

// holder waits until a worker's call is held, and returns which and what; -1 if
// the rotation ended without.
func (n *nodes) holder(t *testing.T, what string) (worker int, call string) {
	t.Helper()
	worker = -1
	n.reached(t, what, func(ctx context.Context) bool {
		return eventually(ctx, func() bool {
			for i, c := range n.controls {
				if call = c.send(t, "held"); call != "" {
					worker = i
					return true
				}
			}
			return false
		})
	})
	return worker, call
}

// twoWorkers: a worker in hand of a run dies, or sleeps beyond its lease; the
// other ends the run, and what the first does when it wakes is refused, by the
// store and by the target.
func twoWorkers(t *testing.T) {
	random := rand.New(rand.NewPCG(*seed, 1)) // #nosec G404 -- a seed must repeat it
	all := []variant{variants[0], variants[2]}
	if !*full {
		drawn := random.IntN(len(all))
		all = all[drawn : drawn+1]
	}
	for _, v := range all {
		own := rand.New(rand.NewPCG(*seed, random.Uint64())) // #nosec G404 -- a seed must repeat it
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			newNodes(t, v).all(t, own)
		})
	}
}

func (n *nodes) all(t *testing.T, random *rand.Rand) {
	calls := n.count(t)
	t.Logf("one rotation makes %d calls: %s", len(calls), strings.Join(calls, " "))
	// Between the target's own guards and the change there is nothing else.
	guard := slices.Index(calls, "guard")
	for _, f := range nodeFaults() {
		of := random.Perm(len(calls))
		if !*full {
			of = of[:1]
		}
		if f.mode == fault.ModeHoldAfter && !slices.Contains(of, guard) {
			of = append(of, guard)
		}
		for _, i := range of {
			n.one(t, f, i+1, calls[i])
		}
	}
	n.told(t)
	for _, w := range n.cluster.Workers {
		n.fenced += strings.Count(w.Log(), "lease lost")
	}
	t.Logf("%d changes refused by the target's marker, %d writes by the store's fence", n.refused, n.fenced)
}

func (n *nodes) one(t *testing.T, f *nodeFault, at int, like string) {
	t.Helper()
	n.doing = fmt.Sprintf("%s at call %d (like %s)", f.name, at, like)
	n.arm(t, f.mode, at)
	token := n.rotate(t)
	worker, _ := n.holder(t, n.doing)
	if worker >= 0 {
		n.controls[1-worker].send(t, "stop") // it shall not be held too
		f.act(t, n, worker, token)
		done.add(f.name)
	} else {
		done.add("not reached")
	}
	n.settled(t)
	n.stop(t)
	n.goodEnd(t, n.doing)
}

// other waits until the run ended well although the one that had it is gone.
func (n *nodes) other(t *testing.T, token string) {
	t.Helper()
	n.settled(t)
	if current := n.stages(t)["AWSCURRENT"]; current != token {
		t.Fatalf("%s: the other worker did not end the run: AWSCURRENT is %s, not %s\n%s", n.doing, current, token, n.history(t))
	}
}

func killWorker(t *testing.T, n *nodes, worker int, token string) {
	n.cluster.Workers[worker].Kill()
	n.other(t, token)
	must(t, n.cluster.Workers[worker].Restart(t.Context()))
}

// pauseWorker lets the other end the run while the first sleeps, and wakes it.
func pauseWorker(t *testing.T, n *nodes, worker int, token string) {
	sleeper := n.cluster.Workers[worker]
	must(t, sleeper.Signal(syscall.SIGSTOP))
	n.other(t, token)
	n.healthy(t, n.doing+", while it sleeps")
	logged := len(sleeper.Log())
	targetSaid := n.targetRefusals(t)
	must(t, sleeper.Signal(syscall.SIGCONT))
	call := n.controls[worker].send(t, "held")
	n.controls[worker].send(t, "go")
	// Making a value is no call at the target, and nobody waits for it.
	if call != "target.create" && strings.HasPrefix(call, "target.") || call == "guard" {
		// Its own time is over by now, or the target's marker refuses the change;
		// and what came of it cannot be written down any more.
		n.await(t, "the sleeper's job to be given up", func() bool {
			return strings.Contains(sleeper.Log()[logged:], "job interrupted")
		})
	}
	n.refused += n.targetRefusals(t) - targetSaid
}

func (n *nodes) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	defer cancel()
	if !eventually(ctx, ok) {
		t.Fatalf("%s: waited for %s", n.doing, what)
	}
}

// targetRefusals is how often the target has refused a change for the marker of
// a newer claim.
func (n *nodes) targetRefusals(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(n.target.LogPath())
	must(t, err)
	return strings.Count(string(raw), "has the marker of a newer claim")
}

func natsAway(t *testing.T, n *nodes, worker int, _ string) {
	for _, p := range n.cluster.NATS {
		p.Kill()
	}
	n.controls[worker].send(t, "go")
	wait(shortly)
	for _, p := range n.cluster.NATS {
		must(t, p.Launch())
	}
	for _, p := range n.cluster.NATS {
		must(t, p.WaitReady(t.Context()))
	}
}

func sharedStoreAway(t *testing.T, n *nodes, worker int, _ string) {
	must(t, n.store.Pause(t.Context()))
	n.controls[worker].send(t, "go")
	wait(shortly)
	must(t, n.store.Resume(t.Context()))
}

func killSchedulers(t *testing.T, n *nodes, worker int, token string) {
	for _, p := range n.cluster.Schedulers {
		p.Kill()
	}
	n.controls[worker].send(t, "go")
	wait(shortly)
	for _, p := range n.cluster.Schedulers {
		must(t, p.Restart(t.Context()))
	}
	n.other(t, token)
}
