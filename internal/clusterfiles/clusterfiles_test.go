package clusterfiles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep"
)

// fakeRootKey writes a file as hsm/file does.
func fakeRootKey(path string) error {
	err := create(path, []byte("key"))
	if errors.Is(err, os.ErrExist) {
		return lockstep.ErrExists
	}
	return err
}

func initialised(t *testing.T, dir string) map[string]string {
	t.Helper()
	err := Init(Config{Dir: dir, NATSHosts: []string{"nats1", "127.0.0.1"}, RootKey: fakeRootKey})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, name := range []string{
		"root.key", "ca/ca.pem", "ca/ca-key.pem", "nats-login.yaml", "nats/accounts.conf", "nats/ca.pem",
		"nats/nats1.pem", "nats/nats1-key.pem", "nats/127.0.0.1.pem",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b)
	}
	return all
}

func TestASecondInitRenewsCertificatesAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	before, after := initialised(t, dir), initialised(t, dir)
	for name := range before {
		renewed := strings.HasPrefix(name, "nats/nats1") || strings.HasPrefix(name, "nats/127")
		if (before[name] != after[name]) != renewed {
			t.Errorf("%s changed: %v, want %v", name, before[name] != after[name], renewed)
		}
	}
}

func TestTheTwoHalvesFit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	files := initialised(t, dir)
	l, err := ReadLogin(filepath.Join(dir, LoginFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{l.User, l.Password, l.Callout.User, l.Callout.Password, l.Callout.Account} {
		if word == "" || !strings.Contains(files["nats/accounts.conf"], word) {
			t.Errorf("the NATS servers do not know %q", word)
		}
	}
	for _, seed := range []string{l.Callout.IssuerSeed, l.Callout.XKeySeed} {
		if strings.Contains(files["nats/accounts.conf"], seed) {
			t.Error("the NATS servers know a seed, which only Lockstep may")
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", l, l, l, l); strings.Contains(text, l.Password) {
		t.Errorf("a login prints its password: %s", text)
	}
}

func TestRefused(t *testing.T) {
	half := filepath.Join(t.TempDir(), "half")
	initialised(t, half)
	if err := os.Remove(filepath.Join(half, LoginFile)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]Config{
		"no hosts":              {Dir: t.TempDir(), RootKey: fakeRootKey},
		"no directory":          {NATSHosts: []string{"a"}, RootKey: fakeRootKey},
		"a host that is a path": {Dir: t.TempDir(), NATSHosts: []string{"../a"}, RootKey: fakeRootKey},
		"half of the login":     {Dir: half, NATSHosts: []string{"a"}, RootKey: fakeRootKey},
	} {
		if err := Init(c); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	open := filepath.Join(t.TempDir(), "login.yaml")
	for content, mode := range map[string]os.FileMode{"user: a\n": 0o644, "user: [hidden-word\n": 0o600, "pass: hidden-word\n": 0o600} {
		if err := os.WriteFile(open, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(open, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLogin(open); !errors.Is(err, lockstep.ErrInvalid) || strings.Contains(err.Error(), "hidden-word") {
			t.Errorf("%q: %v", content, err)
		}
	}
}
