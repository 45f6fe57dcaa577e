package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"lockstep"
	"lockstep/api"
	kmsapi "lockstep/api/kms"
	"lockstep/api/secretsmanager"
	v1 "lockstep/api/v1"
	"lockstep/auth"
	"lockstep/auth/sigv4"
	"lockstep/hsm/file"
	"lockstep/internal/migratedtest"
	"lockstep/keeper"
	"lockstep/keys"
	"lockstep/rotators"
	"lockstep/rotators/custom"
	"lockstep/runs"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

const (
	account = "000000000000"
	region  = "us-east-1"
	marker  = "marker-7f3a-must-never-be-logged"
)

// rig is a server on a free port, over a real store, with everything behind it
// that the APIs need but the workers.
type rig struct {
	t      *testing.T
	url    string
	creds  auth.Credentials
	client *sm.Client
	store  store.Store
	keys   *keys.Service
	runs   *runs.Service
	log    *safeBuffer
	audit  *memory
	// sessions makes what the server takes, as if so long ago.
	sessions *auth.Sessions
	ago      *atomic.Int64
	// skew is how far the raw requests' clock is off.
	skew time.Duration
}

// safeBuffer is a log that a test can read while the server writes.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// plainRotator makes a fixed value and has no target.
type plainRotator struct{}

func (plainRotator) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.ValueOnly}
}

func (plainRotator) Create(context.Context, *rotators.Request) (lockstep.Value, error) {
	return lockstep.StringValue("made"), nil
}
func (plainRotator) Set(context.Context, *rotators.Request) error                  { return nil }
func (plainRotator) Test(context.Context, *rotators.Request, lockstep.Value) error { return nil }

func start(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	ctx := t.Context()
	log := &safeBuffer{}
	st, err := sqlstore.Open(ctx, sqlstore.Config{DSN: migratedtest.SQLite(t)})
	must(t, err)
	t.Cleanup(func() { _ = st.Close() })
	root, err := file.Create(file.Config{Path: filepath.Join(dir, "root.key")})
	must(t, err)
	ks, err := keys.New(ctx, keys.Config{Store: st, Root: root})
	must(t, err)
	reg := &rotators.Registry{}
	must(t, reg.Register("plain", plainRotator{}))
	kp := keeper.New(st, ks, reg)
	rs := runs.New(runs.Config{Store: st, Vault: kp, Rotators: reg, MinInterval: time.Second})

	path := filepath.Join(dir, "credentials")
	made, err := auth.Bootstrap(ctx, auth.Bootstrapping{
		Store: st, Sealer: ks, Owner: store.Owner{Account: account, Region: region},
		Deliver: func(c auth.Credentials) error { return auth.WriteCredentials(path, c) },
	})
	must(t, err)
	if made == nil {
		t.Fatal("the first start made no credentials")
	}
	creds, err := auth.ReadCredentials(path)
	must(t, err)

	policies := auth.NewPolicies(auth.PoliciesConfig{Store: st})
	r := &rig{t: t, creds: creds, store: st, keys: ks, runs: rs, log: log, audit: &memory{}, ago: &atomic.Int64{}}
	r.sessions, err = auth.NewSessions(auth.SessionsConfig{
		Key: ks.Derive("sessions"), Policies: policies,
		Now: func() time.Time { return time.Now().Add(-time.Duration(r.ago.Load())) },
	})
	must(t, err)
	directory := auth.NewDirectory(auth.DirectoryConfig{Store: st, Sealer: ks, Policies: policies, Sessions: r.sessions})
	identities, err := auth.NewIdentities(auth.IdentitiesConfig{Store: st, Sealer: ks, Changed: func([]string) {
		policies.Forget()
		directory.Forget()
	}})
	must(t, err)
	verifier, err := sigv4.New(sigv4.Config[auth.Principal]{
		Keys:     directory,
		Services: []string{"secretsmanager", kmsapi.Scope, api.ScopeLockstep}, Regions: []string{region, "eu-west-1"},
	})
	must(t, err)
	masterKeys, err := kmsapi.New(kmsapi.Config{Keys: ks, Guard: auth.NewGuard(nil)})
	must(t, err)
	secrets, err := secretsmanager.New(secretsmanager.Config{
		Keeper: kp, Rotations: rs, Guard: auth.NewGuard(nil), Keys: masterKeys, PageKey: ks.Derive("page tokens"),
		Regions: []lockstep.Region{region, "eu-west-1"},
	})
	must(t, err)
	registered, err := custom.New(custom.Config{Store: st, Sealer: ks, Home: region, Native: reg.Names})
	must(t, err)
	admin, err := v1.New(v1.Config{
		Secrets: kp, History: rs, Rotations: rs, Hands: rs, Dead: noDead{}, Schedules: rs, Batches: rs, Graphs: rs, Trials: rs, Changes: st, Guard: auth.NewGuard(nil), Identities: identities, Keys: ks, Backups: noBackups{}, Inspections: rs, Rotators: registered, Home: region,
		Status: v1.Status{Version: "test", Regions: []string{region, "eu-west-1"}, NATSURL: "tls://127.0.0.1:7422"},
	})
	must(t, err)
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	handler, err := api.New(api.Config{
		Verifier: verifier, Admin: admin, Log: logger, Audit: r.audit,
		Services: []api.AWSService{
			{Prefix: secretsmanager.TargetPrefix, Scope: "secretsmanager", Service: secrets},
			{Prefix: kmsapi.TargetPrefix, Scope: kmsapi.Scope, Service: masterKeys},
		},
	})
	must(t, err)
	server := httptest.NewUnstartedServer(nil)
	server.Config = api.NewServer(handler, logger)
	server.Start()
	t.Cleanup(server.Close)
	r.url = server.URL
	r.client = r.clientFor(region)
	return r
}

