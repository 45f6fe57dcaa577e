package localca

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lockstep"
)

func TestOpenTwiceGivesTheSameAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !first.cert.Equal(second.cert) {
		t.Error("the second Open made another authority")
	}
	for name, want := range map[string]os.FileMode{CertFile: 0o644, KeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestOpenRefusesWhatIsDamaged(t *testing.T) {
	other := t.TempDir()
	if _, err := Open(other); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(other, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(dir string) error{
		"key missing":      func(d string) error { return os.Remove(filepath.Join(d, KeyFile)) },
		"key cut off":      func(d string) error { return os.Truncate(filepath.Join(d, KeyFile), 60) },
		"key empty":        func(d string) error { return os.Truncate(filepath.Join(d, KeyFile), 0) },
		"key of another":   func(d string) error { return os.WriteFile(filepath.Join(d, KeyFile), foreign, 0o600) },
		"key readable":     func(d string) error { return os.Chmod(filepath.Join(d, KeyFile), 0o644) },
		"certificate cut":  func(d string) error { return os.Truncate(filepath.Join(d, CertFile), 100) },
		"certificate junk": func(d string) error { return os.WriteFile(filepath.Join(d, CertFile), []byte("x"), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := Open(dir); err != nil {
				t.Fatal(err)
			}
			if err := harm(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); !errors.Is(err, lockstep.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

func TestOpenCompletesAfterACrashBetweenTheFiles(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(first.CertPath()); err != nil {
		t.Fatal(err)
	}
	second, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !second.key.Equal(first.key) {
		t.Error("the key changed")
	}
}

func TestExpiredAuthorityIsNamed(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	late := func() time.Time { return time.Now().Add(caLife + time.Hour) }
	if _, err := open(dir, late); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestHandshake(t *testing.T) {
	ca, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", ca.ServerConfig([]string{"lockstep.example", "0.0.0.0", "10.1.2.3"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go echo(ln)
	for _, c := range []struct {
		name   string
		client *tls.Config
		ok     bool
	}{
		{"by address", &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}, true},
		{"by localhost", &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}, true},
		{"by given name", &tls.Config{RootCAs: ca.Pool(), ServerName: "lockstep.example"}, true},
		{"by given address", &tls.Config{RootCAs: ca.Pool(), ServerName: "10.1.2.3"}, true},
		{"TLS 1.2", &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.1", &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"another name", &tls.Config{RootCAs: ca.Pool(), ServerName: "other.example"}, false},
		{"another authority", &tls.Config{RootCAs: stranger.Pool(), ServerName: "localhost"}, false},
		{"the system's roots", &tls.Config{ServerName: "localhost"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", ln.Addr().String(), c.client)
			if (err == nil) != c.ok {
				t.Errorf("got %v, want ok=%v", err, c.ok)
			}
			if err == nil {
				_ = conn.Close()
			}
		})
	}
}

func echo(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
	}
}

func TestCertificateIsRenewedBeforeItsEnd(t *testing.T) {
	now := time.Now()
	ca, err := open(t.TempDir(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	get := ca.ServerConfig(nil).GetCertificate
	serial := func() string {
		t.Helper()
		c, err := get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Leaf.NotAfter.After(now) {
			t.Fatal("served an expired certificate")
		}
		return c.Leaf.SerialNumber.String()
	}
	first := serial()
	now = now.Add(serverLife - renewBefore - time.Minute)
	if serial() != first {
		t.Error("renewed too early")
	}
	now = now.Add(2 * time.Minute)
	if serial() == first {
		t.Error("not renewed")
	}
	now = ca.cert.NotAfter.Add(-time.Hour)
	if c, err := get(nil); err != nil || c.Leaf.NotAfter.After(ca.cert.NotAfter) {
		t.Errorf("outlives its authority: %v", err)
	}
}
