// Package softhsm gives tests an HSM: a private SoftHSM2 with one token, as
// deploy/install.sh provides the program for.
package softhsm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// PIN is the user PIN of every token.
const PIN = "4711-user"

// TokenLabel is the label of the token.
const TokenLabel = "lockstep"

// Token is a private SoftHSM2 with one token.
type Token struct {
	// Dir is where the token is kept: moved away, the token is gone.
	Dir string
	// Env is the variable that a process needs to find it.
	Env string
	// PINFile holds the PIN, mode 0600.
	PINFile string
	module  string
}

// New makes a token. It ends with the test.
func New(t testing.TB) *Token {
	t.Helper()
	k, err := Make(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Make makes a token in an empty directory, for a program that is no test.
// Errors: SoftHSM2 is not installed, or does not make it.
func Make(ctx context.Context, dir string) (*Token, error) {
	module, err := module()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	k := &Token{Dir: filepath.Join(dir, "tokens"), PINFile: filepath.Join(dir, "pin"), Env: "SOFTHSM2_CONF=" + conf, module: module}
	if err := os.Mkdir(k.Dir, 0o700); err != nil {
		return nil, err
	}
	for path, text := range map[string]string{
		conf:      "directories.tokendir = " + k.Dir + "\nobjectstore.backend = file\nlog.level = ERROR\n",
		k.PINFile: PIN + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "softhsm2-util", "--init-token", "--free", "--label", TokenLabel, "--so-pin", "0000-officer", "--pin", PIN) // #nosec G204 -- constants
	cmd.Env = append(os.Environ(), k.Env)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make token: %w: %s", err, out)
	}
	return k, nil
}

// Line names a root key on the token, as --root-key takes it.
func (k *Token) Line(object string) string {
	return "pkcs11:token=" + TokenLabel + ";object=" + object + "?module-path=" + k.module + "&pin-source=file:" + k.PINFile
}

// TakeAway makes the token vanish, and BringBack reappear.
func (k *Token) TakeAway(t testing.TB) {
	t.Helper()
	if err := os.Rename(k.Dir, k.Dir+".away"); err != nil {
		t.Fatal(err)
	}
}

// BringBack undoes TakeAway.
func (k *Token) BringBack(t testing.TB) {
	t.Helper()
	if err := os.Rename(k.Dir+".away", k.Dir); err != nil {
		t.Fatal(err)
	}
}

func module() (string, error) {
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("SoftHSM2 is not installed; run deploy/install.sh")
}
