package access

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"lockstep/client/admin"
)

const (
	roleARN = "arn:aws:iam::" + account + ":role/reader"
	trustUs = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

func (r *rig) sts(c aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{Region: region, BaseEndpoint: aws.String(r.server.Endpoint), HTTPClient: r.http, RetryMaxAttempts: 1, Credentials: c})
}

func static(k admin.NewAccessKey) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(k.ID, k.Secret.Reveal(), "")
}

func of(c *types.Credentials) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

// role makes the role that the tests assume, which may read prod/*, and
// prod/<team>/* alone with a session tag.
func (r *rig) role() {
	r.Helper()
	_, err := r.admin.CreateRole(r.Context(), admin.RoleSpec{Name: "reader", Trust: trustUs})
	must(r, err)
	_, err = r.admin.CreatePolicy(r.Context(), admin.PolicySpec{Name: "read-prod", Document: document(
		statement("Allow", "secretsmanager:*", "arn:aws:secretsmanager:*:"+account+":secret:prod/*", ""),
		statement("Allow", "sts:AssumeRole", roleARN, ""),
	)})
	must(r, err)
	must(r, r.admin.Attach(r.Context(), "read-prod", admin.Holder{Role: "reader"}))
}

func TestSTS(t *testing.T) {
	r := start(t)
	r.role()
	for _, name := range []string{"prod/a", "prod/b", "test/a"} {
		_, err := r.root.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String("v")})
		must(t, err)
	}
	ann := r.user("ann", document(statement("Allow", "sts:*", "*", "")))
	bob := r.user("bob", document(statement("Allow", "secretsmanager:*", "*", "")))
	get := func(t *testing.T, c aws.CredentialsProvider, name string) string {
		t.Helper()
		client := secretsmanager.New(secretsmanager.Options{Region: region, BaseEndpoint: aws.String(r.server.Endpoint), HTTPClient: r.http, RetryMaxAttempts: 1, Credentials: c})
		_, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
		return code(t, err)
	}
	assume := func(t *testing.T, in sts.AssumeRoleInput) *sts.AssumeRoleOutput {
		t.Helper()
		in.RoleArn = aws.String(roleARN)
		if in.RoleSessionName == nil {
			in.RoleSessionName = aws.String("shift")
		}
		out, err := r.sts(static(ann)).AssumeRole(t.Context(), &in)
		must(t, err)
		return out
	}

	t.Run("who am I", func(t *testing.T) {
		out, err := r.sts(static(ann)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		must(t, err)
		if *out.Arn != "arn:aws:iam::"+account+":user/ann" || *out.Account != account || !strings.HasPrefix(*out.UserId, "AIDA") {
			t.Errorf("I am %s, %s, %s", *out.Arn, *out.UserId, *out.Account)
		}
		root := r.server.Credentials(t)
		out, err = r.sts(credentials.NewStaticCredentialsProvider(root.AccessKeyID, root.SecretKey.Reveal(), "")).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		must(t, err)
		if *out.Arn != "arn:aws:iam::"+account+":root" || *out.UserId != account {
			t.Errorf("I am %s, %s", *out.Arn, *out.UserId)
		}
	})
	t.Run("a session works as the role", func(t *testing.T) {
		out := assume(t, sts.AssumeRoleInput{DurationSeconds: aws.Int32(900)})
		if want := "arn:aws:sts::" + account + ":assumed-role/reader/shift"; *out.AssumedRoleUser.Arn != want {
			t.Errorf("assumed %s", *out.AssumedRoleUser.Arn)
		}
		if left := time.Until(*out.Credentials.Expiration); left < 13*time.Minute || left > 15*time.Minute {
			t.Errorf("it ends in %s", left)
		}
		who, err := r.sts(of(out.Credentials)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		must(t, err)
		if *who.Arn != *out.AssumedRoleUser.Arn || *who.UserId != *out.AssumedRoleUser.AssumedRoleId {
			t.Errorf("I am %s, %s", *who.Arn, *who.UserId)
		}
		if got := get(t, of(out.Credentials), "prod/a"); got != "" {
			t.Errorf("prod/a: %s", got)
		}
		if got := get(t, of(out.Credentials), "test/a"); got != "AccessDeniedException" {
			t.Errorf("test/a: %s", got)
		}
		if got := get(t, static(ann), "prod/a"); got != "AccessDeniedException" {
			t.Errorf("ann herself: %s", got)
		}
	})
	t.Run("a session policy bounds it", func(t *testing.T) {
		out := assume(t, sts.AssumeRoleInput{Policy: aws.String(document(statement("Allow", "*", "arn:aws:secretsmanager:*:*:secret:*/a-??????", "")))})
		if a, b := get(t, of(out.Credentials), "prod/a"), get(t, of(out.Credentials), "prod/b"); a != "" || b != "AccessDeniedException" {
			t.Errorf("prod/a %q, prod/b %q", a, b)
		}
		out = assume(t, sts.AssumeRoleInput{PolicyArns: []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::" + account + ":policy/of-ann")}}})
		if got := get(t, of(out.Credentials), "prod/a"); got != "AccessDeniedException" {
			t.Errorf("under a managed policy that does not allow it: %s", got)
		}
	})
	t.Run("session tags are the principal's", func(t *testing.T) {
		_, err := r.root.PutResourcePolicy(t.Context(), &secretsmanager.PutResourcePolicyInput{SecretId: aws.String("test/a"), ResourcePolicy: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + roleARN + `"},"Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"x"}}}]}`)})
		must(t, err)
		with := func(team string) string {
			return get(t, of(assume(t, sts.AssumeRoleInput{Tags: []types.Tag{{Key: aws.String("team"), Value: &team}}}).Credentials), "test/a")
		}
		if x, y := with("x"), with("y"); x != "" || y != "AccessDeniedException" {
			t.Errorf("team x %q, team y %q", x, y)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for _, c := range []struct {
			name string
			as   aws.CredentialsProvider
			in   sts.AssumeRoleInput
			want string
		}{
			{"by the caller's policies", static(bob), sts.AssumeRoleInput{}, "AccessDenied"},
			{"a role that is not there", static(ann), sts.AssumeRoleInput{RoleArn: aws.String(roleARN + "2")}, "AccessDenied"},
			{"no role ARN", static(ann), sts.AssumeRoleInput{RoleArn: aws.String("reader-reader-reader-reader")}, "ValidationError"},
			{"a name with a slash", static(ann), sts.AssumeRoleInput{RoleSessionName: aws.String("a/b")}, "ValidationError"},
			{"14 minutes", static(ann), sts.AssumeRoleInput{DurationSeconds: aws.Int32(840)}, "ValidationError"},
			{"13 hours", static(ann), sts.AssumeRoleInput{DurationSeconds: aws.Int32(46800)}, "ValidationError"},
			{"no policy document", static(ann), sts.AssumeRoleInput{Policy: aws.String("{}")}, "MalformedPolicyDocument"},
			{"a policy over 2048 characters", static(ann), sts.AssumeRoleInput{Policy: aws.String(strings.Repeat(" ", 2049))}, "PackedPolicyTooLarge"},
			{"a managed policy that is not there", static(ann), sts.AssumeRoleInput{PolicyArns: []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::" + account + ":policy/nosuch")}}}, "MalformedPolicyDocument"},
			{"a transitive key without its tag", static(ann), sts.AssumeRoleInput{TransitiveTagKeys: []string{"x"}}, "ValidationError"},
			{"a reserved tag", static(ann), sts.AssumeRoleInput{Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}}, "ValidationError"},
			{"MFA", static(ann), sts.AssumeRoleInput{SerialNumber: aws.String("arn:aws:iam::1:mfa/a"), TokenCode: aws.String("123456")}, "AccessDenied"},
			{"an unknown key", credentials.NewStaticCredentialsProvider("AKIANOSUCH", "x", ""), sts.AssumeRoleInput{}, "InvalidClientTokenId"},
			{"a wrong secret", credentials.NewStaticCredentialsProvider(ann.ID, "x", ""), sts.AssumeRoleInput{}, "SignatureDoesNotMatch"},
		} {
			if c.in.RoleArn == nil {
				c.in.RoleArn = aws.String(roleARN)
			}
			if c.in.RoleSessionName == nil {
				c.in.RoleSessionName = aws.String("shift")
			}
			_, err := r.sts(c.as).AssumeRole(t.Context(), &c.in)
			if got := code(t, err); got != c.want {
				t.Errorf("%s: %s (%v), want %s", c.name, got, err, c.want)
			}
		}
		_, err := r.sts(static(ann)).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
		if got := code(t, err); got != "InvalidAction" {
			t.Errorf("an action that is not there: %s", got)
		}
	})
	t.Run("tokens: missing, wrong, another session's, with a long-term key", func(t *testing.T) {
		a, b := assume(t, sts.AssumeRoleInput{}).Credentials, assume(t, sts.AssumeRoleInput{}).Credentials
		for name, c := range map[string][3]string{
			"missing":              {*a.AccessKeyId, *a.SecretAccessKey, ""},
			"wrong":                {*a.AccessKeyId, *a.SecretAccessKey, "x" + *a.SessionToken},
			"another's":            {*a.AccessKeyId, *a.SecretAccessKey, *b.SessionToken},
			"with a long-term key": {ann.ID, ann.Secret.Reveal(), *a.SessionToken},
		} {
			if got := get(t, credentials.NewStaticCredentialsProvider(c[0], c[1], c[2]), "prod/a"); got != "UnrecognizedClientException" {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
	t.Run("the SDK's own role provider", func(t *testing.T) {
		provider := stscreds.NewAssumeRoleProvider(r.sts(static(ann)), roleARN)
		if got := get(t, provider, "prod/a"); got != "" {
			t.Errorf("prod/a: %s", got)
		}
	})
	t.Run("the AWS CLI finds STS by what env prints", func(t *testing.T) {
		out := r.shell(t, `eval "$("$LOCKSTEP" env)" && aws sts get-caller-identity --endpoint-url "$AWS_ENDPOINT_URL_STS" --query Arn --output text`)
		if strings.TrimSpace(out) != "arn:aws:iam::"+account+":root" {
			t.Errorf("the CLI says %s", out)
		}
	})
	t.Run("bodies that are none", func(t *testing.T) {
		for body, want := range map[string]string{
			"":                                     "MissingAction",
			"Action=GetCallerIdentity":             "InvalidAction",
			"Action=Nosuch&Version=2011-06-15":     "InvalidAction",
			"Action=%zz":                           "MalformedQueryString",
			"Action=a&Action=b":                    "MalformedQueryString",
			"Action=AssumeRole&Version=2011-06-15": "ValidationError",
		} {
			got := r.form(ann, body)
			if !strings.Contains(got, "<Code>"+want+"</Code>") || !strings.Contains(got, "<RequestId>") {
				t.Errorf("%q: %s", body, got)
			}
		}
	})
	t.Run("deleted, the role ends its sessions", func(t *testing.T) {
		c := of(assume(t, sts.AssumeRoleInput{}).Credentials)
		must(t, r.admin.DeleteRole(t.Context(), "reader"))
		if got := get(t, c, "prod/a"); got != "UnrecognizedClientException" {
			t.Errorf("prod/a: %s", got)
		}
	})
}

// shell runs a script with the binary's path in $LOCKSTEP.
func (r *rig) shell(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script) // #nosec G204 -- a test's own script
	cmd.Env = append(cmd.Environ(), "LOCKSTEP="+r.server.Binary, "LOCKSTEP_DATA_DIR="+r.server.DataDir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// form sends a signed form with exactly this body.
func (r *rig) form(key admin.NewAccessKey, body string) string {
	return r.signed(key, body, "sts", http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}})
}
