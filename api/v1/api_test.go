package v1

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestEveryRouteIsInTheDocument(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, operations := range doc.Paths {
		for method, op := range operations {
			described = append(described, strings.ToUpper(method)+" "+path+" "+op.OperationID)
		}
	}
	for _, r := range routes() {
		served = append(served, r.method+" "+r.pattern+" "+r.action)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described %q\nserved %q", described, served)
	}
}

func TestMatchPath(t *testing.T) {
	for _, c := range []struct {
		pattern, path, id string
		ok                bool
	}{
		{"/v1/runs", "/v1/runs", "", true},
		{"/v1/runs", "/v1/runs/", "", false},
		{"/v1/runs/{id}", "/v1/runs/a", "a", true},
		{"/v1/runs/{id}", "/v1/runs/", "", false},
		{"/v1/runs/{id}", "/v1/runs/a/b", "a/b", false},
		{"/v1/runs/{id}", "/v1/plans/a", "", false},
		{"/v1/runs/{id}/retry", "/v1/runs/a/retry", "a", true},
		{"/v1/runs/{id}/retry", "/v1/runs//retry", "", false},
		{"/v1/runs/{id}/retry", "/v1/runs/retry", "", false},
		{"/v1/runs/{id}/retry", "/v1/runs/a/b/retry", "", false},
	} {
		if id, ok := matchPath(c.pattern, c.path); ok != c.ok || (ok && id != c.id) {
			t.Errorf("%s %s: %q %v", c.pattern, c.path, id, ok)
		}
	}
}
