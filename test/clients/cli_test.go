package clients

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// shell is the AWS CLI in an environment. Debian's release does not read the
// variables of endpoints yet, so it is told as `lockstep env` says.
type shell struct {
	*rig
	env      []string
	endpoint string
}

// aws runs a command and returns its answer's fields.
func (s shell) aws(args ...string) map[string]any {
	s.t.Helper()
	out, errOut, code := s.exec(s.command(args))
	if code != 0 {
		s.t.Fatalf("aws %s: exit %d\n%s", strings.Join(args, " "), code, errOut)
	}
	answer := map[string]any{}
	if strings.TrimSpace(out) == "" {
		return answer
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		s.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return answer
}

// text runs a command and returns one field of its answer as text.
func (s shell) text(query string, args ...string) string {
	s.t.Helper()
	out, errOut, code := s.exec(s.command(append(args, "--query", query, "--output", "text")))
	if code != 0 {
		s.t.Fatalf("aws %s: exit %d\n%s", strings.Join(args, " "), code, errOut)
	}
	return strings.TrimSuffix(out, "\n")
}

// fails runs a command that the server refuses: exit code 254, and the code of
// the error in the text.
func (s shell) fails(code string, args ...string) {
	s.t.Helper()
	out, errOut, exit := s.exec(s.command(args))
	if exit != 254 || !strings.Contains(errOut, "An error occurred ("+code+")") {
		s.t.Errorf("aws %s: exit %d, want 254 and %s\n%s%s", strings.Join(args, " "), exit, code, out, errOut)
	}
}

func (s shell) command(args []string) program {
	all := append([]string{awsCLI, "secretsmanager", "--endpoint-url", s.endpoint}, args...)
	return program{dir: variable(s.env, "HOME"), env: s.env, args: all}
}

func (s shell) is(what string, got any, want any) {
	s.t.Helper()
	g, _ := json.Marshal(got) // what came from JSON
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		s.t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func (s shell) keys(what string, answer map[string]any, want ...string) {
	s.t.Helper()
	for _, k := range want {
		if _, ok := answer[k]; !ok || len(answer) != len(want) {
			s.t.Errorf("%s: got %v, want the fields %v", what, answer, want)
			return
		}
	}
}

func newShell(t *testing.T) shell {
	t.Helper()
	r := start(t)
	env := r.environment()
	return shell{rig: r, env: env, endpoint: variable(env, "AWS_ENDPOINT_URL_SECRETS_MANAGER")}
}

const id = "--secret-id"

func TestCLIValues(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	file := filepath.Join(variable(s.env, "HOME"), "blob")
	s.must(os.WriteFile(file, []byte{0, 1, 255}, 0o600))

	created := s.aws("create-secret", "--name", "cli/one", "--secret-string", "one", "--client-request-token", tok1, "--description", "of the CLI", "--tags", "Key=team,Value=blue")
	s.keys("create-secret", created, "ARN", "Name", "VersionId")
	s.is("the version", created["VersionId"], tok1)
	s.is("the value", s.text("SecretString", "get-secret-value", id, "cli/one"), "one")
	s.is("put-secret-value", s.aws("put-secret-value", id, "cli/one", "--secret-binary", "fileb://"+file, "--client-request-token", tok2)["VersionStages"], []string{"AWSCURRENT"})
	got := s.aws("get-secret-value", id, "cli/one")
	s.keys("get-secret-value", got, "ARN", "Name", "VersionId", "SecretBinary", "VersionStages", "CreatedDate")
	s.is("a binary value", got["SecretBinary"], "AAH/")
	s.keys("update-secret", s.aws("update-secret", id, "cli/one", "--description", "changed"), "ARN", "Name")
	s.is("update-secret", s.aws("update-secret", id, "cli/one", "--secret-string", "three", "--client-request-token", tok3)["VersionId"], tok3)
	d := s.aws("describe-secret", id, created["ARN"].(string))
	s.is("the description", d["Description"], "changed")
	s.is("the labels", d["VersionIdsToStages"], map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
	s.is("all versions", s.text("length(Versions)", "list-secret-version-ids", id, "cli/one", "--include-deprecated"), "3")
	s.keys("update-secret-version-stage", s.aws("update-secret-version-stage", id, "cli/one", "--version-stage", "AWSCURRENT",
		"--remove-from-version-id", tok3, "--move-to-version-id", tok2), "ARN", "Name")
	s.is("AWSPREVIOUS", s.text("SecretString", "get-secret-value", id, "cli/one", "--version-stage", "AWSPREVIOUS"), "three")
	s.fails(exists, "create-secret", "--name", "cli/one", "--secret-string", "other")
	s.fails(notFound, "get-secret-value", id, "cli/nosuch")
	s.fails(invalidRequest, "get-secret-value", id, "cli/one", "--version-id", tok1, "--version-stage", "AWSCURRENT")
	s.fails(invalidParameter, "put-secret-value", id, "cli/one", "--secret-string", "a", "--secret-binary", "fileb://"+file)
	s.fails(validation, "describe-secret", id, "in valid")
}

func TestCLIAttributes(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, name := range []string{"cli/a", "cli/b", "cli/c"} {
		s.createAs(sm.CreateSecretInput{Name: &name, SecretString: &name})
	}
	s.is("pages put together", s.aws("list-secrets", "--page-size", "2", "--filters", "Key=name,Values=cli/", "--query", "{Names: SecretList[].Name}")["Names"], []string{"cli/a", "cli/b", "cli/c"})
	s.is("tag-resource", s.aws("tag-resource", id, "cli/a", "--tags", "Key=team,Value=blue", "Key=tier,Value=1"), map[string]any{})
	s.is("untag-resource", s.aws("untag-resource", id, "cli/a", "--tag-keys", "team"), map[string]any{})
	s.is("the tags", s.aws("describe-secret", id, "cli/a")["Tags"], []map[string]string{{"Key": "tier", "Value": "1"}})
	s.is("validate-resource-policy", s.aws("validate-resource-policy", "--resource-policy", narrowPolicy)["PolicyValidationPassed"], true)
	s.keys("put-resource-policy", s.aws("put-resource-policy", id, "cli/a", "--resource-policy", narrowPolicy), "ARN", "Name")
	s.is("get-resource-policy", s.aws("get-resource-policy", id, "cli/a")["ResourcePolicy"], narrowPolicy)
	s.fails(publicPolicy, "put-resource-policy", id, "cli/a", "--block-public-policy", "--resource-policy", broadPolicy)
	s.fails(malformedPolicy, "put-resource-policy", id, "cli/a", "--resource-policy", "{")
	s.keys("delete-resource-policy", s.aws("delete-resource-policy", id, "cli/a"), "ARN", "Name")
	if got := s.text("RandomPassword", "get-random-password", "--password-length", "20", "--exclude-punctuation"); len(got) != 20 {
		t.Errorf("password %q", got)
	}
	s.fails(invalidNextToken, "list-secrets", "--no-paginate", "--next-token", "made-up")
	if _, help, _ := s.exec(s.command([]string{"batch-get-secret-value"})); !strings.Contains(help, "Invalid choice") { // releases since the end of 2023 have it
		s.is("batch-get-secret-value", s.text("SecretValues[].SecretString", "batch-get-secret-value", "--secret-id-list", "cli/c", "cli/nosuch", "cli/a"), "cli/c\tcli/a")
	}
}

func TestCLIRotation(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	value := s.databaseValue()
	s.createAs(sm.CreateSecretInput{Name: aws.String("cli/db"), SecretString: &value})
	s.fails(invalidRequest, "rotate-secret", id, "cli/db")
	s.fails(accessDenied, "rotate-secret", id, "cli/db", "--rotation-lambda-arn", "arn:aws:lambda:us-east-1:"+account+":function:nosuch")
	out := s.aws("rotate-secret", id, "cli/db", "--rotation-lambda-arn", "postgres", "--rotation-rules", `{"ScheduleExpression":"rate(10 days)","Duration":"3h"}`)
	s.keys("rotate-secret", out, "ARN", "Name", "VersionId")
	version := out["VersionId"].(string)
	s.rotated(made{name: aws.String("cli/db")}, version)
	d := s.aws("describe-secret", id, "cli/db")
	s.is("rotation rules", d["RotationRules"], map[string]string{"Duration": "3h", "ScheduleExpression": "rate(10 days)"})
	next, err := time.Parse(time.RFC3339Nano, d["NextRotationDate"].(string))
	if err != nil || time.Until(next) < 8*24*time.Hour || d["RotationEnabled"] != true || d["LastRotatedDate"] == nil {
		t.Errorf("%v %+v", err, d)
	}
	s.keys("cancel-rotate-secret", s.aws("cancel-rotate-secret", id, "cli/db"), "ARN", "Name")

	s.keys("delete-secret", s.aws("delete-secret", id, "cli/db", "--recovery-window-in-days", "7"), "ARN", "Name", "DeletionDate")
	s.fails(invalidRequest, "get-secret-value", id, "cli/db")
	s.keys("restore-secret", s.aws("restore-secret", id, "cli/db"), "ARN", "Name")
	s.is("the restored version", s.text("VersionId", "get-secret-value", id, "cli/db"), version)
	s.aws("delete-secret", id, "cli/db", "--force-delete-without-recovery")
	s.fails(notFound, "describe-secret", id, "cli/db")
}
