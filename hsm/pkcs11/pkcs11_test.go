//go:build cgo

package pkcs11_test

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ThalesIgnite/crypto11"

	"lockstep"
	"lockstep/hsm"
	"lockstep/hsm/hsmtest"
	"lockstep/hsm/pkcs11"
)

const (
	pin     = "1234-user"
	rootKey = "root"
)

// module finds SoftHSM2's library, which the install script provides.
func module(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("SoftHSM2 is not installed; run the install script, or: apt-get install softhsm2")
	return ""
}

// softHSM is a private SoftHSM2 with one token.
type softHSM struct {
	tokens string // its token directory
	cfg    pkcs11.Config
}

func newSoftHSM(t testing.TB) softHSM {
	t.Helper()
	dir := t.TempDir()
	h := softHSM{tokens: filepath.Join(dir, "tokens")}
	if err := os.Mkdir(h.tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	text := "directories.tokendir = " + h.tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	h.cfg = pkcs11.Config{Module: module(t), TokenLabel: "lockstep", PIN: pin, Label: rootKey, Generate: true, RetryAfter: 5 * time.Millisecond}
	h.addToken(t, h.cfg.TokenLabel)
	return h
}

func (h softHSM) addToken(t testing.TB, label string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "0000-officer", "--pin", pin).CombinedOutput()
	if err != nil {
		t.Fatalf("init token: %v: %s", err, out)
	}
}

