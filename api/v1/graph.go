package v1

import (
	"context"
	"net/http"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/runs"
	"lockstep/store"
)

// Graphs tells who manages whom; runs.Service does.
type Graphs interface {
	Graph(ctx context.Context, owner store.Owner) (runs.Graph, error)
	GraphOf(ctx context.Context, ref keeper.Ref) (runs.Graph, error)
}

// graphRoutes ask about "*" for all Secrets, and about one Secret for its own
// admins and what it manages: their names are told to whoever may ask about it.
func graphRoutes() []route {
	return []route{{http.MethodGet, "/v1/graph", "GetGraph", http.StatusOK, (*API).getGraph}}
}

type graphNode struct {
	// Name is the Secret's, or what a masterarn names that does not exist.
	Name string       `json:"name"`
	ARN  lockstep.ARN `json:"arn,omitempty"`
	// Missing is true for what does not exist.
	Missing bool `json:"missing,omitempty"`
	// Rotator is empty if the Secret does not rotate.
	Rotator string `json:"rotator,omitempty"`
	// Admin and AdminARN are what manages it.
	Admin        string     `json:"admin,omitempty"`
	AdminARN     string     `json:"adminArn,omitempty"`
	Level        int        `json:"level"`
	NextRotation *time.Time `json:"nextRotation,omitempty"`
}

type graphOutput struct {
	// Secrets are in dependency order, admins before what they manage.
	Secrets []graphNode `json:"secrets"`
	// Cycles are the names of Secrets that manage themselves over each other.
	Cycles    [][]string `json:"cycles,omitempty"`
	Truncated bool       `json:"truncated,omitempty"`
}

func (a *API) getGraph(ctx context.Context, c call) (any, error) {
	g, err := a.graph(ctx, c)
	if err != nil {
		return nil, err
	}
	out := graphOutput{Secrets: []graphNode{}, Truncated: g.Truncated}
	for _, n := range g.Nodes {
		out.Secrets = append(out.Secrets, showNode(n))
	}
	for _, cycle := range g.Cycles {
		var names []string
		for _, n := range cycle {
			names = append(names, n.Name())
		}
		out.Cycles = append(out.Cycles, names)
	}
	return out, nil
}

func (a *API) graph(ctx context.Context, c call) (runs.Graph, error) {
	if c.URL.Query().Get("secret") == "" {
		if err := a.may(ctx, c, nil); err != nil {
			return runs.Graph{}, err
		}
		return a.config.Graphs.Graph(ctx, c.caller.Owner())
	}
	ref, err := a.ref(ctx, c)
	if err != nil {
		return runs.Graph{}, err
	}
	return a.config.Graphs.GraphOf(ctx, ref)
}

func showNode(n *runs.GraphNode) graphNode {
	out := graphNode{Name: n.Name(), Missing: n.Secret == nil, Level: n.Level}
	if n.Admin != nil {
		out.Admin, out.AdminARN = n.Admin.Name(), n.Admin.Ref
	}
	if n.Secret == nil {
		return out
	}
	out.ARN = n.Secret.ARN
	if n.Secret.RotationEnabled() {
		out.Rotator = n.Secret.Rotation.Rotator
		if at := n.Secret.NextRotation.UTC(); !at.IsZero() {
			out.NextRotation = &at
		}
	}
	return out
}
