package api_test

import "testing"

// batches tries rotations of many secrets.
func batches(t *testing.T, a *api1) {
	var one struct {
		ID, State, Trigger string
		Done, Expanded     bool
		Total              int
		Counts             []struct {
			State   string
			Secrets int
		}
	}
	a.call("POST", "/v1/batches", `{"match":"db/*"}`, 202, &one)
	if one.ID == "" || one.State != "active" || one.Trigger != "manual" || one.Done {
		t.Errorf("%+v", one)
	}
	if _, err := a.runs.AdmitDue(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	for one.State == "active" {
		if _, err := a.runs.AdmitDue(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		a.call("GET", "/v1/batches/"+one.ID, "", 200, &one)
	}
	if !one.Expanded || one.Total != 1 || one.Done {
		t.Errorf("%+v", one)
	}
	a.call("POST", "/v1/batches/"+one.ID+"/cancel", "", 200, &one)
	a.call("POST", "/v1/batches/"+one.ID+"/resume", "", 200, &one)
	if one.State != "active" {
		t.Errorf("%+v", one)
	}
	a.call("POST", "/v1/batches/emergency", `{"tag":{"key":"env","value":"prod"}}`, 202, &one)
	if one.Trigger != "emergency" {
		t.Errorf("%+v", one)
	}
	var list struct{ Batches []struct{ ID string } }
	a.call("GET", "/v1/batches", "", 200, &list)
	if len(list.Batches) != 2 || list.Batches[0].ID != one.ID {
		t.Errorf("%+v", list)
	}
	var refused problem
	a.call("POST", "/v1/batches", `{"match":"["}`, 400, &refused)
	a.call("GET", "/v1/batches/batch-nosuch", "", 404, &refused)
}
