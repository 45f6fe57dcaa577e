package admin

import (
	"context"
	"net/url"
	"time"
)

// Graph says which Secrets are changed at their targets by the credential of
// which others (the masterarn in their values).
type Graph struct {
	// Secrets are in dependency order: an admin before what it manages.
	Secrets []GraphNode `json:"secrets"`
	// Cycles are the names of Secrets that manage themselves over each other, each
	// followed by its admin. There is none unless two were made in the same moment.
	Cycles [][]string `json:"cycles,omitempty"`
	// Truncated is true if there is more than an answer holds (10,000 Secrets).
	Truncated bool `json:"truncated,omitempty"`
}

// GraphNode is a Secret that manages others, or is managed.
type GraphNode struct {
	// Name is the Secret's; for what does not exist, the masterarn that names it.
	Name string `json:"name"`
	ARN  string `json:"arn,omitempty"`
	// Missing is true for what does not exist.
	Missing bool `json:"missing,omitempty"`
	// Rotator is empty if the Secret does not rotate.
	Rotator string `json:"rotator,omitempty"`
	// Admin is the name of what manages it, AdminARN its ARN; empty if nothing
	// does.
	Admin    string `json:"admin,omitempty"`
	AdminARN string `json:"adminArn,omitempty"`
	// Level is how many admins stand above it.
	Level        int       `json:"level"`
	NextRotation time.Time `json:"nextRotation,omitzero"`
}

// Graph reads the admins above a Secret and all that it manages; with an empty
// name, all Secrets that rotate and have an admin. Errors: *Error (ErrNotFound),
// or the transport's.
func (c *Client) Graph(ctx context.Context, name string) (Graph, error) {
	query := url.Values{}
	if name != "" {
		query.Set("secret", name)
	}
	var out Graph
	return out, c.get(ctx, call{path: "/v1/graph", query: query}, &out)
}
