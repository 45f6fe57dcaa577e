package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/internal/servertest"
	"lockstep/internal/softhsm"
)

// patience bounds what a test waits for on a busy machine.
const patience = 3 * time.Minute

// cli runs the command line against the server and returns what it says.
func cli(t *testing.T, s *servertest.Server, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary, append([]string{"--data-dir", s.DataDir}, args...)...) // #nosec G204 -- the test's own binary
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, s *servertest.Server, name, value string) {
	t.Helper()
	_, err := s.Secrets(t).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	must(t, err)
}

func valueOf(ctx context.Context, c *secretsmanager.Client, name string) (string, error) {
	out, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

func wantValue(t *testing.T, s *servertest.Server, name, want string) {
	t.Helper()
	if got, err := valueOf(t.Context(), s.Secrets(t), name); err != nil || got != want {
		t.Fatalf("%s: %q, %v; want %q", name, got, err, want)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("it never came about that %s", what)
		case <-tick.C:
		}
	}
}

// TestMoveToAnHSMAndBack moves a running server from its file to an HSM and
// back; it restarts without being told which root key it has.
func TestMoveToAnHSMAndBack(t *testing.T) {
	token := softhsm.New(t)
	s := servertest.Start(t, servertest.Options{Env: []string{token.Env}})
	create(t, s, "a", "value of a")
	home := "file:" + filepath.Join(s.DataDir, "root.key")
	for _, to := range []string{token.Line("root"), home, token.Line("root")} {
		out, err := cli(t, s, "keys", "root", "migrate", "--to", to)
		if err != nil {
			t.Fatalf("migrate to %s: %v\n%s", to, err, out)
		}
		wantValue(t, s, "a", "value of a")
		kind := strings.SplitN(to, ":", 2)[0]
		eventually(t, "the audit log is signed by the new root key, without a restart", func() bool { return signedBy(t, s) == kind })
		wantVerified(t, s, token)
		s.Kill()
		must(t, s.Restart(t.Context()))
		wantValue(t, s, "a", "value of a")
		out, err = cli(t, s, "keys", "root", "status")
		if want := kind + "-"; err != nil || !strings.Contains(out, want) || strings.Contains(out, "moving") {
			t.Fatalf("status: %v\n%s", err, out)
		}
	}
	// The file is no longer needed.
	must(t, os.Remove(filepath.Join(s.DataDir, "root.key")))
	s.Kill()
	must(t, s.Restart(t.Context()))
	wantValue(t, s, "a", "value of a")
	create(t, s, "b", "value of b")

	t.Run("refusals change nothing", func(t *testing.T) {
		bad := filepath.Join(t.TempDir(), "pin")
		must(t, os.WriteFile(bad, []byte("wrong-pin"), 0o600))
		// A token that is in use does not look at a PIN again; one that is not does.
		fresh := softhsm.New(t)
		home := filepath.Join(t.TempDir(), "data")
		cmd := exec.CommandContext(t.Context(), s.Binary, "serve", "--data-dir", home, "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0",
			"--root-key", strings.Replace(fresh.Line("x"), fresh.PINFile, bad, 1)) // #nosec G204 -- the test's own binary
		cmd.Env = append(os.Environ(), fresh.Env)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "refuses the PIN") || strings.Contains(string(out), "wrong-pin") {
			t.Errorf("start with a wrong PIN: %v, %s", err, out)
		}
		for to, says := range map[string]string{
			strings.Replace(token.Line("x"), "token=lockstep", "token=none", 1):           "cannot be reached",
			"pkcs11:token=t?module-path=/nowhere/lib.so&pin-source=file:" + token.PINFile: "no PKCS#11 module",
			"elsewhere:": "begins with",
		} {
			out, err := cli(t, s, "keys", "root", "migrate", "--to", to)
			if err == nil || !strings.Contains(out, says) || strings.Contains(out, "wrong-pin") {
				t.Errorf("%s: %v, %s; want %q", to, err, out, says)
			}
		}
		wantValue(t, s, "b", "value of b")
	})
}

