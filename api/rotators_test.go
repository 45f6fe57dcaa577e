package api_test

import (
	"strings"
	"testing"
)

// inspections begins to look at every target. No worker answers here.
func inspections(t *testing.T, a *api1) {
	t.Helper()
	var got struct {
		ID                      string
		Done                    bool
		Total, Answered, Broken int
	}
	a.call("POST", "/v1/inspections", "", 202, &got)
	if got.ID == "" || got.Done || got.Answered != 0 {
		t.Errorf("%+v", got)
	}
	id := got.ID
	got.ID = ""
	a.call("GET", "/v1/inspections/"+id, "", 200, &got)
	if got.ID != id {
		t.Errorf("%+v", got)
	}
	var found struct {
		OK         bool
		Violations []struct{ Rule string }
	}
	a.call("GET", "/v1/inspections/"+id+"/findings", "", 200, &found)
	if !found.OK || len(found.Violations) != 0 {
		t.Errorf("%+v", found)
	}
	a.call("GET", "/v1/inspections/none", "", 404, nil)
	a.call("GET", "/v1/inspections/"+id+"/findings?after=-1", "", 400, nil)
}

// ownRotators registers, shows and removes one, and tells its key once.
func ownRotators(t *testing.T, a *api1) {
	t.Helper()
	var made, shown struct{ Name, ARN, Kind, Target, Timeout, SigningKey, CreatedBy string }
	a.call("POST", "/v1/rotators", `{"name":"mine","kind":"webhook","target":"https://rotator.example/turn","timeout":"20s"}`, 201, &made)
	if !strings.HasSuffix(made.ARN, ":rotator/mine") || !strings.HasPrefix(made.SigningKey, "whsec_") || made.Timeout != "20s" || made.CreatedBy == "" {
		t.Errorf("%s, timeout %s, by %s", made.ARN, made.Timeout, made.CreatedBy)
	}
	a.call("GET", "/v1/rotators/mine", "", 200, &shown)
	if shown.SigningKey != "" || shown.Target != made.Target || shown.ARN != made.ARN {
		t.Errorf("%+v", shown)
	}
	var list struct{ Rotators []struct{ Name string } }
	a.call("GET", "/v1/rotators", "", 200, &list)
	if len(list.Rotators) != 1 || list.Rotators[0].Name != "mine" {
		t.Errorf("%+v", list)
	}
	for body, status := range map[string]int{
		`{"name":"mine","kind":"webhook","target":"https://rotator.example/turn"}`:  409,
		`{"name":"plain","kind":"webhook","target":"https://rotator.example/turn"}`: 409, // one of the server's own
		`{"name":"own","kind":"webhook","target":"http://rotator.example/turn"}`:    400,
		`{"name":"own","kind":"magic"}`:                                             400,
		`{"name":"own","kind":"exec","target":"/bin/true"}`:                         409, // not allowed on this server
	} {
		if got := a.v1("POST", "/v1/rotators", body); got.status != status {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	a.call("DELETE", "/v1/rotators/mine", "", 200, nil)
	a.call("GET", "/v1/rotators/mine", "", 404, nil)
}
