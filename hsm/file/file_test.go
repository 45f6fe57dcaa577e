package file_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lockstep"
	"lockstep/hsm"
	"lockstep/hsm/file"
	"lockstep/hsm/hsmtest"
)

func TestConformance(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsmtest.Open {
		cfg := newFile(t, nil)
		return func(t *testing.T) hsm.Key { return reopen(t, cfg) }
	})
}

func newFile(t *testing.T, passphrase []byte) file.Config {
	t.Helper()
	cfg := file.Config{Path: filepath.Join(t.TempDir(), "root.key"), Passphrase: passphrase}
	k, err := file.Create(cfg)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return cfg
}

func reopen(t *testing.T, cfg file.Config) *file.Key {
	t.Helper()
	k, err := file.Open(cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return k
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	cfg := file.Config{Path: filepath.Join(dir, "root.key")}
	k, err := file.Create(cfg)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	info, err := os.Stat(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v (%v), want the key file alone", entries, err)
	}
	if got := reopen(t, cfg); got.ID() != k.ID() || !strings.HasPrefix(k.ID(), "file-") {
		t.Errorf("created as %q, opened as %q", k.ID(), got.ID())
	}

	before := read(t, cfg.Path)
	if _, err := file.Create(cfg); !errors.Is(err, lockstep.ErrExists) {
		t.Errorf("create again: %v, want ErrExists", err)
	}
	if !bytes.Equal(before, read(t, cfg.Path)) {
		t.Error("the key file was overwritten")
	}
}

// Many processes that start at once must come to one key.
func TestCreateRace(t *testing.T) {
	cfg := file.Config{Path: filepath.Join(t.TempDir(), "root.key")}
	var made atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, err := file.Create(cfg)
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, lockstep.ErrExists):
				t.Errorf("create: %v", err)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("%d keys were made, want 1", made.Load())
	}
}

func TestOpenRefuses(t *testing.T) {
	rewrite := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, change(read(t, path)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	chmod := func(mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name string
		harm func(t *testing.T, path string)
		want error
		says string
	}{
		{"missing", func(t *testing.T, path string) { _ = os.Remove(path) }, lockstep.ErrNotFound, "backup"},
		{"group may read", chmod(0o640), lockstep.ErrInvalid, "chmod 0600"},
		{"others may read", chmod(0o604), lockstep.ErrInvalid, "chmod 0600"},
		{"others may write", chmod(0o602), lockstep.ErrInvalid, "chmod 0600"},
		{"empty", rewrite(func([]byte) []byte { return nil }), lockstep.ErrInvalid, "no root key file"},
		{"another file", rewrite(func([]byte) []byte { return []byte("{}\n") }), lockstep.ErrInvalid, "no root key file"},
		{"too long", rewrite(func(b []byte) []byte { return append(b, make([]byte, 5000)...) }), lockstep.ErrInvalid, "too long"},
		{"cut off", rewrite(func(b []byte) []byte { return b[:len(b)-70] }), lockstep.ErrInvalid, "damaged"},
		{"newer version", rewrite(func(b []byte) []byte { return bytes.Replace(b, []byte("version 1"), []byte("version 2"), 1) }), lockstep.ErrInvalid, "newer"},
		{"a directory", func(t *testing.T, path string) {
			_ = os.Remove(path)
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, lockstep.ErrInvalid, "regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newFile(t, nil)
			tt.harm(t, cfg.Path)
			_, err := file.Open(cfg)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), cfg.Path) {
				t.Errorf("open: %v; want %v, the path and %q", err, tt.want, tt.says)
			}
		})
	}
}

func TestEachFlippedByteOfTheFileIsFound(t *testing.T) {
	cfg := newFile(t, nil)
	text := read(t, cfg.Path)
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if err := os.WriteFile(cfg.Path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Open(cfg); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("byte %d (%q) changed: %v, want ErrInvalid", i, text[i], err)
		}
	}
}

func TestPassphrase(t *testing.T) {
	right := []byte("correct horse battery staple")
	cfg := newFile(t, right)
	k := reopen(t, cfg)
	wrapped, err := k.Wrap(t.Context(), []byte("value"), nil)
	if err != nil {
		t.Fatalf("wrap: %v", err)
	}
	if got, err := k.Unwrap(t.Context(), wrapped, nil); err != nil || string(got) != "value" {
		t.Errorf("unwrap: %q, %v", got, err)
	}
	for name, passphrase := range map[string][]byte{"missing": nil, "wrong": []byte("wrong-phrase")} {
		_, err := file.Open(file.Config{Path: cfg.Path, Passphrase: passphrase})
		if !errors.Is(err, lockstep.ErrSealed) {
			t.Errorf("%s passphrase: %v, want ErrSealed", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "wrong-phrase") {
			t.Error("the error shows the passphrase")
		}
	}
}

func TestPassphraseForAFileWithoutOne(t *testing.T) {
	cfg := newFile(t, nil)
	cfg.Passphrase = []byte("imagined")
	if _, err := file.Open(cfg); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("open: %v, want ErrInvalid", err)
	}
}
