package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"github.com/nats-io/nats.go"

	"lockstep"
	"lockstep/auth/sigv4"
	"lockstep/client/admin"
	"lockstep/internal/servertest"
)

const (
	account = "000000000000"
	region  = "us-east-1"
	token   = "11111111-2222-3333-4444-555555555555"
)

// rig is a server and its administrator.
type rig struct {
	*testing.T
	server *servertest.Server
	http   *http.Client
	root   *secretsmanager.Client
	admin  *admin.Client
}

func start(t *testing.T) *rig {
	s := servertest.Start(t, servertest.Options{})
	client, err := s.HTTPClient()
	must(t, err)
	c := s.Credentials(t)
	a, err := admin.New(t.Context(), admin.Config{
		Endpoint: s.Endpoint, Region: region, HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretKey.Reveal(), ""),
	})
	must(t, err)
	return &rig{T: t, server: s, http: client, root: s.Secrets(t), admin: a}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func statement(effect, action, resource, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return fmt.Sprintf(`{"Effect":%q,"Action":%q,"Resource":%q%s}`, effect, action, resource, condition)
}

func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// user makes a user with a key, and with a policy unless it is empty.
func (r *rig) user(name, policy string, tags ...admin.Tag) admin.NewAccessKey {
	r.Helper()
	_, err := r.admin.CreateUser(r.Context(), admin.UserSpec{Name: name, Tags: tags})
	must(r, err)
	key, err := r.admin.CreateAccessKey(r.Context(), name)
	must(r, err)
	if policy != "" {
		_, err = r.admin.CreatePolicy(r.Context(), admin.PolicySpec{Name: "of-" + name, Document: policy})
		must(r, err)
		must(r, r.admin.Attach(r.Context(), "of-"+name, admin.Holder{User: name}))
	}
	return key
}

// as is the AWS SDK with a user's key.
func (r *rig) as(key admin.NewAccessKey) *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		Region: region, BaseEndpoint: aws.String(r.server.Endpoint), HTTPClient: r.http, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key.ID, key.Secret.Reveal(), ""),
	})
}

// code is the error code of an SDK call; "" for success.
func code(t testing.TB, err error) string {
	t.Helper()
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	}
	t.Fatal(err)
	return ""
}

// raw sends one action with a body that has a field for everything, and
// returns the answer.
func (r *rig) raw(key admin.NewAccessKey, action, name string) string {
	r.Helper()
	body := fmt.Sprintf(`{"SecretId":%[1]q,"Name":"%[1]s-new","SecretString":"v","ClientRequestToken":%q,"Tags":[],"TagKeys":["x"],
		"VersionStage":"x","ResourcePolicy":%q,"RotationLambdaARN":"none",
		"AddReplicaRegions":[{"Region":"eu-west-1"}],"RemoveReplicaRegions":["eu-west-1"]}`, name, token, document(
		`{"Effect":"Allow","Principal":{"AWS":"`+account+`"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}`))
	if action == "BatchGetSecretValue" {
		body = fmt.Sprintf(`{"SecretIdList":[%q]}`, name)
	}
	return r.signed(key, body, "secretsmanager", http.Header{
		"X-Amz-Target": {"secretsmanager." + action}, "Content-Type": {"application/x-amz-json-1.1"},
	})
}

// signed sends a request with exactly this body, signed for a service.
func (r *rig) signed(key admin.NewAccessKey, body, service string, header http.Header) string {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.server.Endpoint+"/", strings.NewReader(body))
	must(r, err)
	req.Header = header
	sum := sha256.Sum256([]byte(body))
	must(r, v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret.Reveal()},
		req, hex.EncodeToString(sum[:]), service, region, time.Now()))
	resp, err := r.http.Do(req)
	must(r, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	must(r, err)
	return string(got)
}

// Where an action is checked: on the secret, on the name that is to come, or
// on no resource.
const (
	onSecret = "secret"
	onName   = "name"
	onAll    = "*"
)

