package marker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/internal/pgtest"
	"lockstep/internal/servertest"
)

// TestSearchFinds: a search that finds nothing would prove nothing.
func TestSearchFinds(t *testing.T) {
	value := []byte("a \"marked\" <value> with ümlaut & more")
	for _, f := range formsOf(value) {
		if len(f.text) < len(value)-4 || len(find(append([]byte("before "), append(f.text, " after"...)...), value)) == 0 {
			t.Errorf("%s: %q is not found", f.name, f.text)
		}
	}
	for _, prefix := range []string{"", "x", "xy", "xyz"} {
		text := base64.StdEncoding.EncodeToString([]byte(prefix + string(value) + "tail"))
		if len(find([]byte(text), value)) == 0 {
			t.Errorf("within a longer base64 text after %q it is not found", prefix)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), value, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filesUnder(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// world is a server under watch.
type world struct {
	*testing.T
	server  *servertest.Server
	secrets *sm.Client
	keys    *kms.Client
	pg      *pgtest.Server
	// marked are the values that may stand nowhere, by what they are.
	marked map[string][]byte
	// said is what commands printed that are not meant to show a value.
	said bytes.Buffer
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) mark(what, value string) string {
	w.marked[what] = []byte(value)
	return value
}

// cli runs a command that shows no value; whatever code it ends with, what it
// says is searched.
func (w *world) cli(stdin string, args ...string) string {
	w.Helper()
	out, errOut, _ := w.server.CLI(w.Context(), stdin, args...)
	w.said.WriteString(out + errOut)
	return out + errOut
}

// TestNothingLeaks goes through everything with marked values.
func TestNothingLeaks(t *testing.T) {
	s := servertest.Start(t, servertest.Options{Args: []string{"--min-interval", "1s", "--lease", "2s", "--log-level", "debug"}})
	client, err := s.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Credentials(t)
	w := &world{T: t, server: s, secrets: s.Secrets(t), pg: pgtest.Shared(t), marked: make(map[string][]byte)}
	w.keys = kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.Endpoint), HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretKey.Reveal(), "")})
	w.mark("the root user's secret key", c.SecretKey.Reveal())

	watch := exec.CommandContext(t.Context(), s.Binary, "--data-dir", s.DataDir, "watch") // #nosec G204 -- the test's own binary
	var watched lockedBuffer
	watch.Stdout, watch.Stderr = &watched, &watched
	w.must(watch.Start())
	defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()

	w.values()
	w.masterKeys()
	w.rotations()
	w.identities()
	w.mistakes()
	backup := w.backups()
	w.waitFor("the watcher heard of a rotation", func() bool {
		return strings.Contains(watched.String(), "version.current") || strings.Contains(watched.String(), "app/db")
	})

	places := map[string][]byte{"the server's log": []byte(s.Log()), "what commands said": w.said.Bytes(), "the watcher": []byte(watched.String()), "a backup": backup}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		places[path] = w.page(client, path)
	}
	for _, name := range []string{"cmdline", "environ"} {
		places["the process's "+name], err = os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.PID(), name))
		w.must(err)
	}
	w.search("while it works", places)
	// And at rest: after a kill, with whatever was in flight.
	s.Kill()
	w.search("after a kill", nil)
}

// search looks for every marked value in the places and in every file.
func (w *world) search(when string, places map[string][]byte) {
	w.Helper()
	files, err := filesUnder(w.server.DataDir, "credentials") // the one file that is there to hold a key
	w.must(err)
	if len(files) < 5 {
		w.Fatalf("only %d files under the data directory", len(files))
	}
	for name, content := range places {
		files[name] = content
	}
	for where, content := range files {
		for what, value := range w.marked {
			if found := find(content, value); len(found) > 0 {
				w.Errorf("%s: %s stands in %s (%s)", when, what, where, strings.Join(found, ", "))
			}
		}
	}
}

func (w *world) page(c *http.Client, path string) []byte {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.server.Endpoint+path, nil)
	w.must(err)
	resp, err := c.Do(req)
	w.must(err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	w.must(err)
	return b
}

// values are written, read, listed, labelled, deleted and restored.
func (w *world) values() {
	ctx := w.Context()
	one := w.mark("a text", `marked-text-4c1f "quoted" <and> ümlaut & %41`)
	_, err := w.secrets.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("one"), SecretString: &one, Description: aws.String("described")})
	w.must(err)
	blob := w.mark("a binary value", "marked-binary-77aa\x00\x01\xff\n-end-of-binary")
	_, err = w.secrets.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("two"), SecretBinary: []byte(blob)})
	w.must(err)
	for i := range 3 {
		next := w.mark(fmt.Sprint("put ", i), fmt.Sprintf("marked-put-%d-b2d9-0123456789", i))
		_, err = w.secrets.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("one"), SecretString: &next, VersionStages: []string{"AWSPENDING", "mine"}})
		w.must(err)
	}
	out, err := w.secrets.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("one")})
	w.must(err)
	if *out.SecretString != one {
		w.Fatal("the value does not come back")
	}
	_, err = w.secrets.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: []string{"one", "two"}})
	w.must(err)
	random, err := w.secrets.GetRandomPassword(ctx, &sm.GetRandomPasswordInput{})
	w.must(err)
	w.mark("a random password", *random.RandomPassword)
	_, err = w.secrets.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: aws.String("two")})
	w.must(err)
	_, err = w.secrets.RestoreSecret(ctx, &sm.RestoreSecretInput{SecretId: aws.String("two")})
	w.must(err)
	w.cli(w.mark("a value by the command line", "marked-stdin-5e5e-9876543210"), "secret", "create", "three", "--value-file", "-")
	w.cli("", "secret", "list")
	w.cli("", "secret", "describe", "one")
}

