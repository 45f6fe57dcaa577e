package custom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/rotators"
)

func TestProgramOf(t *testing.T) {
	for command, want := range map[string]string{
		"/opt/rotator": "/opt/rotator", "  /opt/rotator --x 'a b'": "/opt/rotator", "'/my dir/rotator' x": "/my dir/rotator",
		`"/my dir/rotator" x`: "/my dir/rotator", `EXCLUDE='/@"\' A=b lockstep rotator run`: "lockstep", "./a=b/c": "./a=b/c",
		"": "", "A=b": "", "'open": "", "$HOME/x": "", "(a; b)": "", "! x": "", "a\nb": "", "`x`": "", `"$x"`: "",
	} {
		if got := programOf(command); got != want {
			t.Errorf("%q begins with %q, want %q", command, got, want)
		}
	}
}

func FuzzProgramOf(f *testing.F) {
	f.Add(`A='b' "c d" e`)
	f.Fuzz(func(t *testing.T, command string) {
		if got := programOf(command); len(got) > len(command) || strings.Contains(got, "\n") {
			t.Fatalf("%q begins with %q", command, got)
		}
	})
}

// bell is a bus that knows who listens.
type bell struct {
	listeners int
	err       error
}

func (bell) Request(context.Context, string, []byte) ([]byte, string, error) {
	return nil, "", errors.New("a dry run sends nothing")
}

func (b bell) Listeners(string) (int, error) { return b.listeners, b.err }

func TestPlans(t *testing.T) {
	called := make(chan struct{}, 100)
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer server.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	trusted := server.Certificate().Raw
	for name, row := range map[string]struct {
		of               rotators.FunctionPlanner
		action, problems string
	}{
		"a webhook":            {webhookAt(t, server.URL+"/hook?key=v3ry", trusted, egress.AllowLoopback), "webhook " + server.URL + "/hook, signed, with 1m0s for its answer; it can be reached", ""},
		"nobody listens":       {webhookAt(t, closed.URL, nil, egress.AllowLoopback), "POST each step", "connection refused"},
		"an unknown authority": {webhookAt(t, server.URL, nil, egress.AllowLoopback), "POST each step", "certificate"},
		"not allowed":          {webhookAt(t, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), trusted), "POST each step", "loopback"},
		"a command":            {&subprocess{command: "X='1 2' sh -c true", timeout: time.Minute}, "for it: sh is there", ""},
		"no such command":      {&subprocess{command: "/no/such/rotator x", timeout: time.Minute}, "/no/such/rotator", "no program /no/such/rotator"},
		"a script":             {&subprocess{command: "cat | sh", timeout: time.Minute}, "cat is there", ""},
		"what nobody can tell": {&subprocess{command: "(sh)", timeout: time.Minute}, "cannot be told", ""},
		"a service":            {&service{name: "x1", nats: bell{listeners: 1}, timeout: time.Minute}, "lockstep.rotator.x1.* for each step, with 1m0s for its answer; it listens", ""},
		"no service":           {&service{name: "x1", nats: bell{}, timeout: time.Minute}, "ask the service", "nobody listens to lockstep.rotator.x1.*"},
		"who knows":            {&service{name: "x1", nats: bell{err: fmt.Errorf("elsewhere: %w", lockstep.ErrNotFound)}, timeout: time.Minute}, "not known here", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := row.of.PlanCall(t.Context())
			if len(got.Actions) != 1 || !strings.Contains(got.Actions[0], row.action) || strings.Contains(got.Actions[0], "v3ry") {
				t.Errorf("actions %q, want …%s…", got.Actions, row.action)
			}
			text := fmt.Sprint(got.Problems)
			if (row.problems == "") != (len(got.Problems) == 0) || !strings.Contains(text, row.problems) {
				t.Errorf("problems %s, want …%s…", text, row.problems)
			}
		})
	}
	if len(called) > 0 {
		t.Error("a dry run called the webhook")
	}
}
