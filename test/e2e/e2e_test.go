// Package e2e holds the tests that use Lockstep as its users do: the real
// binary, the AWS SDK, a real PostgreSQL, and nothing of the server's inside.
package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// patience bounds what a test waits for on a busy machine.
const patience = 3 * time.Minute

// stage is a server, a database, an admin secret and an application's.
type stage struct {
	server  *servertest.Server
	pg      *pgtest.Server
	secrets *secretsmanager.Client
	admin   servertest.Login
	app     servertest.Login
	name    string
}

func newStage(t *testing.T, args ...string) *stage {
	t.Helper()
	s := &stage{pg: pgtest.Shared(t), name: "app/db"}
	s.server = servertest.Start(t, servertest.Options{Args: append([]string{"--min-interval", "1s", "--lease", "2s"}, args...)})
	s.secrets = s.server.Secrets(t)
	db := s.pg.Database(t)
	role := "app_" + db
	s.pg.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", role))
	s.admin = servertest.Login{Engine: "postgres", Host: "127.0.0.1", Port: s.pg.Port(), DBName: "postgres", Username: "postgres", Password: s.pg.Password()}
	s.app = s.admin
	s.app.DBName, s.app.Username, s.app.Password = db, role, "first-one"
	s.app.MasterARN = s.create(t, "admin/db", s.admin.JSON(t))
	s.create(t, s.name, s.app.JSON(t))
	return s
}

func (s *stage) create(t *testing.T, name, value string) string {
	t.Helper()
	out, err := s.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ARN
}

func (s *stage) put(t *testing.T, name, value string) {
	t.Helper()
	_, err := s.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value})
	if err != nil {
		t.Fatal(err)
	}
}

// get reads the current credential.
func (s *stage) get(t *testing.T) (servertest.Login, string) {
	t.Helper()
	out, err := s.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &s.name})
	if err != nil {
		t.Fatal(err)
	}
	var c servertest.Login
	if err := json.Unmarshal([]byte(*out.SecretString), &c); err != nil {
		t.Fatal(err)
	}
	return c, *out.VersionId
}

// login logs in as an application would.
func (s *stage) login(t *testing.T, c servertest.Login) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.pg.DSN(c.Username, c.Password, c.DBName))
	if err != nil {
		return err
	}
	return conn.Close(t.Context())
}

// cli runs a command and expects an exit code.
func (s *stage) cli(t *testing.T, want int, stdin string, args ...string) string {
	t.Helper()
	out, errOut, code := s.server.CLI(t.Context(), stdin, args...)
	if code != want {
		t.Fatalf("lockstep %s: exit %d, not %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), code, want, out, errOut)
	}
	return out + errOut
}

func TestRotateByHand(t *testing.T) {
	t.Parallel()
	for _, rotator := range []string{"postgres", "postgres-alternating"} {
		t.Run(rotator, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			before, _ := s.get(t)
			out := s.cli(t, 0, "", "rotate", s.name, "--rotator", rotator, "--wait")
			for _, step := range []string{"create", "set", "test", "finish", "rotated " + s.name} {
				if !strings.Contains(out, step) {
					t.Errorf("the output does not show %q:\n%s", step, out)
				}
			}
			after, version := s.get(t)
			if after.Password == before.Password {
				t.Fatal("the password did not change")
			}
			if err := s.login(t, after); err != nil {
				t.Fatalf("the new credential does not log in: %v", err)
			}
			if err := s.login(t, before); (err == nil) != (rotator == "postgres-alternating") {
				t.Errorf("the old credential under %s: %v", rotator, err)
			}
			d, err := s.secrets.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &s.name})
			if err != nil {
				t.Fatal(err)
			}
			if got := d.VersionIdsToStages[version]; len(got) != 1 || got[0] != "AWSCURRENT" {
				t.Errorf("labels of the new version: %v", got)
			}
			if d.LastRotatedDate == nil || !aws.ToBool(d.RotationEnabled) {
				t.Errorf("LastRotatedDate %v, RotationEnabled %v", d.LastRotatedDate, d.RotationEnabled)
			}
			s.cli(t, 0, "", "check")
			s.cli(t, 0, "", "check", "--targets")
		})
	}
}

func TestScheduleStaysOnItsGrid(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.cli(t, 0, "", "schedule", "set", s.name, "--rotator", "postgres-alternating", "--expression", "@every 2s",
		"--retire", "delay", "--retire-delay", "500ms")
	first, _ := s.get(t)
	if first.Password != "first-one" {
		t.Fatal("setting a schedule changed the password at once")
	}
	d, err := s.secrets.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &s.name})
	if err != nil {
		t.Fatal(err)
	}
	anchor := *d.NextRotationDate
	seen := map[string]time.Time{}
	servertest.Eventually(t, "four rotations", func() bool {
		out, err := s.secrets.ListSecretVersionIds(t.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: &s.name, IncludeDeprecated: aws.Bool(true)})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out.Versions {
			seen[*v.VersionId] = *v.CreatedDate
		}
		return len(seen) >= 5
	})
	for id, created := range seen {
		if created.Before(anchor.Add(-time.Second)) {
			continue // the first value
		}
		late := created.Sub(anchor) % (2 * time.Second)
		if late > time.Second {
			t.Errorf("version %s began %v off the schedule's grid", id, late)
		}
	}
}

func TestSecondServerOnOneDirectory(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Options{})
	out, errOut, code := s.CLI(t.Context(), "", "serve", "--data-dir", s.DataDir, "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(errOut, "another lockstep server") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	if code := s.Stop(); code != 0 {
		t.Errorf("SIGTERM: exit %d", code)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres", "--wait")
	before, version := s.get(t)
	if code := s.server.Stop(); code != 0 {
		t.Fatalf("SIGTERM: exit %d", code)
	}
	if err := s.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, again := s.get(t)
	if after != before || again != version {
		t.Error("the value changed over a restart")
	}
	s.cli(t, 0, "", "rotate", s.name, "--wait")
	s.cli(t, 0, "", "check")
	s.cli(t, 0, "", "check", "--targets")
}

// TestMissedWhileDown: a run that was due while the server was down starts when
// it is up again, once.
func TestMissedWhileDown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.cli(t, 0, "", "schedule", "set", s.name, "--rotator", "postgres", "--expression", "@every 3s")
	s.server.Kill()
	timer := time.NewTimer(3500 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if err := s.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the missed rotation", func() bool {
		c, _ := s.get(t)
		return c.Password != "first-one"
	})
}

func TestRotateTokenIsIdempotent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token, err := lockstep.NewVersionID()
	if err != nil {
		t.Fatal(err)
	}
	rotate := func() string {
		out, err := s.secrets.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
			SecretId: &s.name, ClientRequestToken: aws.String(string(token)), RotationLambdaARN: aws.String("postgres"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return *out.VersionId
	}
	if first, second := rotate(), rotate(); first != string(token) || second != first {
		t.Errorf("answers %s and %s for token %s", first, second, token)
	}
	servertest.Eventually(t, "the rotation", func() bool { _, v := s.get(t); return v == string(token) })
	rotate()
	var runs []struct{ VersionID string }
	if err := json.Unmarshal([]byte(s.cli(t, 0, "", "runs", s.name, "-o", "json")), &runs); err != nil {
		t.Fatal(err)
	}
	if len(runs) != 1 {
		t.Errorf("%d runs for one token", len(runs))
	}
}
