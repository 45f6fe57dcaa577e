// Package custom holds the tests of rotators of somebody's own: the real binary,
// rotation functions as they are written for AWS, and a real PostgreSQL.
package custom

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"lockstep/client/admin"
	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// python has boto3 and psycopg2; another may come first on the PATH.
const python = "/usr/bin/python3"

// stage is a server.
type stage struct {
	server  *servertest.Server
	secrets *secretsmanager.Client
	admin   *admin.Client
}

func newStage(t *testing.T, args ...string) *stage {
	t.Helper()
	s := servertest.Start(t, servertest.Options{Args: append([]string{"--min-interval", "1s", "--lease", "2s", "--allow-exec-rotators"}, args...)})
	return &stage{server: s, secrets: s.Secrets(t), admin: s.Admin(t)}
}

// lambda is the command that runs a Lambda function of testdata.
func (s *stage) lambda(t *testing.T, folder string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("testdata", folder))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("EXCLUDE_CHARACTERS='/@\"\\' '%s' rotator run-lambda lambda_function.lambda_handler --dir '%s' --python %s", s.server.Binary, dir, python)
}

// create makes a secret and returns its ARN.
func (s *stage) create(t *testing.T, name, value string) string {
	t.Helper()
	out, err := s.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ARN
}

// value reads AWSCURRENT.
func (s *stage) value(t *testing.T, name string) string {
	t.Helper()
	out, err := s.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.SecretString
}

// rotate starts a Run as an AWS client does and returns its version.
func (s *stage) rotate(t *testing.T, name, rotator string) string {
	t.Helper()
	out, err := s.secrets.RotateSecret(t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: &name, RotationLambdaARN: aws.String("arn:aws:lambda:us-east-1:000000000000:function:" + rotator),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.VersionId
}

// run reads the newest Run of a secret, with its steps.
func (s *stage) run(t *testing.T, name string) admin.Run {
	t.Helper()
	page, err := s.admin.Runs(t.Context(), admin.RunQuery{Secret: name, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Runs) == 0 {
		return admin.Run{}
	}
	run, err := s.admin.Run(t.Context(), page.Runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// ended waits for the end of the newest Run.
func (s *stage) ended(t *testing.T, name, state string) admin.Run {
	t.Helper()
	var run admin.Run
	servertest.Eventually(t, "end of the run of "+name, func() bool {
		run = s.run(t, name)
		return !run.Finished.IsZero()
	})
	if string(run.State) != state {
		t.Fatalf("the run of %s ended %s: %s", name, run.State, run.Reason)
	}
	return run
}

// register registers a rotator by the command line.
func (s *stage) register(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, code := s.server.CLI(t.Context(), "", append([]string{"rotator", "register"}, args...)...)
	if code != 0 {
		t.Fatalf("rotator register %v: exit %d\n%s%s", args, code, out, errOut)
	}
	return out
}

// database is a role of its own in a real PostgreSQL.
func database(t *testing.T) (pg *pgtest.Server, app, master servertest.Login) {
	t.Helper()
	pg = pgtest.Shared(t)
	db := pg.Database(t)
	app = servertest.Login{Engine: "postgres", Host: "127.0.0.1", Port: pg.Port(), DBName: db, Username: "app_" + db, Password: "first-one"}
	pg.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", app.Username))
	master = app
	master.DBName, master.Username, master.Password = "postgres", "postgres", pg.Password()
	return pg, app, master
}

// logsIn logs in as an application would.
func logsIn(t *testing.T, pg *pgtest.Server, c servertest.Login) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pg.DSN(c.Username, c.Password, c.DBName))
	if err != nil {
		return false
	}
	_ = conn.Close(t.Context())
	return true
}

// silent fails the test if a value stands in the server's log.
func (s *stage) silent(t *testing.T, values ...string) {
	t.Helper()
	log := s.server.Log()
	for _, v := range values {
		if strings.Contains(log, v) {
			t.Errorf("a value stands in the log")
		}
	}
}

func TestALambdaFunctionRunsUnmodified(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.register(t, "pg-lambda", "--exec", s.lambda(t, "single_user"))
	pg, app, master := database(t)
	masterARN := s.create(t, "custom/master", master.JSON(t))
	for _, row := range []struct {
		name   string
		master string
	}{
		{"custom/by-itself", ""},
		{"custom/by-master", masterARN},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := app
			before.MasterARN = row.master
			s.create(t, row.name, before.JSON(t))
			for range 2 {
				version := s.rotate(t, row.name, "pg-lambda")
				run := s.ended(t, row.name, "succeeded")
				var after servertest.Login
				if err := json.Unmarshal([]byte(s.value(t, row.name)), &after); err != nil {
					t.Fatal(err)
				}
				if after.Password == before.Password || !logsIn(t, pg, after) || logsIn(t, pg, before) {
					t.Fatalf("after the run %+v: the new password logs in: %v, the old one: %v", run, logsIn(t, pg, after), logsIn(t, pg, before))
				}
				d, err := s.secrets.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &row.name})
				if err != nil {
					t.Fatal(err)
				}
				if got := d.VersionIdsToStages[version]; len(got) != 1 || got[0] != "AWSCURRENT" || d.LastRotatedDate == nil {
					t.Errorf("labels of the new version: %v, rotated %v", got, d.LastRotatedDate)
				}
				var steps []string
				for _, step := range run.Steps {
					steps = append(steps, string(step.Step))
					if step.Outcome != "ok" || step.Ended.IsZero() {
						t.Errorf("step %+v", step)
					}
				}
				if got := strings.Join(steps, " "); got != "create set test finish" {
					t.Errorf("steps: %s", got)
				}
				s.silent(t, before.Password, after.Password, master.Password)
				before = after
			}
			app = before
		})
	}
	out, errOut, code := s.server.CLI(t.Context(), "", "check")
	if code != 0 {
		t.Errorf("check: %s%s", out, errOut)
	}
	_, errOut, code = s.server.CLI(t.Context(), "", "rotator", "remove", "pg-lambda")
	if code == 0 || !strings.Contains(errOut, "custom/by-itself") {
		t.Errorf("removal of a rotator in use: exit %d, %s", code, errOut)
	}
}
