package keys

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// TestBackupAndRestore backs a working server up and starts another from the
// copy, on the same kind of store and on PostgreSQL.
func TestBackupAndRestore(t *testing.T) {
	s := servertest.Start(t, servertest.Options{})
	create(t, s, "a", "value of a")
	dir := t.TempDir()
	root := filepath.Join(dir, "root.key")
	copyFile(t, filepath.Join(s.DataDir, "root.key"), root)
	phrase := filepath.Join(dir, "phrase")
	must(t, os.WriteFile(phrase, []byte("open sesame\n"), 0o600))
	byRoot, byPhrase := filepath.Join(dir, "by-root"), filepath.Join(dir, "by-phrase")
	run := func(args ...string) {
		t.Helper()
		if out, err := cli(t, s, args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("backup", "--out", byRoot)
	run("backup", "--out", byPhrase, "--passphrase-source", phrase)
	create(t, s, "later", "not in the backup")
	for _, file := range []string{byRoot, byPhrase} {
		content, err := os.ReadFile(file)
		must(t, err)
		for _, word := range []string{"value of a", "lockstep-root", "PRIVATE KEY", "aws_secret_access_key"} {
			if strings.Contains(string(content), word) {
				t.Errorf("%s holds %q", file, word)
			}
		}
	}
	if out, err := cli(t, s, "backup", "--out", byRoot); err == nil {
		t.Errorf("a backup was overwritten: %s", out)
	}

	pg := "postgres"
	for name, c := range map[string]struct {
		in, store string
		args      []string
	}{
		"under the root key": {byRoot, "", []string{"--root-key", "file:" + root}},
		"by passphrase":      {byPhrase, "", []string{"--passphrase-source", phrase}},
		"to PostgreSQL":      {byRoot, pg, []string{"--root-key", "file:" + root}},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "new", "data")
			args, serve := c.args, []string{"--root-key", "file:" + root}
			if c.store == pg {
				dsn := pgtest.Shared(t).DatabaseDSN(t)
				args, serve = append(args, "--store", dsn), append(serve, "--store", dsn)
			}
			args = append([]string{"--in", c.in, "--data-dir", data}, args...)
			restore(t, s.Binary, args...)
			if c.store == pg { // as if it had been killed when the store was done
				must(t, os.RemoveAll(data))
				restore(t, s.Binary, args...)
			}
			again := servertest.Start(t, servertest.Options{DataDir: data, Args: serve})
			wantValue(t, again, "a", "value of a") // signed with the old credentials, under the old authority
			if _, err := valueOf(t.Context(), again.Secrets(t), "later"); err == nil {
				t.Error("what came after the backup is there")
			}
			create(t, again, "new", "made after the restore")
			if out, err := cli(t, again, "check"); err != nil {
				t.Errorf("check: %s", out)
			}
			if c.store == pg { // it is somebody's now
				must(t, os.Rename(data, data+"-used"))
				out, err := exec.CommandContext(t.Context(), s.Binary, append([]string{"restore"}, args...)...).CombinedOutput() // #nosec G204 -- the test's own binary
				if err == nil || !strings.Contains(string(out), "name an empty database") {
					t.Errorf("a restore over a store in use: %v, %s", err, out)
				}
			}
		})
	}

	t.Run("refusals leave nothing", func(t *testing.T) {
		above := t.TempDir()
		data := filepath.Join(above, "data")
		damaged := filepath.Join(dir, "damaged")
		content, err := os.ReadFile(byRoot)
		must(t, err)
		content[len(content)-40] ^= 1
		must(t, os.WriteFile(damaged, content, 0o600))
		other := filepath.Join(dir, "other")
		must(t, os.WriteFile(other, []byte("close sesame"), 0o600))
		for name, c := range map[string]struct {
			says string
			args []string
		}{
			"damaged":          {"damaged or cut off", []string{"--in", damaged, "--root-key", "file:" + root}},
			"wrong passphrase": {"damaged or cut off", []string{"--in", byPhrase, "--passphrase-source", other}},
			"no root key":      {"name it by --root-key", []string{"--in", byRoot}},
			"no backup":        {"no backup", []string{"--in", root, "--root-key", "file:" + root}},
		} {
			out, err := exec.CommandContext(t.Context(), s.Binary, append([]string{"restore", "--data-dir", data}, c.args...)...).CombinedOutput() // #nosec G204 -- the test's own binary
			if err == nil || !strings.Contains(string(out), c.says) {
				t.Errorf("%s: %v, %s; want %q", name, err, out, c.says)
			}
		}
		if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// TestBackupKilled kills backup and restore at different moments: the file and
// the directory are whole or not there.
func TestBackupKilled(t *testing.T) {
	s := servertest.Start(t, servertest.Options{})
	create(t, s, "a", "value of a")
	dir := t.TempDir()
	file, root := filepath.Join(dir, "backup"), "file:"+filepath.Join(s.DataDir, "root.key")
	for i := range 6 {
		killedAfter(t, time.Duration(10+15*i)*time.Millisecond, s.Binary, "--data-dir", s.DataDir, "backup", "--out", file)
		if _, err := os.Stat(file); err == nil {
			break
		}
	}
	if _, err := os.Stat(file); err != nil {
		if out, err := cli(t, s, "backup", "--out", file); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	data := filepath.Join(dir, "data")
	for i := range 6 {
		killedAfter(t, time.Duration(10+30*i)*time.Millisecond, s.Binary, "restore", "--in", file, "--data-dir", data, "--root-key", root)
		if _, err := os.Stat(data); err == nil {
			break
		}
	}
	if _, err := os.Stat(data); err != nil {
		restore(t, s.Binary, "--in", file, "--data-dir", data, "--root-key", root)
	}
	again := servertest.Start(t, servertest.Options{DataDir: data, Args: []string{"--root-key", root}})
	wantValue(t, again, "a", "value of a")
}

func killedAfter(t *testing.T, d time.Duration, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...) // #nosec G204 -- the test's own binary
	must(t, cmd.Start())
	timer := time.AfterFunc(d, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // killed, or done before
	timer.Stop()
}

func restore(t *testing.T, binary string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, append([]string{"restore"}, args...)...).CombinedOutput() // #nosec G204 -- the test's own binary
	if err != nil {
		t.Fatalf("restore %v: %v\n%s", args, err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}
