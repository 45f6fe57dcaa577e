package api_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// hands tries what people may do to runs.
func hands(t *testing.T, a *api1) {
	type run struct {
		ID, State, Stop, StopReason string
		Final                       bool
	}
	var page struct{ Runs []run }
	started := func(name string) string {
		t.Helper()
		a.create(name, "v")
		must2(a.client.RotateSecret(t.Context(), &sm.RotateSecretInput{SecretId: &name, RotationLambdaARN: aws.String("plain")}))(t)
		a.call("GET", "/v1/runs?secret="+name, "", 200, &page)
		return page.Runs[0].ID
	}
	var got run
	id := started("h1")
	a.call("POST", "/v1/runs/"+id+"/retry", "", 200, &got)
	if got.ID != id || got.State != "queued" {
		t.Errorf("retry: %+v", got)
	}
	a.call("POST", "/v1/runs/"+id+"/discard", "", 200, &got)
	if got.State != "cancelled" || got.StopReason != "discarded by arn:aws:iam::"+account+":root" {
		t.Errorf("discard: %+v", got)
	}
	a.call("POST", "/v1/runs/"+id+"/retry", "", 200, &got)
	if got.ID == id || got.State != "queued" {
		t.Errorf("retry of what was discarded: %+v", got)
	}
	a.call("POST", "/v1/runs/"+got.ID+"/cancel", "", 200, &got)
	if got.State != "cancelled" {
		t.Errorf("cancel: %+v", got)
	}
	var rotation struct{ Enabled bool }
	a.call("GET", "/v1/rotation?secret=h1", "", 200, &rotation)
	if rotation.Enabled {
		t.Error("rotation is still on")
	}
	page.Runs = nil
	a.call("GET", "/v1/runs?secret=h1&state=cancelled,failed", "", 200, &page)
	if len(page.Runs) != 2 {
		t.Errorf("by state: %+v", page)
	}
	page.Runs = nil
	a.call("GET", "/v1/runs?secret=h1&failed=true", "", 200, &page)
	if len(page.Runs) != 0 {
		t.Errorf("nothing failed: %+v", page)
	}
	var refused problem
	a.call("POST", "/v1/retirements/override?secret=h1", `{}`, 409, &refused)
	if refused.Code != "State" {
		t.Errorf("%+v", refused)
	}
	var dead struct{ Jobs []struct{ Number int } }
	a.call("GET", "/v1/dead-jobs?limit=10", "", 200, &dead)
	if len(dead.Jobs) != 1 || dead.Jobs[0].Number != 2 {
		t.Errorf("dead jobs: %+v; another account's are not shown", dead)
	}
}
