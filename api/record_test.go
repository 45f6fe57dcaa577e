package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/audit"
)

// memory is an audit log that a test can look into and break.
type memory struct {
	mu      sync.Mutex
	records []audit.Record
	// ready and append are what the calls of that name return.
	ready, append error
}

func (m *memory) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ready
}

func (m *memory) Append(_ context.Context, records ...audit.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.append == nil {
		m.records = append(m.records, records...)
	}
	return m.append
}

func (m *memory) fail(ready, appending error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready, m.append = ready, appending
}

// take returns the only record since the last take.
func (m *memory) take(t *testing.T) audit.Record {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.records) != 1 {
		t.Fatalf("%d records, want 1: %+v", len(m.records), m.records)
	}
	r := m.records[0]
	m.records = nil
	return r
}

func (m *memory) text(t *testing.T) string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	text, err := json.Marshal(m.records)
	must(t, err)
	return string(text)
}

func TestEachCallIsRecorded(t *testing.T) {
	r := start(t)
	made := r.create("app/db", marker)
	first := r.audit.take(t)
	if first.Name != "CreateSecret" || first.Source != "secretsmanager.amazonaws.com" || first.ReadOnly || first.Region != region ||
		first.Identity.Type != "Root" || first.Identity.AccessKeyID != r.creds.AccessKeyID || first.Address != "127.0.0.1" ||
		first.ErrorCode != "" || first.Detail.Status != 200 || !strings.Contains(first.UserAgent, "aws-sdk-go") {
		t.Errorf("record %+v", first)
	}
	want := []audit.Resource{{ARN: *made.ARN, VersionID: *made.VersionId}}
	if !slices.Equal(first.Resources, want) {
		t.Errorf("resources %+v, want %+v", first.Resources, want)
	}
	r.create("app/two", marker)
	r.audit.take(t)

	for _, c := range []struct {
		action, body string
		code         string
		about        []string // name and version of each resource
	}{
		{"GetSecretValue", `{"SecretId":"app/db"}`, "", []string{"app/db " + *made.VersionId}},
		{"GetSecretValue", `{"SecretId":"nobody"}`, "ResourceNotFoundException", []string{"nobody "}},
		{"GetSecretValue", `{"SecretId":`, "SerializationException", nil},
		{"DescribeSecret", `{"SecretId":"app/db"}`, "", []string{"app/db "}},
		{"PutSecretValue", `{"SecretId":"app/db","ClientRequestToken":"11111111-1111-1111-1111-111111111111","SecretString":"` + marker + `"}`, "",
			[]string{"app/db 11111111-1111-1111-1111-111111111111"}},
		{"BatchGetSecretValue", `{"SecretIdList":["app/two","app/db","nobody"]}`, "",
			[]string{"app/two *", "app/db 11111111-1111-1111-1111-111111111111", "nobody "}},
		{"NoSuchThing", `{}`, "UnknownOperationException", nil},
	} {
		r.raw(c.action, c.body)
		got := r.audit.take(t)
		if got.Name != c.action || got.ErrorCode != c.code || got.RequestID == "" {
			t.Errorf("%s is recorded as %+v", c.action, got)
		}
		var about []string
		for i, at := range got.Resources {
			name := at.ARN
			if arn, ok := lockstep.ParseSecretARN(at.ARN); ok {
				name, _, _ = strings.Cut(arn.Resource, "-")
			}
			version := at.VersionID
			if version != "" && i < len(c.about) && strings.HasSuffix(c.about[i], "*") {
				version = "*"
			}
			about = append(about, name+" "+version)
		}
		if !slices.Equal(about, c.about) {
			t.Errorf("%s %s is about %q, want %q", c.action, c.body, about, c.about)
		}
	}
	if strings.Contains(r.audit.text(t), marker) {
		t.Error("a value stands in the audit log")
	}
}

