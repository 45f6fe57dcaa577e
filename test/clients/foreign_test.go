package clients

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Debian's own, whatever else comes first on the PATH.
const (
	awsCLI = "/usr/bin/aws"
	python = "/usr/bin/python3"
)

// environment is what a shell has after eval "$(lockstep env)", and nothing of
// the tester's own AWS settings.
func (r *rig) environment() []string {
	r.t.Helper()
	out, errOut, code := r.server.CLI(r.t.Context(), "", "env")
	if code != 0 {
		r.t.Fatalf("lockstep env: exit %d: %s", code, errOut)
	}
	home := r.t.TempDir()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER="}
	for line := range strings.Lines(out) {
		if export, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			name, value, _ := strings.Cut(export, "=")
			env = append(env, name+"="+strings.Trim(value, "'"))
		}
	}
	return env
}

// variable is the value of one variable of an environment.
func variable(env []string, name string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// program is another's program, to be run once.
type program struct {
	dir  string
	env  []string
	args []string
}

// exec runs a program and returns what it wrote and its exit code.
func (r *rig) exec(p program) (stdout, stderr string, code int) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), p.args[0], p.args[1:]...)
	var out, errOut bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("%v; deploy/install.sh installs the clients", err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// passes runs a program that ends with 0 if everything was as it should be.
func (r *rig) passes(p program) {
	r.t.Helper()
	if out, errOut, code := r.exec(p); code != 0 {
		r.t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}

// databaseValue is the value of a secret that can be rotated.
func (r *rig) databaseValue() string {
	r.t.Helper()
	s, g := r.database()
	g.lift()
	return *r.get(sm.GetSecretValueInput{SecretId: s.name}).SecretString
}

func TestBoto3(t *testing.T) {
	t.Parallel()
	r := start(t)
	script, err := filepath.Abs("testdata/lifecycle.py")
	r.must(err)
	r.passes(program{dir: t.TempDir(), env: r.environment(), args: []string{python, script, r.databaseValue()}})
}

// TestJavaScript: Node.js looks for modules beside the script, and for further
// authorities in a variable of its own.
func TestJavaScript(t *testing.T) {
	t.Parallel()
	r := start(t)
	env := r.environment()
	dir := t.TempDir()
	modules, errOut, code := r.exec(program{dir: "../..", env: os.Environ(), args: []string{"sh", "deploy/install.sh", "--npm", "test/clients/javascript"}})
	if code != 0 {
		t.Fatalf("install the npm packages: %s", errOut)
	}
	r.must(os.Symlink(filepath.Join(strings.TrimSpace(modules), "node_modules"), filepath.Join(dir, "node_modules")))
	script, err := os.ReadFile("javascript/lifecycle.mjs")
	r.must(err)
	r.must(os.WriteFile(filepath.Join(dir, "lifecycle.mjs"), script, 0o600))
	r.passes(program{dir: dir, env: env, args: []string{"node", "lifecycle.mjs", r.databaseValue()}})
}

// TestGoEnvironment: a Go program with nothing but the environment. It changes
// this process's, so it runs alone.
func TestGoEnvironment(t *testing.T) {
	r := start(t)
	for _, e := range r.environment() {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value)
		}
	}
	loaded, err := config.LoadDefaultConfig(t.Context())
	r.must(err)
	r.client = sm.NewFromConfig(loaded)
	s := r.create("v")
	if got := *r.get(sm.GetSecretValueInput{SecretId: s.arn}).SecretString; got != "v" {
		t.Errorf("got %q", got)
	}
}
