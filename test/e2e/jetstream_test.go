package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/internal/servertest"
)

// TestJetStreamHoldsNothingOfOurs: the whole JetStream directory is deleted
// while the server is down, with one job in hand, others in the queue, and
// events in the stream. Every run ends, a watcher misses nothing, and a new one
// gets the state of every secret.
func TestJetStreamHoldsNothingOfOurs(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--workers", "1")
	names := []string{s.name}
	for i := range 4 {
		c := s.app
		c.Username = fmt.Sprintf("%s_%d", s.app.Username, i)
		s.pg.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", c.Username))
		names = append(names, fmt.Sprintf("app/db%d", i))
		s.create(t, names[i+1], c.JSON(t))
	}
	w := watch(t, s.server, "app/*")
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres", "--wait")
	_, version := s.get(t)
	w.until("the first change", current(version))

	// Whoever changes a role waits for this transaction; the one worker does.
	blocker := s.pg.Admin(t, "postgres")
	if _, err := blocker.Exec(t.Context(), "BEGIN; LOCK TABLE pg_authid IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	tokens := make(map[string]string)
	for _, name := range names {
		token, err := lockstep.NewVersionID()
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = string(token)
		_, err = s.secrets.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
			SecretId: &name, ClientRequestToken: aws.String(string(token)), RotationLambdaARN: aws.String("postgres"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	servertest.Eventually(t, "a worker at the target", func() bool {
		var waiting int
		err := s.pg.Admin(t, "postgres").QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting)
		return err == nil && waiting > 0
	})
	s.server.Kill()
	if err := os.RemoveAll(filepath.Join(s.server.DataDir, "jetstream")); err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	servertest.Eventually(t, "every run to end", func() bool {
		var open []struct{ ID string }
		return json.Unmarshal([]byte(s.cli(t, 0, "", "runs", "--open", "-o", "json")), &open) == nil && len(open) == 0
	})
	s.cli(t, 0, "", "check")
	seen := make(map[string]bool)
	seqs := make(map[string]uint64)
	w.until("the change of each secret", func(e lockstep.Event) bool {
		if before := seqs[e.Name]; before > 0 && e.Seq != before+1 {
			t.Errorf("%s: event %d follows %d", e.Name, e.Seq, before)
		}
		seqs[e.Name] = e.Seq
		if e.Type == lockstep.EventVersionCurrent && string(e.Data.VersionID) == tokens[e.Name] {
			seen[e.Name] = true
		}
		return len(seen) == len(names)
	})
	newcomer := watch(t, s.server, "app/*")
	states := make(map[string]bool)
	newcomer.until("the state of each secret", func(e lockstep.Event) bool {
		if current(tokens[e.Name])(e) {
			states[e.Name] = true
		}
		return len(states) == len(names)
	})
}
