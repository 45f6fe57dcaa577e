package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/store"
)

// document is the part of an OpenAPI document that the tests look at.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Responses   map[string]struct {
			Content map[string]struct {
				Schema schema `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

// schema is what of JSON Schema the document uses.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Format     string            `json:"format"`
	Enum       []string          `json:"enum"`
	Required   []string          `json:"required"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	Additional json.RawMessage   `json:"additionalProperties"`
}

// validate lists where a value breaks a schema.
func (d *document) validate(s schema, value any, at string) (broken []string) {
	if s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	bad := func(format string, args ...any) { broken = append(broken, at+": "+fmt.Sprintf(format, args...)) }
	switch v := value.(type) {
	case map[string]any:
		if s.Type != "object" {
			bad("an object, want %s", s.Type)
		}
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				bad("%s is missing", name)
			}
		}
		for name, inner := range v {
			p, known := s.Properties[name]
			if !known && string(s.Additional) == "false" {
				bad("%s is not in the document", name)
			}
			if known {
				broken = append(broken, d.validate(p, inner, at+"."+name)...)
			}
		}
	case []any:
		if s.Type != "array" {
			bad("a list, want %s", s.Type)
			break
		}
		for i, inner := range v {
			broken = append(broken, d.validate(*s.Items, inner, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case string:
		_, timeErr := time.Parse(time.RFC3339Nano, v)
		if s.Type != "string" || (s.Enum != nil && !slices.Contains(s.Enum, v)) || (s.Format == "date-time" && timeErr != nil) {
			bad("%q does not fit", v)
		}
	case bool:
		if s.Type != "boolean" {
			bad("a flag, want %s", s.Type)
		}
	case float64:
		if s.Type != "integer" {
			bad("a number, want %s", s.Type)
		}
	default:
		bad("null")
	}
	return broken
}

// api1 calls the admin API and holds the answer against the document.
type api1 struct {
	*rig
	doc  document
	seen map[string]bool
}

func startV1(t *testing.T) *api1 {
	t.Helper()
	a := &api1{rig: start(t), seen: map[string]bool{}}
	got := a.v1("GET", "/v1/openapi.json", "")
	if got.status != 200 {
		t.Fatalf("document: %d %s", got.status, got.body)
	}
	must(t, json.Unmarshal([]byte(got.body), &a.doc))
	return a
}

// call sends a request and unmarshals the answer, after it was found to fit
// the document, into out.
func (a *api1) call(method, path, body string, status int, out any) {
	a.t.Helper()
	got := a.v1(method, path, body)
	if got.status != status {
		a.t.Fatalf("%s %s: %d %s, want %d", method, path, got.status, got.body, status)
	}
	pattern, _, _ := strings.Cut(path, "?")
	if a.doc.Paths[pattern] == nil { // one thing has a name there
		if kind, rest, ok := strings.Cut(strings.TrimPrefix(pattern, "/v1/"), "/"); ok {
			pattern = "/v1/" + kind + "/{id}"
			if _, verb, ok := strings.Cut(rest, "/"); ok {
				pattern += "/" + verb
			}
		}
	}
	op, ok := a.doc.Paths[pattern][strings.ToLower(method)]
	if !ok {
		a.t.Fatalf("%s %s is not in the document", method, pattern)
	}
	a.seen[method+" "+pattern] = true
	response, ok := op.Responses[fmt.Sprint(status)]
	if !ok {
		response = op.Responses["default"]
	}
	var value any
	must(a.t, json.Unmarshal([]byte(got.body), &value))
	for _, problem := range a.doc.validate(response.Content["application/json"].Schema, value, "answer") {
		a.t.Errorf("%s %s: %s", method, path, problem)
	}
	if out != nil {
		must(a.t, json.Unmarshal([]byte(got.body), out))
	}
}

type problem struct{ Code, Message, Hint string }

func TestV1(t *testing.T) {
	a := startV1(t)
	ctx := t.Context()
	made := a.create("db/app", "v")

	t.Run("status", func(t *testing.T) {
		var got struct{ Version, Account, NATSURL string }
		a.call("GET", "/v1/status", "", 200, &got)
		if got.Version != "test" || got.Account != account {
			t.Errorf("%+v", got)
		}
	})
	t.Run("rotation", func(t *testing.T) {
		var got struct {
			Enabled    bool
			Rotator    string
			Schedule   struct{ Expression, Jitter, TimeZone string }
			Retirement struct{ After, Delay string }
			Next       time.Time `json:"nextRotation"`
		}
		a.call("GET", "/v1/rotation?secret=db/app", "", 200, &got)
		if got.Enabled {
			t.Errorf("%+v", got)
		}
		a.call("PUT", "/v1/rotation?secret=db/app", `{"rotator":"plain","schedule":{"expression":"0 3 * * *","timeZone":"Europe/Berlin","duration":"2h","jitter":"90s"},"retirement":{"after":"delay","delay":"1h"}}`, 200, nil)
		a.call("GET", "/v1/rotation?secret="+*made.ARN, "", 200, &got)
		if !got.Enabled || got.Rotator != "plain" || got.Schedule.Jitter != "1m30s" || got.Retirement.Delay != "1h0m0s" || !got.Next.After(time.Now()) {
			t.Errorf("%+v", got)
		}
		a.call("PUT", "/v1/rotation?secret=db/app", `{"schedule":{"expression":"@every 10s"}}`, 200, &got)
		if got.Retirement.After != "delay" || got.Rotator != "plain" {
			t.Errorf("what was absent did not stay: %+v", got)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		for _, c := range []struct {
			method, path, body string
			status             int
			code               string
		}{
			{"GET", "/v1/rotation", "", 400, "Invalid"},
			{"GET", "/v1/rotation?secret=nosuch", "", 404, "NotFound"},
			{"PUT", "/v1/rotation?secret=db/app", `{"schedule":{"expression":"every day"}}`, 400, "Invalid"},
			{"PUT", "/v1/rotation?secret=db/app", `{"shedule":{}}`, 400, "Invalid"},
			{"PUT", "/v1/rotation?secret=db/app", `{"rotator":"nosuch"}`, 400, "UnknownRotator"},
			{"PUT", "/v1/rotation?secret=db/app", `{"schedule":{"expression":"@daily","jitter":"soon"}}`, 400, "Invalid"},
			{"PUT", "/v1/rotation?secret=db/app", `{"rotator":"plain","rotator":"plain"}`, 400, "Invalid"},
			{"PUT", "/v1/rotation?secret=db/app", `{"rotator"`, 400, "Invalid"},
			{"GET", "/v1/runs?limit=0", "", 400, "Invalid"},
			{"GET", "/v1/runs?open=maybe", "", 400, "Invalid"},
			{"GET", "/v1/runs?state=sleeping", "", 400, "Invalid"},
			{"GET", "/v1/runs/run-nosuch", "", 404, "NotFound"},
			{"POST", "/v1/runs/run-nosuch/retry", "", 404, "NotFound"},
			{"POST", "/v1/retirements?secret=db/app", "{}", 409, "State"},
			{"POST", "/v1/retirements/override?secret=nosuch", "{}", 404, "NotFound"},
			{"POST", "/v1/retirements?secret=db/app", "{", 400, "Invalid"},
			{"PUT", "/v1/holds/x", `{"kind":"freeze"}`, 400, "Invalid"},
			{"PUT", "/v1/holds/x", `{"kind":"freeze","from":"tomorrow"}`, 400, "Invalid"},
			{"PUT", "/v1/holds/x", `{"kind":"freeze","expression":"0 0 30 2 *","for":"1h"}`, 400, "Invalid"},
			{"DELETE", "/v1/holds/x", "", 404, "NotFound"},
			{"POST", "/v1/previews", `{"schedule":{"expression":"0 9 * * 1","timeZone":"Mars/Olympus"}}`, 400, "Invalid"},
			{"POST", "/v1/previews", `{}`, 400, "Invalid"},
			{"POST", "/v1/previews?secret=db/app", `{"count":101}`, 400, "Invalid"},
			{"GET", "/v1/load?days=32", "", 400, "Invalid"},
			{"GET", "/v1/dead-jobs?limit=0", "", 400, "Invalid"},
			{"GET", "/v1/plans/plan-nosuch", "", 404, "NotFound"},
			{"GET", "/v1/events?secret=db/app&after=-1", "", 400, "Invalid"},
			{"POST", "/v1/plans?secret=nosuch", "", 404, "NotFound"},
		} {
			var got problem
			a.call(c.method, c.path, c.body, c.status, &got)
			if got.Code != c.code || got.Message == "" {
				t.Errorf("%s %s: %+v", c.method, c.path, got)
			}
		}
		for path, status := range map[string]int{"/v1/nothing": 404, "/v1/": 404, "/v1": 404, "/v1/runs/a/b": 404} {
			if got := a.v1("GET", path, ""); got.status != status {
				t.Errorf("%s: %d", path, got.status)
			}
		}
		if got := a.v1("DELETE", "/v1/runs", ""); got.status != 405 {
			t.Errorf("DELETE: %d", got.status)
		}
	})
	t.Run("runs", func(t *testing.T) {
		for _, name := range []string{"r1", "r2", "r3"} {
			a.create(name, "v")
			must2(a.client.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: &name, RotationLambdaARN: aws.String("plain")}))(t)
		}
		type run struct {
			ID     string
			State  string
			Secret struct{ Name string }
		}
		var page struct {
			Runs []run
			Next string
		}
		a.call("GET", "/v1/runs?limit=2&open=true", "", 200, &page)
		if len(page.Runs) != 2 || page.Runs[0].Secret.Name != "r3" || page.Next == "" {
			t.Fatalf("%+v", page)
		}
		next := page.Next
		page.Next = ""
		a.call("GET", "/v1/runs?limit=2&before="+next, "", 200, &page)
		if len(page.Runs) != 1 || page.Runs[0].Secret.Name != "r1" || page.Next != "" {
			t.Errorf("%+v", page)
		}
		a.call("GET", "/v1/runs?secret=r2", "", 200, &page)
		if len(page.Runs) != 1 || page.Runs[0].State != "queued" {
			t.Fatalf("%+v", page)
		}
		id := page.Runs[0].ID
		a.addStep(id)
		var one struct {
			Steps []struct{ Step, Outcome, Error, Hint string }
		}
		a.call("GET", "/v1/runs/"+id, "", 200, &one)
		if len(one.Steps) != 1 || one.Steps[0].Outcome != "not-applied" || one.Steps[0].Hint != "grant it" {
			t.Errorf("%+v", one)
		}
	})
	t.Run("schedules", func(t *testing.T) { schedules(t, a) })
	t.Run("batches", func(t *testing.T) { batches(t, a) })
	t.Run("hands", func(t *testing.T) { hands(t, a) })
	t.Run("plans, with a wait", func(t *testing.T) {
		var got struct {
			ID          string
			Done, Ready bool
			Actions     []string
		}
		a.call("POST", "/v1/plans?secret=db/app", "", 202, &got)
		if got.Done || got.Ready || got.ID == "" {
			t.Errorf("%+v", got)
		}
		a.call("GET", "/v1/plans/"+got.ID, "", 200, &got)
		answered := make(chan error, 1)
		go func() {
			answered <- a.runs.AnswerPlan(ctx, got.ID, func(p *store.Plan) { p.Actions = []string{"change the password"} })
		}()
		id := got.ID
		a.call("GET", "/v1/plans/"+id+"?wait=30s", "", 200, &got)
		must(t, <-answered)
		if !got.Done || !got.Ready || len(got.Actions) != 1 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("sessions, beside a plan", func(t *testing.T) {
		var plan, got struct {
			ID       string
			Done     bool
			Sessions []struct {
				Old     bool
				Address string
			}
		}
		a.call("POST", "/v1/plans?secret=db/app", "", 202, &plan)
		a.call("POST", "/v1/sessions?secret=db/app", "", 202, &got)
		if got.Done || got.ID == "" || got.ID == plan.ID || got.Sessions == nil {
			t.Errorf("%+v", got)
		}
		must(t, a.runs.AnswerPlan(ctx, got.ID, func(p *store.Plan) {
			p.Sessions = []store.PlanSession{{Old: true, User: "app", Address: "10.0.0.1", Count: 2}}
		}))
		a.call("GET", "/v1/sessions/"+got.ID+"?wait=30s", "", 200, &got)
		if !got.Done || len(got.Sessions) != 1 || !got.Sessions[0].Old || got.Sessions[0].Address != "10.0.0.1" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("events", func(t *testing.T) {
		var got struct{ Events []lockstep.Event }
		a.call("GET", "/v1/events?secret=db/app", "", 200, &got)
		if len(got.Events) == 0 || got.Events[0].Type != lockstep.EventSecretCreated || got.Events[0].Seq != 1 {
			t.Fatalf("%+v", got)
		}
		last := got.Events[len(got.Events)-1].Seq
		a.call("GET", fmt.Sprintf("/v1/events?secret=db/app&after=%d", last), "", 200, &got)
		if len(got.Events) != 0 {
			t.Errorf("%d events after the last", len(got.Events))
		}
	})
	t.Run("check", func(t *testing.T) {
		var got struct{ OK bool }
		a.call("GET", "/v1/check", "", 200, &got)
		if !got.OK {
			t.Error("invariants are broken")
		}
	})
	t.Run("keys", func(t *testing.T) {
		var root struct {
			ID        string
			Remaining int
		}
		a.call("GET", "/v1/root-key", "", 200, &root)
		if !strings.HasPrefix(root.ID, "file-") || root.Remaining != 0 {
			t.Errorf("%+v", root)
		}
		a.call("PUT", "/v1/root-key", `{"line":"file:/nowhere"}`, 400, nil) // this server cannot open others
		a.call("PUT", "/v1/root-key", `{}`, 400, nil)
		var use struct{ Secrets, DataKeys, Stale int }
		a.call("GET", "/v1/key-use?key=alias/aws/secretsmanager", "", 200, &use)
		if use.Secrets == 0 || use.DataKeys == 0 || use.Stale != 0 {
			t.Errorf("%+v", use)
		}
		a.call("GET", "/v1/key-use?key=alias/none", "", 404, nil)
		a.call("GET", "/v1/key-use", "", 400, nil)
	})
	t.Run("backup", func(t *testing.T) {
		a.call("POST", "/v1/backup", `{"key":"c2hvcnQ="}`, 400, nil)
		if got := a.v1("POST", "/v1/backup", "{}"); got.status != 200 || got.body != `"a backup"` {
			t.Errorf("%+v", got)
		}
	})
	t.Run("inspections", func(t *testing.T) { inspections(t, a) })
	t.Run("graph", func(t *testing.T) { graph(t, a) })
	t.Run("rotators", func(t *testing.T) { ownRotators(t, a) })
	t.Run("trials", func(t *testing.T) { trials(t, a) })
	t.Run("identities", func(t *testing.T) { identities(t, a) })
	a.call("GET", "/v1/openapi.json", "", 200, nil)
	for path, operations := range a.doc.Paths {
		for method := range operations {
			if !a.seen[strings.ToUpper(method)+" "+path] {
				t.Errorf("no test called %s %s", method, path)
			}
		}
	}
}

// addStep writes a failed step into the history of a run, as a worker does.
func (a *api1) addStep(id string) {
	a.t.Helper()
	must(a.t, a.store.Update(a.t.Context(), func(tx store.Tx) error {
		rec := lockstep.StepRecord{Run: lockstep.RunID(id), Step: lockstep.StepSet, Attempt: 1, Holder: "w", Started: tx.Now()}
		seq, err := tx.BeginStep(rec)
		if err != nil {
			return err
		}
		rec.Seq, rec.Ended, rec.Outcome, rec.Error, rec.Hint = seq, tx.Now(), lockstep.NotApplied, "permission denied", "grant it"
		return tx.EndStep(rec)
	}))
}
