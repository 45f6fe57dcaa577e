package clients

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// keysClient is the Go SDK's client of the keys API.
func (r *rig) keysClient() *kms.Client {
	return kms.New(kms.Options{
		Region: region, BaseEndpoint: aws.String(r.server.Endpoint), HTTPClient: r.http,
		Credentials: credentials.NewStaticCredentialsProvider(r.keys.AccessKeyID, r.keys.SecretKey.Reveal(), ""),
	})
}

// TestKeys goes through the three clients on one server.
func TestKeys(t *testing.T) {
	t.Parallel()
	r := start(t)
	env := r.environment()
	t.Run("boto3", func(t *testing.T) {
		mine := *r
		mine.t = t
		script, err := filepath.Abs("testdata/kms.py")
		mine.must(err)
		mine.passes(program{dir: t.TempDir(), env: env, args: []string{python, script}})
	})
	t.Run("AWS CLI", func(t *testing.T) {
		mine := *r
		mine.t = t
		keysByCLI(&mine, env)
	})
	t.Run("Go", func(t *testing.T) {
		mine := *r
		mine.t = t
		disabledKeyStopsReads(&mine)
	})
}

func keysByCLI(r *rig, env []string) {
	dir := variable(env, "HOME")
	run := func(args ...string) map[string]json.RawMessage {
		r.t.Helper()
		all := append([]string{awsCLI, "kms", "--endpoint-url", variable(env, "AWS_ENDPOINT_URL_KMS")}, args...)
		out, errOut, code := r.exec(program{dir: dir, env: env, args: all})
		if code != 0 {
			r.t.Fatalf("aws kms %s: exit %d\n%s", strings.Join(args, " "), code, errOut)
		}
		answer := map[string]json.RawMessage{}
		if strings.TrimSpace(out) != "" {
			r.must(json.Unmarshal([]byte(out), &answer))
		}
		return answer
	}
	text := func(raw json.RawMessage) (s string) {
		r.t.Helper()
		r.must(json.Unmarshal(raw, &s))
		return s
	}
	var key struct{ KeyID, Arn string }
	r.must(json.Unmarshal(run("create-key", "--description", "by the CLI")["KeyMetadata"], &key))
	run("create-alias", "--alias-name", "alias/cli", "--target-key-id", key.KeyID)
	plain, sealed := filepath.Join(dir, "plain"), filepath.Join(dir, "sealed")
	r.must(os.WriteFile(plain, []byte("from a file"), 0o600))
	blob, err := base64.StdEncoding.DecodeString(text(run("encrypt", "--key-id", "alias/cli", "--plaintext", "fileb://"+plain, "--encryption-context", "app=cli")["CiphertextBlob"]))
	r.must(err)
	r.must(os.WriteFile(sealed, blob, 0o600))
	opened := run("decrypt", "--ciphertext-blob", "fileb://"+sealed, "--encryption-context", "app=cli")
	if got, err := base64.StdEncoding.DecodeString(text(opened["Plaintext"])); err != nil || string(got) != "from a file" || text(opened["KeyId"]) != key.Arn {
		r.t.Errorf("%q, %v, %s", got, err, opened["KeyId"])
	}
	_, errOut, code := r.exec(program{dir: dir, env: env, args: []string{awsCLI, "kms", "--endpoint-url", variable(env, "AWS_ENDPOINT_URL_KMS"), "describe-key", "--key-id", "alias/none"}})
	if code != 254 || !strings.Contains(errOut, "An error occurred (NotFoundException)") {
		r.t.Errorf("exit %d: %s", code, errOut)
	}
}

// disabledKeyStopsReads: within five seconds, as the server promises.
func disabledKeyStopsReads(r *rig) {
	ctx, c := r.t.Context(), r.keysClient()
	key, err := c.CreateKey(ctx, &kms.CreateKeyInput{})
	r.must(err)
	id := key.KeyMetadata.KeyId
	s := r.createAs(sm.CreateSecretInput{Name: r.fresh("keyed"), SecretString: aws.String("v"), KmsKeyId: id})
	get := func() error {
		_, err := r.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: s.name})
		return err
	}
	r.must(get())
	_, err = c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: id})
	r.must(err)
	began := time.Now()
	for get() == nil {
		if time.Since(began) > 5*time.Second {
			r.t.Fatal("reads go on five seconds after the key was disabled")
		}
	}
	_, err = c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: id})
	r.must(err)
	r.must(get())
	_, err = c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: id})
	r.must(err)
	r.must(get())
}