func actions() map[string]string {
	out := map[string]string{"BatchGetSecretValue": onAll, "ListSecrets": onAll, "GetRandomPassword": onAll, "CreateSecret": onName}
	for _, a := range []string{"CancelRotateSecret", "DeleteResourcePolicy", "DeleteSecret", "DescribeSecret", "GetResourcePolicy",
		"GetSecretValue", "ListSecretVersionIds", "PutResourcePolicy", "PutSecretValue", "RemoveRegionsFromReplication",
		"ReplicateSecretToRegions", "RestoreSecret", "RotateSecret", "StopReplicationToReplica", "TagResource", "UntagResource",
		"UpdateSecret", "UpdateSecretVersionStage", "ValidateResourcePolicy"} {
		out[a] = onSecret
	}
	return out
}

func TestMatrix(t *testing.T) {
	r := start(t)
	const every, ours = "secretsmanager:*", "arn:aws:secretsmanager:*:" + account + ":secret:m/*"
	const byTag = `{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`
	for _, c := range []struct {
		name, policy string
		// resource adds a policy on the secret for this user.
		resource bool
		// allowed lists where actions pass.
		allowed []string
		words   string
	}{
		{"none", "", false, nil, "because no identity-based policy allows the"},
		{"this-arn", document(statement("Allow", every, ours, "")), false, []string{onSecret, onName}, "because no identity-based policy allows the"},
		{"other-arn", document(statement("Allow", every, "arn:aws:secretsmanager:*:"+account+":secret:other/*", "")), false, nil, "because no identity-based policy allows the"},
		{"by-tag", document(statement("Allow", every, "*", byTag)), false, []string{onSecret}, "because no identity-based policy allows the"},
		{"denied", document(statement("Allow", "*", "*", ""), statement("Deny", every, ours, "")), false, []string{onAll}, "with an explicit deny in an identity-based policy"},
		{"resource", "", true, []string{onSecret}, "because no identity-based policy allows the"},
		{"wildcard", document(statement("Allow", "*", "*", "")), false, []string{onSecret, onName, onAll}, ""},
	} {
		key := r.user(c.name, c.policy, admin.Tag{Key: "team", Value: "a"})
		for action, where := range actions() {
			t.Run(c.name+"/"+action, func(t *testing.T) {
				name := "m/" + c.name + "/" + action
				r.secret(name, c.resource, c.name)
				got := r.raw(key, action, name)
				denied := strings.Contains(got, `"AccessDeniedException"`) && action != "BatchGetSecretValue" ||
					strings.Contains(got, `"__type":"AccessDeniedException"`)
				allowed := strings.Contains(strings.Join(c.allowed, " "), where)
				if denied == allowed {
					t.Fatalf("allowed %v, got %s", allowed, got)
				}
				who := "User: arn:aws:iam::" + account + ":user/" + c.name + " is not authorized to perform: secretsmanager:" + action
				if denied && (!strings.Contains(got, who) || !strings.Contains(got, c.words)) {
					t.Errorf("the text %s", got)
				}
			})
		}
	}
}

// secret makes a secret that is tagged team=a, and perhaps has a policy for a
// user.
func (r *rig) secret(name string, policy bool, user string) {
	r.Helper()
	_, err := r.root.CreateSecret(r.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String("v")})
	must(r, err)
	r.tag(name)
	if !policy {
		return
	}
	_, err = r.root.PutResourcePolicy(r.Context(), &secretsmanager.PutResourcePolicyInput{SecretId: &name, ResourcePolicy: aws.String(document(
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:user/` + user + `"},"Action":"secretsmanager:*","Resource":"*"}`))})
	must(r, err)
}

func TestBatchAnswersEachSecret(t *testing.T) {
	r := start(t)
	for _, name := range []string{"b/yes", "b/no"} {
		_, err := r.root.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(name), SecretString: aws.String("v")})
		must(t, err)
	}
	const one = "arn:aws:secretsmanager:*:" + account + ":secret:b/yes-??????"
	key := r.user("batch", document(statement("Allow", "secretsmanager:BatchGetSecretValue", "*", ""), statement("Allow", "secretsmanager:GetSecretValue", one, "")))
	out, err := r.as(key).BatchGetSecretValue(t.Context(), &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"b/yes", "b/no", "b/absent"}})
	must(t, err)
	if len(out.SecretValues) != 1 || *out.SecretValues[0].Name != "b/yes" || len(out.Errors) != 2 {
		t.Fatalf("%d values, errors %+v", len(out.SecretValues), out.Errors)
	}
	for i, e := range out.Errors {
		want := []string{"b/no", "b/absent"}[i]
		text := "User: arn:aws:iam::" + account + ":user/batch is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:" +
			region + ":" + account + ":secret:" + want + " because no identity-based policy allows the secretsmanager:GetSecretValue action"
		if *e.SecretId != want || *e.ErrorCode != "AccessDeniedException" || *e.Message != text {
			t.Errorf("%s: %s %s", *e.SecretId, *e.ErrorCode, *e.Message)
		}
	}
}