func TestRefusalsAreRecorded(t *testing.T) {
	r := start(t)
	r.create("app/db", "x")
	r.audit.take(t)

	stranger := *r
	stranger.creds.AccessKeyID = "AKIAAAAAAAAAAAAAAAAA"
	stranger.raw("GetSecretValue", `{"SecretId":"app/db"}`)
	got := r.audit.take(t)
	if got.Name != "GetSecretValue" || got.ErrorCode != "UnrecognizedClientException" || got.Identity.ARN != "" ||
		got.Identity.Type != "Unknown" || got.Identity.AccessKeyID != "AKIAAAAAAAAAAAAAAAAA" {
		t.Errorf("a stranger: %+v", got)
	}

	unsigned, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, strings.NewReader("{}"))
	must(t, err)
	unsigned.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue with more than a name")
	r.do(unsigned)
	if got = r.audit.take(t); got.Name != "Unknown" || got.ErrorCode != "MissingAuthenticationTokenException" || got.Detail.Status != 400 {
		t.Errorf("an unsigned request: %+v", got)
	}

	elsewhere, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/somewhere", nil)
	must(t, err)
	r.do(elsewhere)
	if got = r.audit.take(t); got.ErrorCode != "NotFound" || got.Detail.Status != 404 {
		t.Errorf("an unknown path: %+v", got)
	}

	r.v1("GET", "/v1/runs/nothing", "")
	if got = r.audit.take(t); got.Name != "GetRun" || got.Source != "lockstep" || got.ErrorCode != "NotFound" || got.Identity.Type != "Root" {
		t.Errorf("a run that is not there: %+v", got)
	}

	user := r.v1("POST", "/v1/users", `{"name":"bob"}`)
	if got = r.audit.take(t); got.Name != "CreateUser" || got.ErrorCode != "" || got.ReadOnly || len(got.Resources) != 1 {
		t.Errorf("answer %+v, record %+v", user, got)
	}
	key := r.v1("POST", "/v1/access-keys?user=bob", "")
	r.audit.take(t)
	bob := *r
	var made struct{ ID, Secret string }
	must(t, json.Unmarshal([]byte(key.body), &made))
	bob.creds.AccessKeyID, bob.creds.SecretKey = made.ID, lockstep.StringValue(made.Secret)
	bob.raw("GetSecretValue", `{"SecretId":"app/db"}`)
	got = r.audit.take(t)
	if got.ErrorCode != "AccessDeniedException" || got.Identity.Type != "IAMUser" || got.Identity.Name != "bob" || len(got.Resources) != 1 || got.Resources[0].ErrorCode == "" {
		t.Errorf("a denied user: %+v", got)
	}

	for _, path := range []string{"/healthz", "/readyz"} {
		health, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
		must(t, err)
		r.do(health)
	}
	if text := r.audit.text(t); text != "null" && text != "[]" {
		t.Errorf("health checks are recorded: %s", text)
	}
}

// TestNothingWithoutARecord breaks the audit log: nothing is done, or at least
// nothing told, and it goes on once the log can be written.
func TestNothingWithoutARecord(t *testing.T) {
	r := start(t)
	r.create("app/db", marker)
	away := fmt.Errorf("disk full: %w", lockstep.ErrBusy)
	for what, broken := range map[string][2]error{"known before": {away, away}, "found out by the record": {nil, away}} {
		t.Run(what, func(t *testing.T) {
			r.audit.fail(broken[0], broken[1])
			for name, a := range map[string]answer{
				"read": r.raw("GetSecretValue", `{"SecretId":"app/db"}`), "runs": r.v1("GET", "/v1/runs", ""),
				"refused": r.raw("GetSecretValue", `{"SecretId":"nobody"}`),
			} {
				if a.status != http.StatusServiceUnavailable || strings.Contains(a.body, marker) || strings.Contains(a.body, "disk full") || !strings.Contains(a.body, "udit") {
					t.Errorf("%s: %d %s", name, a.status, a.body)
				}
			}
			r.audit.fail(nil, nil)
			got, err := r.client.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: aws.String("app/db")})
			if err != nil || *got.SecretString != marker {
				t.Fatalf("once it can be written: %v", err)
			}
		})
	}
	// With the log known to be broken, nothing is changed either.
	r.audit.fail(away, away)
	r.raw("DeleteSecret", `{"SecretId":"app/db"}`)
	r.audit.fail(nil, nil)
	d, err := r.client.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: aws.String("app/db")})
	must(t, err)
	if d.DeletedDate != nil {
		t.Error("a secret was deleted without a record")
	}
	if log := r.log.String(); !strings.Contains(log, "disk full") {
		t.Error("the server's log does not say what is wrong")
	}
}