// masterKeys seal what users give them.
func (w *world) masterKeys() {
	ctx := w.Context()
	k, err := w.keys.CreateKey(ctx, &kms.CreateKeyInput{})
	w.must(err)
	id := k.KeyMetadata.KeyId
	plaintext := w.mark("a plaintext for KMS", "marked-plaintext-31d0-abcdefgh")
	sealed, err := w.keys.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: []byte(plaintext)})
	w.must(err)
	_, err = w.keys.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	w.must(err)
	dk, err := w.keys.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: id, KeySpec: "AES_256"})
	w.must(err)
	w.mark("a data key", string(dk.Plaintext))
	value := w.mark("a value under a user's key", "marked-keyed-0c0c-5555555555")
	_, err = w.secrets.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("keyed"), SecretString: &value, KmsKeyId: id})
	w.must(err)
	w.cli("", "keys", "rotate", *id)
	w.cli("", "keys", "list")
}

// rotations change a real password, by hand and by schedule, and fail.
func (w *world) rotations() {
	db := w.pg.Database(w.T)
	role, first := "app_"+db, w.mark("the first password", "marked-password-8a8a-111111")
	w.pg.Must(w.T, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", role, first))
	w.mark("the database admin's password", w.pg.Password())
	credential := func(user, password, master string) string {
		text, err := json.Marshal(map[string]string{"engine": "postgres", "host": "127.0.0.1", "port": fmt.Sprint(w.pg.Port()), "dbname": db, "username": user, "password": password, "masterarn": master})
		w.must(err)
		return strings.Replace(string(text), `"port":"`+fmt.Sprint(w.pg.Port())+`"`, fmt.Sprintf(`"port":%d`, w.pg.Port()), 1)
	}
	ctx := w.Context()
	admin, err := w.secrets.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("admin/db"), SecretString: aws.String(credential("postgres", w.pg.Password(), ""))})
	w.must(err)
	_, err = w.secrets.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("app/db"), SecretString: aws.String(credential(role, first, *admin.ARN))})
	w.must(err)
	for i := range 2 {
		out := w.cli("", "rotate", "app/db", "--rotator", "postgres", "--wait")
		if !strings.Contains(out, "rotated app/db") {
			w.Fatal(out)
		}
		w.mark(fmt.Sprint("rotated password ", i), w.password("app/db"))
	}
	w.cli("", "rotate", "app/db", "--dry-run")
	w.cli("", "schedule", "set", "app/db", "--rotator", "postgres", "--expression", "@every 2s")
	w.waitFor("the schedule rotated it", func() bool {
		_, known := w.marked["scheduled password"]
		if p := w.password("app/db"); p != string(w.marked["rotated password 1"]) && !known {
			w.mark("scheduled password", p)
		}
		return len(w.marked["scheduled password"]) > 0
	})
	w.cli("", "runs")
	w.cli("", "check")
	// One that fails, with the target's own words.
	wrong := w.mark("a password that is wrong", "marked-wrong-6d6d-2222222222")
	_, err = w.secrets.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("broken/db"), SecretString: aws.String(credential("nobody_"+db, wrong, ""))})
	w.must(err)
	w.cli("", "rotate", "broken/db", "--rotator", "postgres", "--dry-run")
	w.cli("", "rotate", "broken/db", "--rotator", "postgres")
}

func (w *world) password(name string) string {
	w.Helper()
	out, err := w.secrets.GetSecretValue(w.Context(), &sm.GetSecretValueInput{SecretId: &name})
	w.must(err)
	var c struct{ Password string }
	w.must(json.Unmarshal([]byte(*out.SecretString), &c))
	return c.Password
}

// identities get an access key, whose secret half is shown once.
func (w *world) identities() {
	w.cli("", "user", "create", "app")
	key, err := w.server.Admin(w.T).CreateAccessKey(w.Context(), "app")
	w.must(err)
	w.mark("a user's secret key", key.Secret.Reveal())
	w.cli("", "user", "list")
}

// mistakes are answered, and the answers searched.
func (w *world) mistakes() {
	ctx := w.Context()
	value := w.mark("a value in a refused request", "marked-refused-2b2b-3333333333")
	for _, in := range []*sm.CreateSecretInput{
		{Name: aws.String("one"), SecretString: &value},
		{Name: aws.String("in valid"), SecretString: &value},
		{Name: aws.String("x"), SecretString: &value, KmsKeyId: aws.String("nosuch")},
		{Name: aws.String("y"), SecretString: aws.String(strings.Repeat(value, 4000))},
	} {
		_, err := w.secrets.CreateSecret(ctx, in)
		if err == nil {
			w.Errorf("%s was made", *in.Name)
			continue
		}
		w.said.WriteString(err.Error())
	}
	_, err := w.keys.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String("alias/none"), Plaintext: []byte(value)})
	if err != nil {
		w.said.WriteString(err.Error())
	}
}

// backups are sealed.
func (w *world) backups() []byte {
	dir := w.TempDir()
	phrase, file := filepath.Join(dir, "phrase"), filepath.Join(dir, "backup")
	w.must(os.WriteFile(phrase, []byte(w.mark("a passphrase", "marked-passphrase-1e1e-444444")), 0o600))
	w.cli("", "backup", "--out", file, "--passphrase-source", phrase)
	b, err := os.ReadFile(file)
	w.must(err)
	return b
}

func (w *world) waitFor(what string, ok func() bool) {
	w.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			w.Fatalf("it never came about that %s", what)
		case <-tick.C:
		}
	}
}