func TestKeyRotation(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	old := r.user("app", document(statement("Allow", "secretsmanager:ListSecrets", "*", "")))
	list := func(k admin.NewAccessKey) string {
		_, err := r.as(k).ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
		return code(t, err)
	}
	fresh, err := r.admin.CreateAccessKey(ctx, "app")
	must(t, err)
	if list(old) != "" || list(fresh) != "" {
		t.Errorf("with two keys: %q and %q", list(old), list(fresh))
	}
	if _, err := r.admin.CreateAccessKey(ctx, "app"); !errors.Is(err, lockstep.ErrState) {
		t.Errorf("a third key: %v", err)
	}
	_, err = r.admin.DisableAccessKey(ctx, old.ID)
	must(t, err)
	if list(old) != "UnrecognizedClientException" || list(fresh) != "" {
		t.Errorf("the old one disabled: %q and %q", list(old), list(fresh))
	}
	_, err = r.admin.EnableAccessKey(ctx, old.ID)
	must(t, err)
	if got := list(old); got != "" {
		t.Errorf("enabled again: %s", got)
	}
	must(t, r.admin.DeleteAccessKey(ctx, old.ID))
	must(t, r.admin.DeleteUser(ctx, "app"))
	if list(old) != "UnrecognizedClientException" || list(fresh) != "UnrecognizedClientException" {
		t.Errorf("a deleted user: %q and %q", list(old), list(fresh))
	}
}

func TestChangesTakeEffect(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	key := r.user("app", "")
	const denied = "AccessDeniedException"
	step := func(what, want string, change error) {
		t.Helper()
		must(t, change)
		_, err := r.as(key).GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{})
		if got := code(t, err); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	allow, deny := document(statement("Allow", "secretsmanager:*", "*", "")), document(statement("Deny", "secretsmanager:*", "*", ""))
	step("without a policy", denied, nil)
	_, err := r.admin.CreatePolicy(ctx, admin.PolicySpec{Name: "p", Document: allow})
	step("a policy that hangs on nothing", denied, err)
	step("attached", "", r.admin.Attach(ctx, "p", admin.Holder{User: "app"}))
	_, err = r.admin.SetPolicy(ctx, admin.PolicySpec{Name: "p", Document: deny})
	step("changed to deny", denied, err)
	step("detached", denied, r.admin.Detach(ctx, "p", admin.Holder{User: "app"}))
	_, err = r.admin.SetPolicy(ctx, admin.PolicySpec{Name: "p", Document: allow})
	must(t, err)
	_, err = r.admin.CreateGroup(ctx, "g")
	must(t, err)
	must(t, r.admin.Attach(ctx, "p", admin.Holder{Group: "g"}))
	step("by a group", "", r.admin.AddMember(ctx, "g", "app"))
	_, err = r.admin.CreatePolicy(ctx, admin.PolicySpec{Name: "narrow", Document: document(statement("Allow", "secretsmanager:ListSecrets", "*", ""))})
	must(t, err)
	_, err = r.admin.SetUser(ctx, admin.UserSpec{Name: "app", Boundary: "narrow"})
	step("bounded", denied, err)
	_, err = r.admin.SetUser(ctx, admin.UserSpec{Name: "app"})
	step("no longer bounded", "", err)
	step("out of the group", denied, r.admin.RemoveMember(ctx, "g", "app"))
}