// signedBy is the kind of root key that signed the newest head of the audit log.
func signedBy(t *testing.T, s *servertest.Server) string {
	t.Helper()
	out, err := cli(t, s, "audit", "head")
	must(t, err)
	var e struct {
		Heads []struct{ Root string }
	}
	must(t, json.Unmarshal([]byte(out), &e))
	if len(e.Heads) == 0 {
		return ""
	}
	kind, _, _ := strings.Cut(e.Heads[0].Root, "-")
	return kind
}

// wantVerified verifies the audit log with the root key at hand.
func wantVerified(t *testing.T, s *servertest.Server, token *softhsm.Token) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary, "--data-dir", s.DataDir, "audit", "verify") // #nosec G204 -- the test's own binary
	cmd.Env = append(os.Environ(), token.Env)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "without the root key") {
		t.Fatalf("audit verify: %v\n%s", err, out)
	}
}

// TestMoveSurvivesKill kills the server in the middle of a move, again and
// again, until it has come to its end.
func TestMoveSurvivesKill(t *testing.T) {
	token := softhsm.New(t)
	regions := make([]string, 12)
	for i := range regions {
		regions[i] = fmt.Sprintf("eu-test-%d", i+1)
	}
	s := servertest.Start(t, servertest.Options{Env: []string{token.Env}, Args: []string{"--regions", "us-east-1," + strings.Join(regions, ",")}})
	create(t, s, "a", "value of a")
	for _, region := range regions { // a master key each
		must(t, createIn(t, s, region))
	}
	done := make(chan error, 1)
	for i := range 3 {
		go func() {
			_, err := cli(t, s, "keys", "root", "migrate", "--to", token.Line("root"))
			done <- err
		}()
		// Each time a little later, so that the move is met at different places.
		timer := time.NewTimer(time.Duration(5+25*i) * time.Millisecond)
		select {
		case <-timer.C:
		case err := <-done:
			done <- err
		}
		s.Kill()
		<-done
		must(t, s.Restart(t.Context()))
		wantValue(t, s, "a", "value of a")
	}
	out, err := cli(t, s, "keys", "root", "migrate", "--to", token.Line("root"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "the move ends", func() bool {
		out, err := cli(t, s, "keys", "root", "status")
		return err == nil && strings.Contains(out, "pkcs11-") && !strings.Contains(out, "moving")
	})
	must(t, os.Remove(filepath.Join(s.DataDir, "root.key")))
	s.Kill()
	must(t, s.Restart(t.Context()))
	wantValue(t, s, "a", "value of a")
	for _, region := range regions {
		if got, err := valueOf(t.Context(), secretsIn(t, s, region), "r"); err != nil || got != region {
			t.Errorf("%s: %q, %v", region, got, err)
		}
	}
}

// TestTokenLost takes the HSM away under load: reads go on from memory for
// the time that is allowed, then fail, and come back by themselves.
func TestTokenLost(t *testing.T) {
	token := softhsm.New(t)
	s := servertest.Start(t, servertest.Options{Env: []string{token.Env}, Args: []string{"--root-key", token.Line("root"), "--root-key-away", "8s"}})
	create(t, s, "a", "value of a")
	client := s.Secrets(t)
	var ok, failed atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			call, done := context.WithTimeout(ctx, 20*time.Second)
			if _, err := valueOf(call, client, "a"); err == nil {
				ok.Add(1)
			} else if !errors.Is(err, context.Canceled) {
				failed.Add(1)
			}
			done()
		}
	}()
	defer func() { cancel(); <-ended }()
	eventually(t, "reads work", func() bool { return ok.Load() > 10 })
	token.TakeAway(t)
	began := ok.Load()
	eventually(t, "reads went on from memory", func() bool { return ok.Load() > began+10 })
	if failed.Load() != 0 {
		t.Error("reads failed before the time was over")
	}
	eventually(t, "reads fail closed", func() bool { return failed.Load() > 0 })
	token.BringBack(t)
	eventually(t, "reads work again", func() bool {
		_, err := valueOf(t.Context(), client, "a")
		return err == nil
	})
}

func secretsIn(t *testing.T, s *servertest.Server, region string) *secretsmanager.Client {
	t.Helper()
	o := s.Secrets(t).Options()
	o.Region = region
	return secretsmanager.New(o)
}

func createIn(t *testing.T, s *servertest.Server, region string) error {
	t.Helper()
	name := "r"
	_, err := secretsIn(t, s, region).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &region})
	return err
}