func (h softHSM) open(t testing.TB) hsm.Key {
	t.Helper()
	k, err := pkcs11.Open(t.Context(), h.cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return k
}

func TestConformance(t *testing.T) {
	// The module reads its configuration once, as long as a key is open; so
	// the keys of one test share a token, under labels of their own.
	var mu sync.Mutex
	shared := map[*testing.T]softHSM{}
	hsmtest.Run(t, func(t *testing.T) hsmtest.Open {
		mu.Lock()
		h, ok := shared[t]
		if !ok {
			h = newSoftHSM(t)
		}
		h.cfg.Label += "-next"
		shared[t] = h
		mu.Unlock()
		return func(t *testing.T) hsm.Key {
			k, err := pkcs11.Open(t.Context(), h.cfg)
			if err != nil {
				t.Fatalf("open: %v", err)
			}
			return k
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	h := newSoftHSM(t)
	h.open(t) // makes the keys
	h.addToken(t, "empty")
	tests := []struct {
		name   string
		change func(*pkcs11.Config)
		want   error
		says   string
	}{
		{"no module", func(c *pkcs11.Config) { c.Module = "" }, lockstep.ErrInvalid, "module is missing"},
		{"module not there", func(c *pkcs11.Config) { c.Module = "/nonexistent/libhsm.so" }, lockstep.ErrInvalid, "/nonexistent/libhsm.so"},
		{"no token label", func(c *pkcs11.Config) { c.TokenLabel = "" }, lockstep.ErrInvalid, "label is missing"},
		{"token not there", func(c *pkcs11.Config) { c.TokenLabel = "other" }, lockstep.ErrSealed, `"other"`},
		{"one session", func(c *pkcs11.Config) { c.MaxSessions = 1 }, lockstep.ErrInvalid, "2 or more"},
		{"no key", func(c *pkcs11.Config) { c.Label, c.Generate = "absent", false }, lockstep.ErrNotFound, "absent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := h.cfg
			tt.change(&cfg)
			_, err := pkcs11.Open(t.Context(), cfg)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), pin) {
				t.Errorf("open: %v; want %v, saying %q and never the PIN", err, tt.want, tt.says)
			}
		})
	}
}

func TestWrongPIN(t *testing.T) {
	h := newSoftHSM(t)
	cfg := h.cfg
	cfg.PIN = "wrong-pin"
	_, err := pkcs11.Open(t.Context(), cfg)
	if !errors.Is(err, lockstep.ErrDenied) || strings.Contains(err.Error(), cfg.PIN) {
		t.Errorf("open: %v, want ErrDenied without the PIN", err)
	}
	h.open(t) // the right one still works
}

// withToken gives a test the token as an administrator has it.
func (h softHSM) withToken(t *testing.T, do func(*crypto11.Context)) {
	t.Helper()
	c, err := crypto11.Configure(&crypto11.Config{Path: h.cfg.Module, TokenLabel: h.cfg.TokenLabel, Pin: pin})
	if err != nil {
		t.Fatal(err)
	}
	do(c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestKeysAreRefused(t *testing.T) {
	aes := func(t *testing.T, bits int) func(*crypto11.Context) {
		return func(c *crypto11.Context) {
			if _, err := c.GenerateSecretKeyWithLabel([]byte{9}, []byte(rootKey), bits, crypto11.CipherAES); err != nil {
				t.Fatal(err)
			}
		}
	}
	ec := func(t *testing.T, curve elliptic.Curve) func(*crypto11.Context) {
		return func(c *crypto11.Context) {
			if _, err := c.GenerateECDSAKeyPairWithLabel([]byte{9}, []byte(rootKey), curve); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		change func(t *testing.T, h softHSM)
		says   string
	}{
		{"two wrapping keys", func(t *testing.T, h softHSM) { h.makeKeys(t); h.withToken(t, aes(t, 256)) }, "exactly one"},
		{"two signing keys", func(t *testing.T, h softHSM) { h.makeKeys(t); h.withToken(t, ec(t, elliptic.P256())) }, "exactly one"},
		{"a wrapping key alone", func(t *testing.T, h softHSM) { h.withToken(t, aes(t, 256)) }, "half"},
		{"a signing key alone", func(t *testing.T, h softHSM) { h.withToken(t, ec(t, elliptic.P256())) }, "half"},
		{"another curve", func(t *testing.T, h softHSM) { h.withToken(t, aes(t, 256)); h.withToken(t, ec(t, elliptic.P384())) }, "P-256"},
		{"a short key", func(t *testing.T, h softHSM) { h.withToken(t, aes(t, 128)); h.withToken(t, ec(t, elliptic.P256())) }, "256 bits"},
		{"an extractable key", func(t *testing.T, h softHSM) {
			h.withToken(t, ec(t, elliptic.P256()))
			h.withToken(t, func(c *crypto11.Context) {
				set, err := crypto11.NewAttributeSetWithIDAndLabel([]byte{8}, []byte(rootKey))
				if err != nil {
					t.Fatal(err)
				}
				if err := set.Set(crypto11.CkaExtractable, true); err != nil {
					t.Fatal(err)
				}
				if _, err := c.GenerateSecretKeyWithAttributes(set, 256, crypto11.CipherAES); err != nil {
					t.Fatal(err)
				}
			})
		}, "extracted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newSoftHSM(t)
			tt.change(t, h)
			_, err := pkcs11.Open(t.Context(), h.cfg)
			if !errors.Is(err, lockstep.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("open: %v; want ErrInvalid saying %q", err, tt.says)
			}
		})
	}
}

// makeKeys makes the root key and leaves.
func (h softHSM) makeKeys(t *testing.T) {
	t.Helper()
	k, err := pkcs11.Open(t.Context(), h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestGeneratedKeyStaysInTheToken(t *testing.T) {
	h := newSoftHSM(t)
	h.makeKeys(t)
	h.withToken(t, func(c *crypto11.Context) {
		k, err := c.FindKey(nil, []byte(rootKey))
		if err != nil || k == nil {
			t.Fatalf("find: %v, %v", k, err)
		}
		for name, want := range map[string]struct {
			attribute crypto11.AttributeType
			value     byte
		}{
			"sensitive": {crypto11.CkaSensitive, 1}, "never extractable": {crypto11.CkaNeverExtractable, 1}, "extractable": {crypto11.CkaExtractable, 0},
			"wraps": {crypto11.CkaWrap, 0}, "unwraps": {crypto11.CkaUnwrap, 0}, "private": {crypto11.CkaPrivate, 1},
		} {
			got, err := c.GetAttribute(k, want.attribute)
			if err != nil || got.Value[0] != want.value {
				t.Errorf("%s: %v, %v; want %d", name, got, err, want.value)
			}
		}
		if value, err := c.GetAttribute(k, crypto11.CkaValue); err == nil && value != nil {
			t.Error("the key's value could be read")
		}
	})
}

// A token that has no room for its keys may say that it has them: SoftHSM2 writes
// as much of an object as there is room for, and goes on.
func TestTokenFull(t *testing.T) {
	h := newSoftHSM(t)
	// Writes over the limit fail, as on a disk that is full, instead of ending
	// the process. The token itself has room, its objects have not.
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	limitFiles(t, 400, func() {
		_, err := pkcs11.Open(t.Context(), h.cfg)
		if !errors.Is(err, lockstep.ErrSealed) || !strings.Contains(err.Error(), "make room") || strings.Contains(err.Error(), pin) {
			t.Errorf("open: %v; want ErrSealed that says to make room", err)
		}
	})
	left, err := filepath.Glob(filepath.Join(h.tokens, "*", "*-*.object"))
	if err != nil || len(left) == 0 {
		t.Fatalf("the token has no broken objects: %v, %v", left, err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	h.open(t) // with room it works
}

// limitFiles bounds how long a file may become while do runs.
func limitFiles(t *testing.T, size uint64, do func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Error(err)
		}
	}()
	do()
}

// The token vanishes and comes back, twice; the same hsm.Key works again.
func TestTokenLoss(t *testing.T) {
	h := newSoftHSM(t)
	k := h.open(t)
	wrapped, err := k.Wrap(t.Context(), []byte("value"), nil)
	if err != nil {
		t.Fatal(err)
	}
	id := k.ID()
	for round := range 2 {
		away := h.tokens + "-away"
		move(t, h.tokens, away)
		if err := os.Mkdir(h.tokens, 0o700); err != nil {
			t.Fatal(err)
		}
		for call := range 3 {
			if _, err := k.Unwrap(t.Context(), wrapped, nil); !errors.Is(err, lockstep.ErrSealed) || errors.Is(err, lockstep.ErrDecrypt) {
				t.Fatalf("round %d, call %d without the token: %v, want ErrSealed", round, call, err)
			}
		}
		if err := k.Health(t.Context()); !errors.Is(err, lockstep.ErrSealed) {
			t.Errorf("health without the token: %v, want ErrSealed", err)
		}
		if k.ID() != id || k.Public() == nil {
			t.Error("id or public key went with the token")
		}
		if err := os.Remove(h.tokens); err != nil {
			t.Fatal(err)
		}
		move(t, away, h.tokens)
		awaitHealth(t, k)
		if got, err := k.Unwrap(t.Context(), wrapped, nil); err != nil || string(got) != "value" {
			t.Fatalf("round %d, with the token back: %q, %v", round, got, err)
		}
		if _, err := k.Unwrap(t.Context(), wrapped, []byte("other")); !errors.Is(err, lockstep.ErrDecrypt) {
			t.Fatalf("round %d, other associated data: %v, want ErrDecrypt", round, err)
		}
	}
}

// A key that is closed while the token is away ends its supervisor.
func TestCloseWithoutToken(t *testing.T) {
	h := newSoftHSM(t)
	k := h.open(t)
	move(t, h.tokens, h.tokens+"-away")
	if err := k.Health(t.Context()); !errors.Is(err, lockstep.ErrSealed) {
		t.Errorf("health: %v, want ErrSealed", err)
	}
	if err := k.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// A token of the same name with another key is not taken for the lost one.
func TestOtherTokenInItsPlace(t *testing.T) {
	h := newSoftHSM(t)
	k := h.open(t)
	move(t, h.tokens, h.tokens+"-away")
	if err := os.Mkdir(h.tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	h.addToken(t, h.cfg.TokenLabel)
	for range 5 {
		if err := k.Health(t.Context()); !errors.Is(err, lockstep.ErrSealed) {
			t.Fatalf("health: %v, want ErrSealed", err)
		}
	}
}

func TestUseWhileTheTokenComesAndGoes(t *testing.T) {
	h := newSoftHSM(t)
	k := h.open(t)
	wrapped, err := k.Wrap(t.Context(), []byte("value"), nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := k.Unwrap(t.Context(), wrapped, nil)
				if err == nil && string(got) != "value" || err != nil && !errors.Is(err, lockstep.ErrSealed) {
					t.Errorf("unwrap: %q, %v; want the value or ErrSealed", got, err)
					return
				}
			}
		})
	}
	for range 5 {
		move(t, h.tokens, h.tokens+"-away")
		for k.Health(t.Context()) == nil {
			if t.Failed() {
				break
			}
		}
		move(t, h.tokens+"-away", h.tokens)
		awaitHealth(t, k)
	}
	close(stop)
	group.Wait()
}

func TestNoFreeSession(t *testing.T) {
	h := newSoftHSM(t)
	h.cfg.MaxSessions, h.cfg.PoolWait = 2, time.Nanosecond
	h.cfg.Generate = false
	maker := h
	maker.cfg.Generate, maker.cfg.PoolWait = true, 0
	maker.makeKeys(t)
	_, err := pkcs11.Open(t.Context(), h.cfg)
	if err == nil {
		t.Fatal("a session was free within a nanosecond")
	}
	if !errors.Is(err, lockstep.ErrBusy) && !errors.Is(err, lockstep.ErrSealed) {
		t.Errorf("open: %v, want ErrBusy or ErrSealed", err)
	}
}

func TestReadPIN(t *testing.T) {
	for text, want := range map[string]string{"1234": "1234", "1234\n": "1234", "12 34\r\n": "12 34", "": "", "\n": "", strings.Repeat("1", 257): ""} {
		got, err := pkcs11.ReadPIN(strings.NewReader(text))
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false} {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("pin-%o", mode))
		if err := os.WriteFile(path, []byte("1234\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got, err := pkcs11.ReadPINFile(path); (err == nil) != ok || ok && got != "1234" {
			t.Errorf("mode %o: %q, %v", mode, got, err)
		}
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// awaitHealth asks until the supervisor has the token back.
func awaitHealth(t *testing.T, k hsm.Key) {
	t.Helper()
	retry := time.NewTicker(2 * time.Millisecond)
	defer retry.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		err := k.Health(t.Context())
		if err == nil {
			return
		}
		select {
		case <-retry.C:
		case <-limit.C:
			t.Fatalf("the token is back, the key is not: %v", err)
		}
	}
}
