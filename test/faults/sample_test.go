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

// perGroup is how many calls of a group a sample breaks.
const perGroup = 3

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

// scene is one disturbance of one variant over one store.
type scene struct {
	variant
	store       string
	disturbance *disturbance
	random      *rand.Rand
}

func (s *scene) name() string { return s.variant.name + "/" + s.store }

// sample draws one scene of each disturbance; -full takes them all.
func sample(all []*disturbance) []*scene {
	random := rand.New(rand.NewPCG(*seed, 0)) // #nosec G404 -- a seed must repeat it
	var out []*scene
	for _, d := range all {
		var of []*scene
		for _, v := range variants {
			for _, store := range stores {
				of = append(of, &scene{
					variant: v, store: store, disturbance: d,
					random: rand.New(rand.NewPCG(*seed, random.Uint64())), // #nosec G404 -- a seed must repeat it
				})
			}
		}
		if !*full {
			drawn := random.IntN(len(of))
			of = of[drawn : drawn+1]
		}
		out = append(out, of...)
	}
	return out
}

// calls are the numbers of those that are broken, of n.
func (s *scene) calls(n int) []int {
	all := s.random.Perm(n)
	if !*full {
		all = all[:min(perGroup, n)]
	}
	slices.Sort(all)
	return all
}

// run makes the scene's house and goes through its cases.
func (s *scene) run(t *testing.T) {
	var h house
	if s.disturbance.house != nil {
		h = s.disturbance.house(t, s.store)
	}
	g := newGroup(t, s.variant, s.store, h)
	calls := g.count(t)
	for _, i := range s.calls(len(calls)) {
		what := fmt.Sprintf("%s at call %d (like %s)", s.disturbance.name, i+1, calls[i])
		g.doing = what
		g.command(t, fmt.Sprintf("arm %s %d", s.disturbance.mode, i+1))
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
