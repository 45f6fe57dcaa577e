package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep"
	"lockstep/store"
	"lockstep/workers"
)

// away is a store that answers nothing.
type away struct{ store.Store }

func (away) View(context.Context, func(store.ReadTx) error) error { return lockstep.ErrBusy }

func scrape(t *testing.T, s *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("%d %v\n%s", w.Code, err, body)
	}
	return string(body)
}

func wants(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, l+"\n") {
			t.Errorf("no line %q", l)
		}
	}
}

func TestWhatIsCounted(t *testing.T) {
	s := New(Node{Version: "v1", Roles: "worker"})
	now := time.Now()
	_, end := s.StepBegins(t.Context(), workers.StepBegun{Rotator: "postgres", Step: lockstep.StepSet})
	end(&lockstep.TargetError{Outcome: lockstep.Unknown, Err: errors.New("gone")})
	s.RunEnded(t.Context(), &lockstep.Run{State: lockstep.RunFailed, Created: now.Add(-3 * time.Second), Started: now.Add(-2 * time.Second), Finished: now}, "postgres")
	s.LeaseLost(t.Context(), "postgres")
	s.Admitted(-time.Second)
	s.Published(lockstep.Event{Type: lockstep.EventRunFailed, Time: now.Add(time.Second)}, now)
	s.Answered("secretsmanager:GetSecretValue", "ResourceNotFoundException", time.Millisecond)
	if err := s.Store(away{}).View(t.Context(), nil); !errors.Is(err, lockstep.ErrBusy) {
		t.Error(err)
	}
	wants(t, scrape(t, s),
		`lockstep_build_info{roles="worker",version="v1"} 1`,
		`lockstep_step_duration_seconds_count{result="unknown",rotator="postgres",step="set"} 1`,
		`lockstep_runs_total{outcome="failed",rotator="postgres"} 1`,
		`lockstep_run_duration_seconds_sum{outcome="failed",rotator="postgres"} 3`,
		`lockstep_run_start_delay_seconds_sum 1`,
		`lockstep_leases_lost_total{rotator="postgres"} 1`,
		`lockstep_schedule_lateness_seconds_sum 0`,
		`lockstep_event_delay_seconds_sum 0`,
		`lockstep_events_published_total{type="run.failed"} 1`,
		`lockstep_api_requests_total{action="secretsmanager:GetSecretValue",code="ResourceNotFoundException"} 1`,
		`lockstep_store_duration_seconds_count{kind="view",result="error"} 1`,
	)
}

// TestActionsAreBounded: a caller cannot fill the memory with names.
func TestActionsAreBounded(t *testing.T) {
	s := New(Node{})
	for i := range 3 * maxActions {
		s.Answered("action"+strconv.Itoa(i), "code"+strconv.Itoa(i), 0)
	}
	if n := strings.Count(scrape(t, s), "\nlockstep_api_requests_total{"); n != maxActions+1 {
		t.Errorf("%d series, want %d", n, maxActions+1)
	}
}

func TestAStoreThatIsAwayIsTold(t *testing.T) {
	s := New(Node{})
	s.WatchStore(t.Context(), away{}, slog.New(slog.DiscardHandler))
	text := scrape(t, s)
	wants(t, text, "lockstep_store_up 0")
	if strings.Contains(text, "\nlockstep_open_runs ") {
		t.Error("a figure of a store that was not read")
	}
}

// names are all metrics of a node.
func names(t *testing.T) []string {
	t.Helper()
	s := New(Node{})
	s.WatchStore(t.Context(), away{}, slog.New(slog.DiscardHandler))
	ch := make(chan *prometheus.Desc, 1000)
	s.registry.Describe(ch)
	close(ch)
	var all []string
	for d := range ch {
		if m := regexp.MustCompile(`"(lockstep_[a-z_]+)"`).FindStringSubmatch(d.String()); m != nil {
			all = append(all, m[1])
		}
	}
	if len(all) < 15 {
		t.Fatalf("only %v", all)
	}
	return all
}

var metricWord = regexp.MustCompile(`lockstep_[a-z_]+`)

// TestAlertsAskForWhatThereIs reads the rules that operators load.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	all := names(t)
	for _, r := range file.Groups[0].Rules {
		if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s is not complete", r.Alert)
		}
		if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
			t.Errorf("%s: parentheses of %s", r.Alert, r.Expr)
		}
		for _, word := range metricWord.FindAllString(r.Expr, -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				word = strings.TrimSuffix(word, suffix)
			}
			if !slices.Contains(all, word) {
				t.Errorf("%s asks for %s, which nobody tells", r.Alert, word)
			}
		}
	}
}

// TestEveryMetricIsDescribed holds the reference against the code.
func TestEveryMetricIsDescribed(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := names(t)
	for _, name := range all {
		if !strings.Contains(string(raw), "`"+name+"`") {
			t.Errorf("docs/reference/metrics.md does not have %s", name)
		}
	}
	for _, name := range metricWord.FindAllString(string(raw), -1) {
		if !slices.Contains(all, name) {
			t.Errorf("docs/reference/metrics.md has %s, which nobody tells", name)
		}
	}
}
