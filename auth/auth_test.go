package auth_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/auth"
	"lockstep/auth/sigv4"
	"lockstep/hsm/file"
	"lockstep/internal/migratedtest"
	"lockstep/keys"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

const account = "000000000000"

// counted counts the openings of sealed keys.
type counted struct {
	*keys.Service
	opened int
}

func (c *counted) Open(ctx context.Context, s *lockstep.Sealed, to keys.Binding) (lockstep.Value, error) {
	c.opened++
	return c.Service.Open(ctx, s, to)
}

func open(t *testing.T) (store.Store, *counted) {
	t.Helper()
	dir := t.TempDir()
	st, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: migratedtest.SQLite(t)})
	must(t, err)
	t.Cleanup(func() { _ = st.Close() })
	root, err := file.Create(file.Config{Path: filepath.Join(dir, "root.key")})
	must(t, err)
	ks, err := keys.New(t.Context(), keys.Config{Store: st, Root: root})
	must(t, err)
	return st, &counted{Service: ks}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func bootstrap(t *testing.T, st store.Store, s auth.Sealer, deliver func(auth.Credentials) error) (*auth.Credentials, error) {
	t.Helper()
	return auth.Bootstrap(t.Context(), auth.Bootstrapping{
		Store: st, Sealer: s, Owner: store.Owner{Account: account, Region: "us-east-1"}, Deliver: deliver,
	})
}

func TestBootstrapOnce(t *testing.T) {
	st, ks := open(t)
	full := errors.New("disk full")
	if _, err := bootstrap(t, st, ks, func(auth.Credentials) error { return full }); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "credentials")
	made, err := bootstrap(t, st, ks, func(c auth.Credentials) error { return auth.WriteCredentials(path, c) })
	must(t, err)
	if made == nil || !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(made.AccessKeyID) || len(made.SecretKey.Bytes()) != 40 {
		t.Fatalf("made %+v", made)
	}
	again, err := bootstrap(t, st, ks, func(auth.Credentials) error { return errors.New("delivered twice") })
	if err != nil || again != nil {
		t.Fatalf("second start: %v, %v", again, err)
	}
	read, err := auth.ReadCredentials(path)
	must(t, err)
	if read.AccessKeyID != made.AccessKeyID || !read.SecretKey.Equal(made.SecretKey) {
		t.Error("the file holds other credentials")
	}
	must(t, st.View(t.Context(), func(tx store.ReadTx) error {
		k, err := tx.AccessKey(made.AccessKeyID)
		if err == nil && strings.Contains(string(k.Secret.Ciphertext), made.SecretKey.Reveal()) {
			t.Error("the secret key is stored in clear")
		}
		return err
	}))
}

func TestCredentialsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	c := auth.Credentials{AccessKeyID: "AKIA1", SecretKey: lockstep.StringValue("s"), SessionToken: "t"}
	must(t, auth.WriteCredentials(path, c))
	must(t, auth.WriteCredentials(path, c))
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("%d files left", len(entries))
	}
	text, err := os.ReadFile(path)
	must(t, err)
	if want := "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s\naws_session_token = t\n"; string(text) != want {
		t.Errorf("file %q", text)
	}
	for name, c := range map[string]struct {
		content string
		mode    fs.FileMode
		want    error
	}{
		"readable by others":                    {string(text), 0o644, lockstep.ErrInvalid},
		"other profile":                         {strings.Replace(string(text), "default", "other", 1), 0o600, lockstep.ErrInvalid},
		"no secret":                             {"[default]\naws_access_key_id=A\n", 0o600, lockstep.ErrInvalid},
		"as AWS's tools write it, among others": {"[x]\naws_access_key_id=B\n\n[default]\n# note\naws_access_key_id=AKIA1\naws_secret_access_key=s\n[y]\naws_secret_access_key=z\n", 0o600, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c")
			must(t, os.WriteFile(path, []byte(c.content), c.mode))
			must(t, os.Chmod(path, c.mode))
			got, err := auth.ReadCredentials(path)
			if !errors.Is(err, c.want) || (c.want == nil && (got.AccessKeyID != "AKIA1" || got.SecretKey.Reveal() != "s")) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if _, err := auth.ReadCredentials(path + "-not-there"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestDirectory(t *testing.T) {
	st, ks := open(t)
	made, err := bootstrap(t, st, ks, nil)
	must(t, err)
	now := time.Unix(1_700_000_000, 0)
	d := auth.NewDirectory(auth.DirectoryConfig{Store: st, Sealer: ks, CacheFor: time.Second, Now: func() time.Time { return now }})
	look := func() (sigv4.Credential[auth.Principal], error) { return d.SecretKey(t.Context(), made.AccessKeyID) }
	got, err := look()
	must(t, err)
	if !got.SecretKey.Equal(made.SecretKey) || !got.Principal.IsRoot() || got.Principal.AccessKeyID != made.AccessKeyID {
		t.Fatalf("got %+v", got)
	}
	_, err = look()
	must(t, err)
	if ks.opened != 1 {
		t.Errorf("opened %d times", ks.opened)
	}
	if _, err := d.SecretKey(t.Context(), "AKIANOSUCH"); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("unknown key: %v", err)
	}
	setActive := func(active bool) {
		must(t, st.Update(t.Context(), func(tx store.Tx) error {
			k, err := tx.AccessKey(made.AccessKeyID)
			if err != nil {
				return err
			}
			k.Active = active
			return tx.SaveAccessKey(k)
		}))
	}
	setActive(false)
	now = now.Add(time.Second)
	if _, err := look(); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("a revoked key after the cache's time: %v", err)
	}
	setActive(true)
	_, err = look()
	must(t, err)
	setActive(false)
	d.Forget()
	if _, err := look(); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("a forgotten key: %v", err)
	}
}

