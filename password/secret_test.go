package password_test

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep"
	"lockstep/password"
)

func TestWith(t *testing.T) {
	base := password.ForRotation()
	for name, c := range map[string]struct {
		own     lockstep.PasswordPolicy
		length  int
		only    string
		refused string // part of the reason
	}{
		"nothing of its own":     {own: lockstep.PasswordPolicy{}, length: 32, only: upper + lower + numbers + "-._~"},
		"longer":                 {own: lockstep.PasswordPolicy{Length: 64}, length: 64, only: upper + lower + numbers + "-._~"},
		"no punctuation":         {own: lockstep.PasswordPolicy{ExcludePunctuation: true}, length: 32, only: upper + lower + numbers},
		"the unsafe stays out":   {own: lockstep.PasswordPolicy{ExcludeCharacters: "~0O"}, length: 32, only: strings.NewReplacer("0", "", "O", "").Replace(upper+lower+numbers) + "-._"},
		"digits, long enough":    {own: lockstep.PasswordPolicy{Length: 20, ExcludeUppercase: true, ExcludeLowercase: true, ExcludePunctuation: true}, length: 20, only: numbers},
		"four characters":        {own: lockstep.PasswordPolicy{Length: 4}, refused: "for example length 11"},
		"digits, too few":        {own: lockstep.PasswordPolicy{Length: 19, ExcludeUppercase: true, ExcludeLowercase: true, ExcludePunctuation: true}, refused: "for example length 20"},
		"all classes excluded":   {own: lockstep.PasswordPolicy{ExcludeUppercase: true, ExcludeLowercase: true, ExcludeNumbers: true, ExcludePunctuation: true}, refused: "excludes every character"},
		"all characters":         {own: lockstep.PasswordPolicy{ExcludeCharacters: upper + lower + numbers + punctuation}, refused: "excludes every character"},
		"one character":          {own: lockstep.PasswordPolicy{ExcludeCharacters: upper + lower + numbers[1:] + punctuation}, refused: "a single character"},
		"too long":               {own: lockstep.PasswordPolicy{Length: 5000}, refused: "between 1 and 4096"},
		"negative":               {own: lockstep.PasswordPolicy{Length: -1}, refused: "between 1 and 4096"},
		"too much is left out":   {own: lockstep.PasswordPolicy{ExcludeCharacters: strings.Repeat("x", 4096)}, refused: "excluded characters"},
		"shorter than its kinds": {own: lockstep.PasswordPolicy{Length: 3}, refused: "too short"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := base.With(c.own)
			if c.refused != "" {
				if !errors.Is(err, lockstep.ErrInvalid) || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "for example") {
					t.Errorf("got %v, want a refusal with %q and an example", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				check(t, p, c.length, c.only, nil)
			}
		})
	}
}

// TestDefaultsNeedNoQuotes writes passwords into what they end up in, without
// any quotes, and reads them back.
func TestDefaultsNeedNoQuotes(t *testing.T) {
	var script, want strings.Builder
	env := filepath.Join(t.TempDir(), "app.env")
	for range 100 {
		pw, err := password.ForRotation().Generate()
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse("postgres://app:" + pw + "@db:5432/shop?password=" + pw + "&sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := u.User.Password(); got != pw || u.Query().Get("password") != pw || u.Host != "db:5432" {
			t.Errorf("in a URL: %q", u)
		}
		if fields := strings.Split("db:5432:shop:app:"+pw, ":"); len(fields) != 5 || strings.Contains(pw, "\\") {
			t.Errorf(".pgpass: %q", fields)
		}
		script.WriteString("printf '%s\\n' " + pw + "\nPW=" + pw + "; printf '%s\\n' \"$PW\"\nprintf '%s\\n' --password=" + pw + "\n")
		want.WriteString(pw + "\n" + pw + "\n--password=" + pw + "\n")
	}
	if err := os.WriteFile(env, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "/bin/sh", env).Output()
	if err != nil || string(out) != want.String() {
		t.Errorf("a shell reads other passwords: %v", err)
	}
}
