package custom

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/nats-io/nats.go"

	"lockstep"
	"lockstep/auth/sigv4"
	"lockstep/internal/servertest"
)

func TestFunctions(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.create(t, "other", "another's")
	for name, test := range map[string]func(*testing.T, *stage){
		"webhook": webhookRotates, "service": serviceRotates, "stale": staleSessionIsRefused,
		"no-value": createWithoutAValue, "no-undo": nothingIsUndone, "prints": nothingPrintedIsShown,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func webhookRotates(t *testing.T, s *stage) {
	f := &function{}
	if out := s.webhook(t, "hook", f); !strings.Contains(out, "whsec_") {
		t.Errorf("no signing key in %q", out)
	}
	s.create(t, "hooked", "first-value")
	s.rotate(t, "hooked", "hook")
	run := s.ended(t, "hooked", "succeeded")
	if got := s.value(t, "hooked"); got != f.accepts() || run.Attempts != 0 {
		t.Errorf("AWSCURRENT is not what the target accepts, after %d failures", run.Attempts)
	}
	s.silent(t, f.made...)
	out, _, _ := s.server.CLI(t.Context(), "", "rotator", "show", "hook")
	if strings.Contains(out, "whsec_") || !strings.Contains(out, "webhook") {
		t.Errorf("rotator show: %s", out)
	}
}

func serviceRotates(t *testing.T, s *stage) {
	s.register(t, "mainframe", "--nats-service")
	client, err := s.server.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	f := &function{client: client, lazy: true}
	key := s.server.Credentials(t)
	token, err := sigv4.NewLoginToken(sigv4.LoginParams{AccessKeyID: key.AccessKeyID, SecretKey: key.SecretKey, Region: "us-east-1", Audience: lockstep.LoginAudience, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(s.server.NATSURL, nats.Token(token), nats.RootCAs(s.server.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	_, err = conn.Subscribe("lockstep.rotator.mainframe.*", func(m *nats.Msg) {
		answer := `{}`
		if err := f.handle(t.Context(), m.Data); err != nil {
			answer = `{"errorMessage":"failed"}`
		}
		_ = m.Respond([]byte(answer))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	s.create(t, "served", "first-value")
	s.rotate(t, "served", "mainframe")
	s.ended(t, "served", "succeeded") // the engine has moved AWSCURRENT
	if got := s.value(t, "served"); got != f.accepts() {
		t.Error("AWSCURRENT is not what the target accepts")
	}
}

// staleSessionIsRefused: a function that was given up goes on beside its
// successor, and changes nothing.
func staleSessionIsRefused(t *testing.T, s *stage) {
	var r refusals
	var mu sync.Mutex
	calls := map[string][]event{}
	f := &function{}
	f.before = func(ctx context.Context, e event, secrets *secretsmanager.Client) error {
		mu.Lock()
		calls[e.Step] = append(calls[e.Step], e)
		earlier := calls["setSecret"]
		mu.Unlock()
		if e.Step != "setSecret" {
			return nil
		}
		_, err := secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("other")})
		r.want("another secret", err, "AccessDeniedException")
		_, err = secrets.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &e.SecretId})
		r.want("another action", err, "AccessDeniedException")
		r.want("another value", put(ctx, e, secrets, "changed-my-mind"), "ResourceExistsException")
		r.want("finish before test", finish(ctx, e, secrets), "InvalidRequestException")
		if len(earlier) == 1 {
			return errors.New("no answer")
		}
		stale := f.secrets(earlier[0])
		r.want("a stale put", put(ctx, e, stale, "late"), "AccessDeniedException")
		r.want("a stale finish", finish(ctx, e, stale), "AccessDeniedException")
		return nil
	}
	s.webhook(t, "slow-hook", f)
	s.create(t, "contended", "first-value")
	s.rotate(t, "contended", "slow-hook")
	run := s.ended(t, "contended", "succeeded")
	if run.Attempts != 1 || s.value(t, "contended") != f.accepts() {
		t.Errorf("after %d failures, AWSCURRENT is what the target accepts: %v", run.Attempts, s.value(t, "contended") == f.accepts())
	}
	last := calls["finishSecret"][0]
	servertest.Eventually(t, "end of the last session", func() bool {
		return code(put(t.Context(), last, f.secrets(last), f.accepts())) == "AccessDeniedException"
	})
	for _, w := range r.wrong {
		t.Error(w)
	}
}

func createWithoutAValue(t *testing.T, s *stage) {
	s.register(t, "empty-handed", "--exec", "cat >/dev/null")
	s.create(t, "empty", "first-value")
	s.rotate(t, "empty", "empty-handed")
	run := s.ended(t, "empty", "failed")
	if !strings.Contains(run.Reason, "createSecret answered, but version") || !strings.Contains(run.Hint, "PutSecretValue") || s.value(t, "empty") != "first-value" {
		t.Errorf("reason %q, hint %q", run.Reason, run.Hint)
	}
}

// nothingIsUndone: what set may have done stays in doubt, and in the store.
func nothingIsUndone(t *testing.T, s *stage) {
	began := make(chan struct{}, 10)
	f := &function{before: func(_ context.Context, e event, _ *secretsmanager.Client) error {
		if e.Step != "setSecret" {
			return nil
		}
		began <- struct{}{}
		return errors.New("the mainframe is away")
	}}
	s.webhook(t, "one-way", f)
	s.create(t, "doubtful", "first-value")
	version := s.rotate(t, "doubtful", "one-way")
	<-began
	if _, err := s.secrets.CancelRotateSecret(t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: aws.String("doubtful")}); err != nil {
		t.Fatal(err)
	}
	run := s.ended(t, "doubtful", "failed")
	if !strings.Contains(run.Reason, "no step that undoes setSecret") || run.Hint == "" {
		t.Errorf("reason %q, hint %q", run.Reason, run.Hint)
	}
	out, err := s.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("doubtful"), VersionId: &version})
	if err != nil || *out.SecretString != f.made[0] {
		t.Errorf("the value that the target may accept: %v", err)
	}
	f.before = nil
	s.rotate(t, "doubtful", "one-way") // and it is no dead end
	s.ended(t, "doubtful", "succeeded")
}

func nothingPrintedIsShown(t *testing.T, s *stage) {
	s.register(t, "loud", "--exec", `tee /dev/stderr; echo; echo '{"errorMessage":"first-value-of-loud is wrong"}'; exit 1`)
	s.create(t, "loud", "first-value-of-loud")
	s.rotate(t, "loud", "loud")
	run := s.ended(t, "loud", "failed")
	if !strings.Contains(run.Reason, "rotator loud, step createSecret") || !strings.Contains(run.Reason, "[redacted] is wrong") || !strings.Contains(run.Reason, "bytes to standard output") {
		t.Errorf("reason %q", run.Reason)
	}
	s.silent(t, "first-value-of-loud", "SecretAccessKey", "SessionToken")
}

// TestAKilledServerGoesOn: SIGKILL in the middle of setSecret.
func TestAKilledServerGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	began := make(chan struct{}, 1)
	var once sync.Once
	f := &function{before: func(ctx context.Context, e event, _ *secretsmanager.Client) error {
		if e.Step != "setSecret" {
			return nil
		}
		once.Do(func() {
			began <- struct{}{}
			<-ctx.Done() // the caller is gone
		})
		return ctx.Err()
	}}
	s.webhook(t, "killed", f)
	s.create(t, "survivor", "first-value")
	version := s.rotate(t, "survivor", "killed")
	<-began
	s.server.Kill()
	if err := s.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ended(t, "survivor", "succeeded")
	out, err := s.secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("survivor")})
	if err != nil || *out.SecretString != f.accepts() || *out.VersionId != version || len(f.made) != 1 {
		t.Errorf("after %d values made: %v", len(f.made), err)
	}
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--allow-exec-rotators=false")
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"postgres", "--nats-service"}, "already"},
		{[]string{"No", "--nats-service"}, "can't be a rotator's name"},
		{[]string{"x1", "--exec", "true"}, "--allow-exec-rotators"},
		{[]string{"x1", "--webhook", "http://example.com/x", "--timeout", "16m"}, "timeout"},
		{[]string{"x1", "--webhook", "https://127.0.0.1/x"}, "loopback"},
		{[]string{"x1", "--webhook", "https://10.0.0.1/x"}, "private"},
		{[]string{"x1", "--webhook", "https://169.254.169.254/latest", "--allow-private", "--allow-loopback"}, "metadata"},
		{[]string{"x1", "--webhook", "https://me:too@example.com/"}, "login"},
		{[]string{"x1", "--webhook", "ftp://example.com/"}, "https"},
		{[]string{"x1"}, "at least one"},
	} {
		out, errOut, code := s.server.CLI(t.Context(), "", append([]string{"rotator", "register"}, row.args...)...)
		if code == 0 || !strings.Contains(errOut, row.says) {
			t.Errorf("register %v: exit %d, %s%s", row.args, code, out, errOut)
		}
	}
	s.register(t, "free", "--webhook", "https://rotator.example/x")
	for _, row := range []struct{ args, says string }{
		{"list", "https://rotator.example/x"}, {"show free", "webhook"}, {"remove free", "removed rotator free"},
	} {
		out, errOut, code := s.server.CLI(t.Context(), "", append([]string{"rotator"}, strings.Fields(row.args)...)...)
		if code != 0 || !strings.Contains(out, row.says) {
			t.Errorf("rotator %s: exit %d, %s%s", row.args, code, out, errOut)
		}
	}
	for _, language := range []string{"python", "go", "shell"} {
		out, errOut, code := s.server.CLI(t.Context(), "", "rotator", "new", "--language", language, "--dir", t.TempDir())
		if code != 0 || !strings.Contains(out, "register it") {
			t.Errorf("rotator new --language %s: exit %d, %s%s", language, code, out, errOut)
		}
	}
}