func TestConditions(t *testing.T) {
	r := start(t)
	_, err := r.root.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("c"), SecretString: aws.String("v")})
	must(t, err)
	get := func(in secretsmanager.GetSecretValueInput) func(context.Context, *secretsmanager.Client) error {
		in.SecretId = aws.String("c")
		return func(ctx context.Context, c *secretsmanager.Client) error {
			_, err := c.GetSecretValue(ctx, &in)
			return err
		}
	}
	current := get(secretsmanager.GetSecretValueInput{})
	for i, c := range []struct {
		condition string
		call      func(context.Context, *secretsmanager.Client) error
		allowed   bool
	}{
		{`{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`, current, true},
		{`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, current, false},
		{`{"Bool":{"aws:SecureTransport":"true"}}`, current, true},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, current, true},
		{`{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, current, false},
		{`{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`, current, true},
		{`{"StringLike":{"aws:UserAgent":"aws-sdk-go-v2*"}}`, current, true},
		{`{"StringEquals":{"secretsmanager:SecretPrimaryRegion":"us-east-1"}}`, current, true},
		{`{"ArnLike":{"secretsmanager:SecretId":"arn:aws:secretsmanager:*:*:secret:c-*"}}`, current, true},
		{`{"ForAnyValue:StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}`, current, true},
		{`{"ForAnyValue:StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}`, get(secretsmanager.GetSecretValueInput{VersionStage: aws.String("AWSPREVIOUS")}), false},
		{`{"StringEquals":{"secretsmanager:Name":"c2"}}`, create("c2", ""), true},
		{`{"StringEquals":{"secretsmanager:Name":"c3"}}`, create("c4", ""), false},
		{`{"StringEquals":{"aws:RequestTag/team":"a"},"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}`, create("c5", "a"), true},
		{`{"StringEquals":{"aws:RequestTag/team":"a"}}`, create("c6", "b"), false},
		{`{"NumericGreaterThanEquals":{"secretsmanager:RecoveryWindowInDays":30}}`, remove("c", 7), false},
		{`{"NumericGreaterThanEquals":{"secretsmanager:RecoveryWindowInDays":30}}`, remove("c", 30), true},
	} {
		key := r.user(fmt.Sprintf("c%d", i), document(statement("Allow", "*", "*", c.condition)))
		err := c.call(t.Context(), r.as(key))
		if denied := code(t, err) == "AccessDeniedException"; denied == c.allowed {
			t.Errorf("%s: %v", c.condition, err)
		}
	}
}

func TestSubscriber(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	key := r.user("listener", document(statement("Allow", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:"+account+":secret:ev/mine/*", "")))
	nc, refused := r.connect(key)
	mine, err := nc.SubscribeSync("lockstep.event." + account + ".us-east-1.*.*.ev.mine.>")
	must(t, err)
	_, err = nc.SubscribeSync("lockstep.event." + account + ".us-east-1.version.current.ev.>")
	must(t, err)
	must(t, nc.Flush())
	select {
	case err := <-refused:
		if !strings.Contains(err.Error(), "ev.>") {
			t.Errorf("refused %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a subscription beyond the policy was not refused")
	}
	for _, name := range []string{"ev/other/a", "ev/mine/a"} {
		_, err := r.root.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(name), SecretString: aws.String("v")})
		must(t, err)
	}
	m, err := mine.NextMsg(20 * time.Second)
	must(t, err)
	if !strings.HasSuffix(m.Subject, ".ev.mine.a") {
		t.Errorf("heard %s", m.Subject)
	}
	// A change of policy ends the connection; nothing is left to hear of.
	closed := nc.StatusChanged(nats.CLOSED, nats.RECONNECTING, nats.DISCONNECTED)
	must(t, r.admin.Detach(ctx, "of-listener", admin.Holder{User: "listener"}))
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Error("the connection outlived the policy")
	}
}

// connect logs in to NATS with a user's key.
func (r *rig) connect(key admin.NewAccessKey) (*nats.Conn, <-chan error) {
	r.Helper()
	refused := make(chan error, 8)
	nc, err := nats.Connect(r.server.NATSURL, nats.RootCAs(r.server.DataDir+"/ca.pem"), nats.MaxReconnects(-1),
		nats.TokenHandler(func() string {
			t, err := sigv4.NewLoginToken(sigv4.LoginParams{AccessKeyID: key.ID, SecretKey: key.Secret, Region: region, Audience: lockstep.LoginAudience, Now: time.Now()})
			if err != nil {
				return ""
			}
			return t
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	must(r, err)
	r.Cleanup(nc.Close)
	return nc, refused
}
