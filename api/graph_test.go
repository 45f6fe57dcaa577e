package api_test

import (
	"net/url"
	"testing"
)

// graph tells who manages whom: of all, of one.
func graph(t *testing.T, a *api1) {
	boss := *a.create("graph/boss", `{"user":"boss"}`).ARN
	a.create("graph/app", `{"user":"app","masterarn":"`+boss+`"}`)
	a.create("graph/stray", `{"user":"stray","masterarn":"graph/nobody"}`)
	for _, name := range []string{"graph/app", "graph/stray"} {
		a.call("PUT", "/v1/rotation?secret="+url.QueryEscape(name), `{"rotator":"plain"}`, 200, nil)
	}
	type node struct {
		Name, Rotator, Admin, AdminArn string
		Missing                        bool
		Level                          int
	}
	var got struct{ Secrets []node }
	a.call("GET", "/v1/graph", "", 200, &got)
	want := []node{
		{Name: "graph/boss"}, {Name: "graph/nobody", Missing: true},
		{Name: "graph/app", Rotator: "plain", Admin: "graph/boss", AdminArn: boss, Level: 1},
		{Name: "graph/stray", Rotator: "plain", Admin: "graph/nobody", AdminArn: "graph/nobody", Level: 1},
	}
	if len(got.Secrets) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got.Secrets[i] != want[i] {
			t.Errorf("got %+v, want %+v", got.Secrets[i], want[i])
		}
	}
	a.call("GET", "/v1/graph?secret=graph/boss", "", 200, &got)
	if len(got.Secrets) != 2 {
		t.Errorf("of one: %+v", got)
	}
	a.call("GET", "/v1/graph?secret=graph/nosuch", "", 404, nil)
}

// trials calls a custom rotator as it must bear to be called.
func trials(t *testing.T, a *api1) {
	a.create("tried/own", "v")
	a.create("tried/native", `{"user":"native"}`)
	a.call("POST", "/v1/rotators", `{"name":"tried","kind":"nats-service"}`, 201, nil)
	a.call("PUT", "/v1/rotation?secret=tried/own", `{"rotator":"tried"}`, 200, nil)
	a.call("PUT", "/v1/rotation?secret=tried/native", `{"rotator":"plain"}`, 200, nil)
	var got struct{ Run string }
	a.call("POST", "/v1/trials?secret=tried/own", `{"case":"trial-cut"}`, 202, &got)
	var run struct{ Trigger string }
	a.call("GET", "/v1/runs/"+got.Run, "", 200, &run)
	if run.Trigger != "trial-cut" {
		t.Errorf("%+v", run)
	}
	a.call("POST", "/v1/trials?secret=tried/own", `{"case":"manual"}`, 400, nil)
	a.call("POST", "/v1/trials?secret=tried/native", `{"case":"trial-cut"}`, 409, nil)
	a.call("POST", "/v1/trials?secret=tried/nosuch", `{"case":"trial-cut"}`, 404, nil)
}
