// Package deploy holds the files in deploy/ against the programs that read
// them. (nats.conf is what the cluster test's servers run with.)
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func units(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", "deploy", "systemd", "*.service"))
	if err != nil || len(found) < 5 {
		t.Fatalf("units: %v %v", found, err)
	}
	return found
}

// TestUnits: systemd can read them. Programs that only the target machine has
// are replaced by one that is here.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	var copies []string
	for _, path := range units(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		unit := regexp.MustCompile(`/usr/local/bin/\S+`).ReplaceAllString(string(text), "/bin/true")
		name := strings.Replace(filepath.Base(path), "@.", "@1.", 1)
		copies = append(copies, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range copies {
		cmd := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), dir) {
			t.Errorf("%s: %v\n%s", filepath.Base(path), err, out)
		}
	}
}

var flagWord = regexp.MustCompile(`--([a-z][a-z-]*)`)

// flags are those of lockstep serve.
func flags(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), servertest.Build(t, ""), "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range flagWord.FindAllStringSubmatch(string(out), -1) {
		all = append(all, m[1])
	}
	return all
}

func TestTheirFlagsExist(t *testing.T) {
	all := flags(t)
	known := func(where, flag string) {
		t.Helper()
		if !slices.Contains(all, flag) {
			t.Errorf("%s: lockstep serve has no --%s", where, flag)
		}
	}
	for _, path := range units(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if command, ok := strings.CutPrefix(line, "ExecStart=/usr/local/bin/lockstep serve"); ok {
				for _, m := range flagWord.FindAllStringSubmatch(command, -1) {
					known(path, m[1])
				}
			}
		}
	}
	var settings map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "systemd/cluster.yaml")), &settings); err != nil {
		t.Fatal(err)
	}
	for key := range settings {
		known("cluster.yaml", key)
	}
	for name, s := range compose(t).Services {
		if len(s.Command) > 0 && s.Command[0] == "serve" {
			for _, arg := range s.Command[1:] {
				known("compose.yaml, "+name, flagWord.FindStringSubmatch(arg)[1])
			}
		}
	}
}

// project is what is looked at of a Compose file.
type project struct {
	Services map[string]struct {
		Image       string
		Hostname    string
		Command     []string
		Environment map[string]string
		Volumes     []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	}
	Volumes map[string]any
}

func compose(t *testing.T) project {
	t.Helper()
	var p project
	if err := yaml.UnmarshalWithOptions([]byte(read(t, "compose.yaml")), &p, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompose(t *testing.T) {
	p := compose(t)
	roles := make(map[string]int)
	for name, s := range p.Services {
		if s.Image == "" {
			t.Errorf("%s has no image", name)
		}
		for other := range s.DependsOn {
			if _, there := p.Services[other]; !there {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, there := p.Volumes[from]; !there && !strings.HasPrefix(from, "./") {
				t.Errorf("%s: the volume %s is not declared", name, from)
			}
		}
		if s.Image == "lockstep" && s.Hostname != name {
			t.Errorf("%s calls itself %q: nodes are told apart by their names", name, s.Hostname)
		}
		for _, arg := range s.Command {
			if role, ok := strings.CutPrefix(arg, "--roles="); ok {
				roles[role]++
			}
		}
		if strings.HasPrefix(s.Image, "nats:") {
			roles["nats"]++
			for _, m := range regexp.MustCompile(`\$(NATS_[A-Z_]+)`).FindAllStringSubmatch(read(t, "nats/nats.conf"), -1) {
				if s.Environment[m[1]] == "" {
					t.Errorf("%s: nats.conf wants %s", name, m[1])
				}
			}
		}
	}
	for role, want := range map[string]int{"api": 1, "scheduler,relay": 2, "worker": 4, "nats": 3} {
		if roles[role] != want {
			t.Errorf("%d of %s, want %d", roles[role], role, want)
		}
	}
}

// TestPostgreSQLSettings: a server starts with them.
func TestPostgreSQLSettings(t *testing.T) {
	var options []pgtest.Option
	for line := range strings.Lines(read(t, "postgresql/lockstep.conf")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if name == "shared_buffers" {
			value = "32MB" // this machine has other things to do
		}
		options = append(options, pgtest.Setting(name, strings.Trim(value, "'")))
	}
	if len(options) < 10 {
		t.Fatalf("only %d settings", len(options))
	}
	pgtest.Start(t, options...).Must(t, "SELECT 1")
}