func TestAuthorize(t *testing.T) {
	root := auth.Principal{ARN: auth.RootARN(account), Account: account}
	own, other := "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-aaaaaa", "arn:aws:secretsmanager:us-east-1:111111111111:secret:a-aaaaaa"
	for _, c := range []struct {
		name     string
		who      auth.Principal
		resource string
		allowed  bool
	}{
		{"root, own secret", root, own, true},
		{"root, no resource", root, "*", true},
		{"root, another account's secret", root, other, false},
		{"a user", auth.Principal{ARN: "arn:aws:iam::000000000000:user/u", Account: account}, own, false},
		{"a user named root", auth.Principal{ARN: "arn:aws:iam::000000000000:user/root", Account: account, Name: "root"}, own, false},
		{"root's ARN of another account", auth.Principal{ARN: auth.RootARN("111111111111"), Account: account}, own, false},
		{"nobody", auth.Principal{}, "*", false},
	} {
		err := auth.Guard{}.Authorize(t.Context(), auth.Question{Caller: auth.Caller{Principal: c.who}, Action: "secretsmanager:GetSecretValue", Resource: c.resource})
		if (err == nil) != c.allowed || (err != nil && !errors.Is(err, lockstep.ErrDenied)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	err := auth.Guard{}.Authorize(t.Context(), auth.Question{Caller: auth.Caller{Principal: root}, Action: "secretsmanager:GetSecretValue", Resource: other})
	if want := "User: arn:aws:iam::000000000000:root is not authorized to perform: secretsmanager:GetSecretValue on resource: " + other +
		" because no resource-based policy allows the secretsmanager:GetSecretValue action"; err.Error() != want {
		t.Errorf("text %q", err)
	}
}

func TestLogin(t *testing.T) {
	st, ks := open(t)
	made, err := bootstrap(t, st, ks, nil)
	must(t, err)
	verifier, err := sigv4.New(sigv4.Config[auth.Principal]{
		Keys: auth.NewDirectory(auth.DirectoryConfig{Store: st, Sealer: ks}), Services: []string{"secretsmanager"},
	})
	must(t, err)
	a, err := auth.NewLoginAuthorizer(verifier, "here", nil)
	must(t, err)
	token := func(audience string) string {
		t.Helper()
		token, err := sigv4.NewLoginToken(sigv4.LoginParams{AccessKeyID: made.AccessKeyID, SecretKey: made.SecretKey,
			Region: "us-east-1", Audience: audience, Now: time.Now()})
		must(t, err)
		return token
	}
	l, err := a.Login(t.Context(), token("here"))
	must(t, err)
	if l.User != auth.RootARN(account) || l.Account != account || len(l.Subscribe) != 1 || l.Subscribe[0] != "lockstep.event.000000000000.>" ||
		!l.Expires.After(time.Now()) || l.Expires.After(time.Now().Add(auth.MaxConnection)) {
		t.Errorf("%+v", l)
	}
	for name, bad := range map[string]string{"another server's": token("there"), "changed": token("here") + "A", "none": ""} {
		var refused *sigv4.Error
		if _, err := a.Login(t.Context(), bad); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
