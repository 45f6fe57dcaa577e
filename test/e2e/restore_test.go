package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/servertest"
)

// TestRestoreIsVerified restores a backup that is older than what the targets
// have: nothing rotates until each secret was seen to log in. What has an admin is
// mended; what has none is named, until somebody puts its value.
func TestRestoreIsVerified(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	lone := s.app
	lone.MasterARN, lone.Username = "", s.app.Username+"_lone"
	s.pg.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first-one'", lone.Username))
	s.create(t, "lone/db", lone.JSON(t))
	s.cli(t, 0, "", "rotate", s.name, "--rotator", "postgres", "--wait")
	s.cli(t, 0, "", "rotate", "lone/db", "--rotator", "postgres", "--wait")
	dir := t.TempDir()
	file, data := filepath.Join(dir, "backup"), filepath.Join(dir, "data")
	s.cli(t, 0, "", "backup", "--out", file)
	old, _ := s.get(t)
	s.cli(t, 0, "", "rotate", s.name, "--wait")
	s.server.Kill()
	s.pg.Must(t, fmt.Sprintf("ALTER ROLE %s PASSWORD 'by-hand'", lone.Username))

	root := "file:" + filepath.Join(s.server.DataDir, "root.key")
	out, err := exec.CommandContext(t.Context(), s.server.Binary, "restore", "--in", file, "--data-dir", data, "--root-key", root).CombinedOutput() // #nosec G204 -- the test's own binary
	if err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	s.server = servertest.Start(t, servertest.Options{DataDir: data, Args: []string{"--root-key", root, "--min-interval", "1s", "--lease", "2s"}})
	s.secrets = s.server.Secrets(t)

	servertest.Eventually(t, "the one with an admin is mended to the restored value", func() bool { return s.login(t, old) == nil })
	servertest.Eventually(t, "the one without an admin alone is named", func() bool {
		out, _, code := s.server.CLI(t.Context(), "", "check")
		return code == 1 && strings.Contains(out, ":lone/db-") && !strings.Contains(out, ":"+s.name+"-")
	})
	if out := s.cli(t, 0, "", "freeze", "list"); !strings.Contains(out, "restored") {
		t.Errorf("no pause is shown:\n%s", out)
	}
	s.cli(t, 0, "", "rotate", s.name)
	if out := s.cli(t, 0, "", "runs", s.name); !strings.Contains(out, "held by pause restored") {
		t.Errorf("a rotation does not wait for the pause:\n%s", out)
	}

	lone.Password = "by-hand"
	s.put(t, "lone/db", lone.JSON(t))
	servertest.Eventually(t, "the pause ends, and what waited goes on", func() bool {
		now, _ := s.get(t)
		return now.Password != old.Password && s.login(t, now) == nil
	})
	s.cli(t, 0, "", "check")
}
