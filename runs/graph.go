package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lockstep"
	"lockstep/keeper"
	"lockstep/store"
)

// The bounds of a Graph: how many Secrets it shows, and how far up admins are
// followed.
const (
	MaxGraph    = 10000
	maxUpstream = 100
)

// GraphNode is a Secret that manages others, or is managed.
type GraphNode struct {
	// Secret is nil if what a masterarn names does not exist.
	Secret *lockstep.Secret
	// Ref is what names it: its ARN, or the masterarn as it stands in the value.
	Ref string
	// Admin is what manages it; nil if nothing does.
	Admin *GraphNode
	// Level is how many admins stand above it; 0 in a cycle.
	Level int
}

// Name is the Secret's; what does not exist is called as it was named.
func (n *GraphNode) Name() string {
	if n.Secret == nil {
		return n.Ref
	}
	return n.Secret.Name
}

// Graph says which Secrets are changed at their targets by the credential of
// which others.
type Graph struct {
	// Nodes are in dependency order: an admin before what it manages.
	Nodes []*GraphNode
	// Cycles are Secrets that manage themselves over each other, each in the order
	// of who manages whom.
	Cycles [][]*GraphNode
	// Truncated is true if there is more than MaxGraph.
	Truncated bool
}

// Graph shows all of an owner's Secrets that rotate and have an admin, with their
// admins. No value is opened.
func (s *Service) Graph(ctx context.Context, owner store.Owner) (Graph, error) {
	var g *graphing
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		g = newGraphing(tx)
		list, err := tx.Managed(owner, MaxGraph+1)
		if err != nil {
			return err
		}
		g.truncated = len(list) > MaxGraph
		for _, managed := range list[:min(len(list), MaxGraph)] {
			if _, err := g.upwards(managed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Graph{}, err
	}
	return g.graph(), nil
}

// GraphOf shows one Secret, the admins above it and all that it manages.
// Errors: a Refusal of kind ErrNotFound.
func (s *Service) GraphOf(ctx context.Context, ref keeper.Ref) (Graph, error) {
	var g *graphing
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		g = newGraphing(tx)
		secret, err := keeper.Find(tx, ref)
		if err != nil {
			return err
		}
		if _, err := g.upwards(secret); err != nil {
			return err
		}
		return g.downwards(secret)
	})
	if err != nil {
		return Graph{}, err
	}
	return g.graph(), nil
}

// graphing is a Graph while it is read.
type graphing struct {
	tx        store.ReadTx
	nodes     map[string]*GraphNode // by ARN, or by what names nothing
	refs      map[string]*GraphNode // by region and masterarn
	truncated bool
}

func newGraphing(tx store.ReadTx) *graphing {
	return &graphing{tx: tx, nodes: map[string]*GraphNode{}, refs: map[string]*GraphNode{}}
}

// node is a Secret's.
func (g *graphing) node(s *lockstep.Secret) (n *GraphNode, known bool) {
	if n, known = g.nodes[string(s.ARN)]; !known {
		n = &GraphNode{Secret: s, Ref: string(s.ARN)}
		g.nodes[n.Ref] = n
	}
	return n, known
}

// upwards adds a Secret and all admins above it.
func (g *graphing) upwards(s *lockstep.Secret) (*GraphNode, error) {
	first, known := g.node(s)
	for at := first; !known && at.Secret != nil && at.Secret.RotationEnabled() && at.Secret.AdminRef != ""; at = at.Admin {
		var err error
		if at.Admin, known, err = g.admin(at.Secret); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// admin finds what a Secret names as its masterarn.
func (g *graphing) admin(s *lockstep.Secret) (n *GraphNode, known bool, err error) {
	key := string(s.Region) + " " + s.AdminRef
	if n, known = g.refs[key]; known {
		return n, true, nil
	}
	admin, err := keeper.FindAdmin(g.tx, s, s.AdminRef)
	switch {
	case errors.Is(err, lockstep.ErrNotFound):
		n = &GraphNode{Ref: s.AdminRef}
		g.nodes[key] = n
	case err != nil:
		return nil, false, fmt.Errorf("find admin secret: %w", err)
	default:
		n, known = g.node(admin)
	}
	g.refs[key] = n
	return n, known, nil
}

// downwards adds all that a Secret manages, level by level.
func (g *graphing) downwards(s *lockstep.Secret) error {
	seen := map[lockstep.SecretID]bool{s.ID: true}
	for queue := []*lockstep.Secret{s}; len(queue) > 0; {
		at := queue[0]
		queue = queue[1:]
		list, err := g.tx.ManagedBy(at.Account, refsTo(at), MaxGraph+1)
		if err != nil {
			return err
		}
		for _, managed := range list {
			if len(g.nodes) >= MaxGraph {
				g.truncated = true
				return nil
			}
			admin, err := keeper.FindAdmin(g.tx, managed, managed.AdminRef)
			if errors.Is(err, lockstep.ErrNotFound) || err == nil && (admin.ID != at.ID || seen[managed.ID]) {
				continue // the name means another's, in another region
			}
			if err != nil {
				return fmt.Errorf("find admin secret: %w", err)
			}
			if _, err := g.upwards(managed); err != nil {
				return err
			}
			seen[managed.ID] = true
			queue = append(queue, managed)
		}
	}
	return nil
}

// refsTo are all ways to name a Secret.
func refsTo(s *lockstep.Secret) []string {
	arn := string(s.ARN)
	refs := []string{arn, s.Name}
	if i := strings.LastIndexByte(arn, '-'); i > 0 {
		refs = append(refs, arn[:i])
	}
	return refs
}

// graph puts the nodes in order.
func (g *graphing) graph() Graph {
	out := Graph{Truncated: g.truncated}
	done := map[*GraphNode]bool{}
	for _, n := range g.nodes {
		out.Cycles = append(out.Cycles, level(n, done)...)
		out.Nodes = append(out.Nodes, n)
	}
	slices.SortFunc(out.Nodes, func(a, b *GraphNode) int {
		if a.Level != b.Level {
			return a.Level - b.Level
		}
		return strings.Compare(a.Name()+a.Ref, b.Name()+b.Ref)
	})
	slices.SortFunc(out.Cycles, func(a, b []*GraphNode) int { return strings.Compare(a[0].Ref, b[0].Ref) })
	return out
}

// level counts the admins above a node and all between; a cycle that it meets
// first is returned.
func level(n *GraphNode, done map[*GraphNode]bool) (cycles [][]*GraphNode) {
	var path []*GraphNode
	at := n
	for ; at != nil && !done[at]; at = at.Admin {
		done[at] = true
		path = append(path, at)
	}
	if i := slices.Index(path, at); at != nil && i >= 0 {
		cycles = append(cycles, fromSmallest(path[i:]))
		path = path[:i]
	}
	for _, n := range slices.Backward(path) {
		if n.Admin != nil {
			n.Level = n.Admin.Level + 1
		}
	}
	return cycles
}

// fromSmallest turns a cycle so that it begins at the same node each time.
func fromSmallest(cycle []*GraphNode) []*GraphNode {
	least := 0
	for i, n := range cycle {
		if n.Ref < cycle[least].Ref {
			least = i
		}
	}
	return slices.Concat(cycle[least:], cycle[:least])
}
