package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tally counts cases by fault.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[fault]++
}

func (c *tally) total() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, n := range c.n {
		sum += n
	}
	return fmt.Sprint(sum)
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, fault := range slices.Sorted(maps.Keys(c.n)) {
		out = append(out, fmt.Sprintf("%s: %d", fault, c.n[fault]))
	}
	return strings.Join(out, ", ")
}

// scene is one variant over one store, with what it draws from.
type scene struct {
	variant
	store  string
	random *rand.Rand
}

func (s *scene) label() string { return s.variant.name + "/" + s.store }

// scenes are all there are for some variants.
func scenes(random *rand.Rand, of func(variant) bool) []*scene {
	var out []*scene
	for _, v := range variants {
		for _, store := range stores {
			if of(v) {
				own := rand.New(rand.NewPCG(*seed, random.Uint64())) // #nosec G404 -- a seed must repeat it
				out = append(out, &scene{variant: v, store: store, random: own})
			}
		}
	}
	return out
}

// draw is one of them; all with -full.
func draw(random *rand.Rand, all []*scene) []*scene {
	if *full {
		return all
	}
	drawn := random.IntN(len(all))
	return all[drawn : drawn+1]
}

// some are the numbers of the calls that are broken, of n.
func (s *scene) some(n int) []int {
	all := s.random.Perm(n)
	if !*full {
		all = all[:min(*perScene, n)]
	}
	slices.Sort(all)
	for i := range all {
		all[i]++
	}
	return all
}

// broken is a scene in which calls fail by themselves.
type broken struct {
	*scene
	name  string
	modes []string
	calls func(n int) []int
}

// breaks are the scenes of every variant: each mode of its own where every call
// is broken, all modes in one where a few are.
func breaks() []broken {
	random := rand.New(rand.NewPCG(*seed, 2)) // #nosec G404 -- a seed must repeat it
	var out []broken
	for _, v := range variants {
		all := scenes(random, func(other variant) bool { return other.name == v.name })
		if v.sampled && !*full {
			for _, s := range draw(random, all) {
				out = append(out, broken{scene: s, name: s.label(), modes: modes(), calls: s.some})
			}
			continue
		}
		for _, s := range all {
			for _, mode := range modes() {
				out = append(out, broken{scene: s, name: s.label() + "/" + mode, modes: []string{mode}, calls: every})
			}
		}
	}
	return out
}

// every is all numbers up to n.
func every(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

// disturbed is a scene in which something is taken away.
type disturbed struct {
	*scene
	disturbance *disturbance
}

func (s *disturbed) name() string { return s.label() }

// sample draws one scene of each disturbance; -full takes them all.
func sample(all []*disturbance) []*disturbed {
	random := rand.New(rand.NewPCG(*seed, 0)) // #nosec G404 -- a seed must repeat it
	var out []*disturbed
	for _, d := range all {
		for _, s := range draw(random, scenes(random, d.fits)) {
			out = append(out, &disturbed{s, d})
		}
	}
	return out
}

// run makes the scene's house and goes through its cases.
func (s *disturbed) run(t *testing.T) {
	var h house
	if s.disturbance.house != nil {
		h = s.disturbance.house(t, s.store)
	}
	g := newGroup(t, s.variant, s.store, h)
	calls := g.count(t)
	for _, n := range s.some(len(calls)) {
		what := fmt.Sprintf("%s at call %d (like %s)", s.disturbance.name, n, calls[n-1])
		g.doing = what
		g.command(t, fmt.Sprintf("arm %s %d", s.disturbance.mode, n))
		begun := time.Now()
		g.rotate(t)
		if g.held(t, what) {
			s.disturbance.act(t, g, s.random)
			done.add(s.disturbance.name)
		} else {
			done.add("not reached")
		}
		g.settled(t)
		g.command(t, "stop")
		g.goodEnd(t, what)
		t.Logf("%s took %v", what, time.Since(begun))
	}
	g.told(t)
}
