package rootkey_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep"
	"lockstep/internal/rootkey"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]rootkey.Spec{
		"file:/a/root.key":                                 {Path: "/a/root.key"},
		"/a/root.key":                                      {Path: "/a/root.key"},
		"file:///a/b/../root":                              {Path: "/a/root"},
		"file:/a?passphrase-source=fd:3":                   {Path: "/a", Source: "fd:3"},
		"file:/a?passphrase-source=file:/run/p":            {Path: "/a", Source: "/run/p"},
		"pkcs11:token=t?module-path=/m.so&pin-source=/pin": {Token: "t", Object: "lockstep-root", Module: "/m.so", Source: "/pin"},
		"pkcs11:token=my%20hsm;object=k%3B1?pin-source=fd:9&module-path=/m.so":                {Token: "my hsm", Object: "k;1", Module: "/m.so", Source: "fd:9"},
		"pkcs11:object=k;token=t;type=secret-key?module-path=/m&pin-source=file:///run/a%26b": {Token: "t", Object: "k", Module: "/m", Source: "/run/a&b"},
	} {
		got, err := rootkey.Parse(line)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", line, got, err, want)
		}
		again, err := rootkey.Parse(got.String())
		if err != nil || again != want {
			t.Errorf("%s reads back as %+v, %v", got, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"":                                     `"file:"`,
		"elsewhere:/a/root.key":                `"file:"`,
		"file:":                                "path is missing",
		"file:/a?passphrase=x":                 "unknown",
		"pkcs11:?module-path=/m&pin-source=/p": "token=",
		"pkcs11:token=t;object=?module-path=/m&pin-source=/p":        "object=",
		"pkcs11:token=t?pin-source=/p":                               "module-path=",
		"pkcs11:token=t?module-path=/m":                              "pin-source=",
		"pkcs11:token=t?module-path=/m&pin-value=4711":               "list processes",
		"pkcs11:token=t;pin-value=4711?module-path=/m&pin-source=/p": "list processes",
		"pkcs11:token=t;token=u?module-path=/m&pin-source=/p":        "twice",
		"pkcs11:token=t;module-path=/m?pin-source=/p":                "wrong side",
		"pkcs11:token=%zz?module-path=/m&pin-source=/p":              "percent",
		"pkcs11:token=t?module-path=/m&pin-source=fd:0":              "fd:NUMBER",
		"pkcs11:token=t?module-path=/m&pin-source=%7Ccat%20/etc/pin": "fd:NUMBER",
	} {
		_, err := rootkey.Parse(line)
		if !errors.Is(err, lockstep.ErrInvalid) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v; want ErrInvalid saying %q", line, err, says)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pkcs11:token=t;object=k?module-path=/m.so&pin-source=fd:3")
	f.Add("file:/a/b?passphrase-source=file:/c")
	f.Fuzz(func(t *testing.T, line string) {
		s, err := rootkey.Parse(line)
		if err != nil {
			return
		}
		again, err := rootkey.Parse(s.String())
		if strings.Contains(s.Path, "?") {
			t.Fatalf("%q: a question mark in the path", line)
		}
		if err != nil || again != s {
			t.Fatalf("%q is %+v, which writes %q and reads %+v (%v)", line, s, s, again, err)
		}
	})
}

func private(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileWithPassphrase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	right, wrong := private(t, "open sesame\n"), private(t, "close sesame\n")
	line := "file:" + path + "?passphrase-source=file:"
	ctx := t.Context()
	if _, err := rootkey.Open(ctx, line+right); !errors.Is(err, lockstep.ErrNotFound) {
		t.Fatalf("open before it was made: %v", err)
	}
	made, err := rootkey.Make(ctx, line+right)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := made.Wrap(ctx, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("open sesame"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	fd, err := unix.Dup(int(r.Fd())) // rootkey closes its descriptor, and r its own
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	k, err := rootkey.Open(ctx, "file:"+path+"?passphrase-source=fd:"+strconv.Itoa(fd))
	if err != nil {
		t.Fatalf("open by descriptor: %v", err)
	}
	if got, err := k.Unwrap(ctx, wrapped, nil); err != nil || string(got) != "x" {
		t.Errorf("unwrap: %q, %v", got, err)
	}
	for name, line := range map[string]string{"wrong passphrase": line + wrong, "no passphrase": "file:" + path} {
		for _, open := range []func(context.Context, string) error{
			func(ctx context.Context, l string) error { _, err := rootkey.Open(ctx, l); return err },
			func(ctx context.Context, l string) error { _, err := rootkey.Make(ctx, l); return err },
		} {
			if err := open(ctx, line); !errors.Is(err, lockstep.ErrSealed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := os.Chmod(right, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := rootkey.Open(ctx, line+right); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("a passphrase that all may read: %v", err)
	}
}