// noBackups stands where a node writes backups; test/keys has the real one.
type noBackups struct{}

func (noBackups) Backup(_ context.Context, out io.Writer, _, _ []byte) error {
	_, err := io.WriteString(out, `"a backup"`)
	return err
}

func (r *rig) clientFor(region string) *sm.Client {
	return sm.New(sm.Options{
		BaseEndpoint: aws.String(r.url), Region: region, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(r.creds.AccessKeyID, r.creds.SecretKey.Reveal(), ""),
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks code and exact message of an SDK call's error.
func refused(t *testing.T, err error, code, message string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("got %v, want %s", err, code)
	}
	if api.ErrorCode() != code || (message != "" && api.ErrorMessage() != message) {
		t.Fatalf("got %s: %q\nwant %s: %q", api.ErrorCode(), api.ErrorMessage(), code, message)
	}
}

// answer is a raw HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) fields(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("answer %q: %v", a.body, err)
	}
	return m
}

// errorOf is the code and text of an AWS error body.
func (a answer) errorOf(t *testing.T) (code, message string) {
	t.Helper()
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"Message"`
	}
	must(t, json.Unmarshal([]byte(a.body), &e))
	return e.Type, e.Message
}

// raw sends a signed AWS JSON request with exactly this body.
func (r *rig) raw(action, body string) answer {
	r.t.Helper()
	return r.send("POST", "/", "secretsmanager", body, http.Header{
		"X-Amz-Target": {"secretsmanager." + action}, "Content-Type": {"application/x-amz-json-1.1"},
	})
}

// v1 sends a signed request to the admin API.
func (r *rig) v1(method, path, body string) answer {
	r.t.Helper()
	return r.send(method, path, api.ScopeLockstep, body, http.Header{})
}

func (r *rig) send(method, path, service, body string, header http.Header) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	must(r.t, err)
	req.Header = header
	sum := sha256.Sum256([]byte(body))
	must(r.t, v4.NewSigner().SignHTTP(r.t.Context(),
		aws.Credentials{AccessKeyID: r.creds.AccessKeyID, SecretAccessKey: r.creds.SecretKey.Reveal()},
		req, hex.EncodeToString(sum[:]), service, region, time.Now().Add(r.skew)))
	return r.do(req)
}

func (r *rig) do(req *http.Request) answer {
	r.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	must(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	must(r.t, err)
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// create makes a secret with a value and returns the answer.
func (r *rig) create(name, value string) *sm.CreateSecretOutput {
	r.t.Helper()
	out, err := r.client.CreateSecret(r.t.Context(), &sm.CreateSecretInput{Name: &name, SecretString: &value})
	must(r.t, err)
	return out
}

// noDead is a server without a stream.
type noDead struct{}

func (noDead) DeadJobs(context.Context, uint64, int) ([]lockstep.DeadJob, error) {
	return []lockstep.DeadJob{
		{Seq: 2, Subject: "lockstep.job.000000000000.us-east-1.default.run.prod.db", Reason: "unknown kind", Bytes: 3},
		{Seq: 1, Subject: "lockstep.job.111111111111.us-east-1.default.run.prod.db", Reason: "another's", Bytes: 3},
	}, nil
}
