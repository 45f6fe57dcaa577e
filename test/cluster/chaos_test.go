package cluster

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// shortChaos is how long the form that `make test` runs disturbs.
const shortChaos = 8 * time.Second

// chaos disturbs a rig: which fault, of whom, and when is drawn from a seed.
// (What the processes do in between is theirs, so a seed repeats the faults,
// not each interleaving.)
type chaos struct {
	*rig
	t      *testing.T
	store  *pgtest.Server
	random *rand.Rand
	// longest bounds how long anybody is away.
	longest time.Duration

	mu     sync.Mutex
	away   map[string]bool
	counts map[string]int
	wg     sync.WaitGroup
}

// victim is a process and the group that it must not leave alone.
type victim struct {
	*servertest.Process
	group string
}

// TestChaos disturbs everything at random while applications use their
// databases: no query fails, no invariant breaks, every event arrives, every
// run ends well. $CHAOS_MINUTES says how long, $CHAOS_SEED repeats the faults.
func TestChaos(t *testing.T) {
	length, minutes := shortChaos, os.Getenv("CHAOS_MINUTES")
	if minutes != "" {
		n, err := strconv.ParseFloat(minutes, 64)
		if err != nil || n <= 0 {
			t.Fatalf("CHAOS_MINUTES %q: a number of minutes", minutes)
		}
		length = time.Duration(n * float64(time.Minute))
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("CHAOS_SEED %q: %v", s, err)
		}
		seed = n
	}
	t.Logf("CHAOS_SEED=%d", seed)
	t.Attr("chaos-seed", fmt.Sprint(seed))
	c := &chaos{
		t: t, store: pgtest.Start(t), random: rand.New(rand.NewPCG(seed, 0)),
		longest: 4 * time.Second, away: make(map[string]bool), counts: make(map[string]int),
	}
	n := size{apis: 2, schedulers: 2, workers: 4, apps: 4, every: 8 * time.Second}
	if minutes == "" {
		n.every, c.longest = 4*time.Second, 2500*time.Millisecond
	}
	c.rig = newRig(t, c.store, n)
	c.disturb(length)
	c.rotateMore(t, "a rotation once all is back", 1)
	c.settle(t)
	c.verify(t)
	c.report(length, seed)
}

// disturb draws faults until the time is over, and waits until all is mended.
func (c *chaos) disturb(length time.Duration) {
	end := time.Now().Add(length)
	for time.Now().Before(end) && !c.t.Failed() {
		c.one()
		timer := time.NewTimer(200*time.Millisecond + c.upTo(1300*time.Millisecond))
		<-timer.C
	}
	c.wg.Wait()
}

func (c *chaos) upTo(d time.Duration) time.Duration { return time.Duration(c.random.Int64N(int64(d))) }

// one begins one fault. The draws do not depend on how far earlier ones are.
func (c *chaos) one() {
	kind, who, wait := c.random.IntN(20), c.random.IntN(1<<20), c.upTo(c.longest)
	if kind == 0 {
		c.begin("postgresql restart", victim{&servertest.Process{Name: "postgresql"}, "postgresql"}, c.restartStore)
		return
	}
	v := c.victims()[who%len(c.victims())]
	switch {
	case v.group == "nats" || kind < 8:
		c.begin("kill -9 "+v.group, v, func() error { return c.kill(v.Process, wait) })
	case kind < 16:
		// Past the lease of two seconds, so that another has taken over.
		c.begin("SIGSTOP "+v.group, v, func() error { return c.pause(v.Process, max(wait, c.longest-time.Second)) })
	default:
		c.begin("SIGTERM "+v.group, v, func() error { return c.restartNode(v.Process) })
	}
}

func (c *chaos) victims() []victim {
	var all []victim
	for _, s := range c.API {
		all = append(all, victim{s.Process, "api"})
	}
	for _, p := range c.Schedulers {
		all = append(all, victim{p, "scheduler"})
	}
	for _, p := range c.Workers {
		all = append(all, victim{p, "worker"}, victim{p, "worker"}) // they have the most to do
	}
	for _, p := range c.NATS {
		all = append(all, victim{p, "nats"})
	}
	return all
}

// begin does a fault beside others, unless the victim is away already, or the
// last of a group that would leave nobody (of NATS: no majority).
func (c *chaos) begin(kind string, v victim, do func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away[v.Name] || (v.group != "worker" && c.away[v.group]) {
		return
	}
	c.away[v.Name], c.away[v.group] = true, true
	c.counts[kind]++
	c.wg.Go(func() {
		if err := do(); err != nil {
			c.t.Errorf("%s of %s: %v", kind, v.Name, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.away, v.Name)
		delete(c.away, v.group)
	})
}

func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

func (c *chaos) kill(p *servertest.Process, away time.Duration) error {
	p.Kill()
	wait(away)
	return c.up(p)
}

// up starts a process again. It ends by itself if what it needs is away for too
// long, or if a connection of somebody else's has its port at this moment; then it
// is started again, as systemd would.
func (c *chaos) up(p *servertest.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := p.Restart(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		p.Kill()
		wait(time.Second)
	}
}

func (c *chaos) pause(p *servertest.Process, away time.Duration) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	wait(away)
	return p.Signal(syscall.SIGCONT)
}

func (c *chaos) restartNode(p *servertest.Process) error {
	if code := p.Stop(); code != 0 {
		return fmt.Errorf("exit %d", code)
	}
	return c.up(p)
}

func (c *chaos) restartStore() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.store.Restart(ctx)
}

// report is the summary.
func (c *chaos) report(length time.Duration, seed uint64) {
	var faults []string
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(c.counts)) {
		c.t.Logf("%6d  %s", c.counts[kind], kind)
		faults = append(faults, fmt.Sprintf("%s: %d", kind, c.counts[kind]))
		total += c.counts[kind]
	}
	var queries, failed int64
	for _, a := range c.apps {
		queries += a.queries.Load()
		failed += a.failed.Load()
	}
	rotations := 0
	for _, arn := range c.arns {
		rotations += c.listener.rotations(arn)
	}
	c.t.Attr("chaos-faults", strings.Join(faults, ", "))
	c.t.Logf("chaos: %s, seed %d: %d faults, %d rotations, %d queries, %d failed", length, seed, total, rotations, queries, failed)
	if total == 0 {
		c.t.Error("nothing was disturbed")
	}
}
