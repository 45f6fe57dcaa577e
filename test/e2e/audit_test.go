package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go/middleware"

	"lockstep/internal/servertest"
)

// audited is what the tests read of a record.
type audited struct {
	EventName string
	RequestID string
	ErrorCode string
	Resources []struct{ ARN, VersionID string }
}

func (s *stage) audited(t *testing.T, args ...string) []audited {
	t.Helper()
	out := s.cli(t, 0, "", append([]string{"audit", "query", "--limit", "0", "-o", "json"}, args...)...)
	var list []audited
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return list
}

// TestEveryAnswerIsInTheAuditLog kills the server under load: each read that
// was answered is in the log, which verifies before and after the next start.
func TestEveryAnswerIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var mu sync.Mutex
	var answered []string
	var wg sync.WaitGroup
	var dead atomic.Bool
	enough := make(chan struct{}, 1)
	for range 8 {
		wg.Go(func() {
			for !dead.Load() {
				out, err := s.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &s.name})
				if err != nil {
					return // killed
				}
				mu.Lock()
				answered = append(answered, requestID(out.ResultMetadata))
				if len(answered) == 300 {
					enough <- struct{}{}
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	s.server.Kill()
	dead.Store(true)
	wg.Wait()
	if err := s.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := s.cli(t, 0, "", "audit", "verify"); !strings.Contains(out, "every record is what was written") {
		t.Errorf("verify: %s", out)
	}
	there := make(map[string]bool)
	for _, r := range s.audited(t, "--secret", s.name, "--event", "GetSecretValue") {
		there[r.RequestID] = len(r.Resources) == 1 && r.Resources[0].VersionID != ""
	}
	for _, id := range answered {
		if !there[id] {
			t.Errorf("request %s was answered and is not in the audit log", id)
		}
	}
}

func requestID(m middleware.Metadata) string {
	id, _ := awsmiddleware.GetRequestIDMetadata(m)
	return id
}

// TestARotationInTheAuditLog finds its steps, and no value, in the log and its
// copy.
func TestARotationInTheAuditLog(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--audit-sink", "jetstream", "--audit-sink", "stdout")
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres", "--wait")
	after, version := s.get(t)
	for _, event := range []string{"CreateStep", "SetStep", "TestStep", "FinishStep"} {
		list := s.audited(t, "--secret", s.name, "--event", event)
		if len(list) != 1 || list[0].ErrorCode != "" || list[0].Resources[0].VersionID != version {
			t.Errorf("%s: %+v", event, list)
		}
	}
	s.cli(t, 0, "", "audit", "verify")
	servertest.Eventually(t, "the copy on standard output", func() bool { return strings.Contains(s.server.Log(), `"FinishStep"`) })
	if code := s.server.Stop(); code != 0 {
		t.Fatalf("SIGTERM: exit %d", code)
	}
	s.cli(t, 0, "", "audit", "verify")
	root := filepath.Join(s.server.DataDir, "audit")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, value := range []string{after.Password, s.app.Password, s.admin.Password} {
			if strings.Contains(string(text), value) {
				t.Errorf("%s holds a value", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.server.Log(), after.Password) {
		t.Error("the copy of the log holds a value")
	}
}
