package policy_test

import (
	"strings"
	"testing"

	"lockstep/auth/policy"
)

// parts are the policies that the table of TestLogic puts together, by name.
// Identity, boundary and session policies share a form.
var parts = map[string]string{
	"get":      `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}`,
	"all":      `{"Effect":"Allow","Action":"*","Resource":"*"}`,
	"put":      `{"Effect":"Allow","Action":"secretsmanager:PutSecretValue","Resource":"*"}`,
	"deny":     `{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"*"}`,
	"denyput":  `{"Effect":"Deny","Action":"secretsmanager:PutSecretValue","Resource":"*"}`,
	"all-deny": `{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"no","Effect":"Deny","Action":"*:*","Resource":"*"}`,

	"r:alice":     `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/team/alice"},"Action":"*","Resource":"*"}`,
	"r:role":      `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/app/api"},"Action":"*","Resource":"*"}`,
	"r:session":   `{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/api/pod-7"},"Action":"*","Resource":"*"}`,
	"r:account":   `{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}`,
	"r:everyone":  `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`,
	"r:carol":     `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:user/carol"},"Action":"*","Resource":"*"}`,
	"r:other":     `{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"*","Resource":"*"}`,
	"r:otherrole": `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/ci"},"Action":"*","Resource":"*"}`,
	"r:put":       `{"Effect":"Allow","Principal":"*","Action":"secretsmanager:PutSecretValue","Resource":"*"}`,
	"r:deny":      `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`,
	"r:denyalice": `{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/team/alice"},"Action":"*","Resource":"*"}`,
	"r:denyrole":  `{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:role/app/api"},"Action":"*","Resource":"*"}`,
	"r:denyacct":  `{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}`,
	"r:both":      `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`,
	"r:svc":       `{"Effect":"Allow","Principal":{"Service":"secretsmanager.amazonaws.com"},"Action":"*","Resource":"*"}`,
}

func part(t *testing.T, name string) *policy.Policy {
	t.Helper()
	kind := policy.IdentityPolicy
	if strings.HasPrefix(name, "r:") {
		kind = policy.ResourcePolicy
	}
	text, ok := parts[name]
	if !ok {
		t.Fatalf("no policy %q", name)
	}
	return mustParse(t, document(strings.Replace(text, `"*:*"`, `"secretsmanager:*"`, 1)), kind)
}

// set reads "identity=get,put boundary=all session=get resource=r:alice rule=must".
func set(t *testing.T, text string) policy.Set {
	var s policy.Set
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "-":
		case "identity":
			for p := range strings.SplitSeq(value, ",") {
				s.Identity = append(s.Identity, part(t, p))
			}
		case "session":
			for p := range strings.SplitSeq(value, ",") {
				s.Session = append(s.Session, part(t, p))
			}
		case "boundary":
			s.Boundary = part(t, value)
		case "resource":
			s.Resource = part(t, value)
		case "rule":
			s.Rule = policy.ResourceMustAllow
		default:
			t.Fatalf("unknown part %q", word)
		}
	}
	return s
}

// TestLogic is AWS's evaluation logic for GetSecretValue on a secret of the
// home account. The third column says what decided.
func TestLogic(t *testing.T) {
	sources := map[policy.Source]string{
		policy.FromIdentity: "identity", policy.FromResource: "resource", policy.FromBoundary: "boundary", policy.FromSession: "session",
	}
	for _, row := range rows(t, `
		# One account, no resource policy: the identity policies decide.
		none  | alice | identity | -
		allow | alice | identity | identity=get
		allow | alice | identity | identity=all
		none  | alice | identity | identity=put
		allow | alice | identity | identity=put,get
		deny  | alice | identity | identity=deny
		deny  | alice | identity | identity=get,deny
		deny  | alice | identity | identity=deny,get
		deny  | alice | identity | identity=all-deny
		allow | alice | identity | identity=get,denyput
		allow | session | identity | identity=get
		none  | session | identity | identity=put

		# One account: identity and resource policies add up.
		allow | alice | resource | resource=r:alice
		allow | alice | resource | identity=put resource=r:alice
		allow | alice | identity | identity=get resource=r:put
		none  | alice | identity | identity=put resource=r:put
		none  | bob   | identity | resource=r:alice
		allow | bob   | identity | identity=get resource=r:alice
		allow | alice | resource | resource=r:everyone
		none  | alice | identity | resource=r:account
		allow | alice | identity | identity=get resource=r:account

		# An explicit deny beats any allow, wherever it stands.
		deny  | alice | resource | identity=get resource=r:deny
		deny  | alice | resource | identity=all resource=r:denyalice
		allow | bob   | identity | identity=all resource=r:denyalice
		deny  | alice | resource | identity=all resource=r:denyacct
		deny  | alice | resource | resource=r:both
		deny  | alice | identity | identity=deny resource=r:alice
		deny  | alice | boundary | identity=get boundary=deny
		deny  | alice | boundary | identity=get boundary=deny resource=r:alice
		deny  | session | session | identity=get session=deny
		deny  | session | session | identity=get session=deny resource=r:session
		deny  | session | resource | identity=all resource=r:denyrole

		# A boundary never grants; it narrows.
		none  | alice | identity | boundary=all
		allow | alice | identity | identity=get boundary=all
		allow | alice | identity | identity=all boundary=get
		none  | alice | boundary | identity=get boundary=put
		# … but not what a resource policy gives to the user itself.
		allow | alice | resource | boundary=put resource=r:alice
		none  | alice | boundary | boundary=put resource=r:everyone
		none  | alice | identity | boundary=get resource=r:account
		allow | alice | resource | boundary=get resource=r:everyone

		# Session policies narrow too.
		none  | session | identity | session=all
		allow | session | identity | identity=get session=get
		none  | session | session | identity=get session=put
		allow | session | identity | identity=get session=put,get
		none  | session | session | identity=all boundary=all session=put
		none  | session | boundary | identity=all boundary=put session=get
		allow | session | identity | identity=all boundary=all session=all
		# A grant to the role is narrowed by boundary and session policy …
		allow | session | resource | resource=r:role
		none  | session | boundary | boundary=put resource=r:role
		none  | session | session | session=put resource=r:role
		allow | session | resource | boundary=get session=get resource=r:role
		none  | session | session | session=put resource=r:everyone
		# … a grant to the session is not.
		allow | session | resource | resource=r:session
		allow | session | resource | boundary=put session=put resource=r:session
		none  | session8 | identity | resource=r:session
		none  | alice | identity | resource=r:role

		# The account's root needs no identity policy, but obeys a deny.
		allow | root | identity | -
		allow | root | identity | resource=r:alice
		deny  | root | resource | resource=r:deny
		deny  | root | resource | resource=r:denyacct

		# Another account: both sides must allow.
		none  | carol | identity | -
		none  | carol | resource | identity=get
		none  | carol | identity | resource=r:carol
		allow | carol | resource | identity=get resource=r:carol
		allow | carol | resource | identity=get resource=r:other
		allow | carol | resource | identity=get resource=r:everyone
		none  | carol | resource | identity=get resource=r:alice
		none  | carol | resource | identity=get resource=r:put
		none  | carol | identity | identity=put resource=r:carol
		none  | carol | boundary | identity=get boundary=put resource=r:carol
		allow | carol | resource | identity=get boundary=get resource=r:carol
		deny  | carol | identity | identity=get,deny resource=r:carol
		deny  | carol | resource | identity=get resource=r:deny
		allow | othersess | resource | identity=get resource=r:otherrole
		allow | othersess | resource | identity=get resource=r:other
		none  | othersess | session | identity=get session=put resource=r:otherrole
		none  | othersess | identity | resource=r:otherrole
		none  | otherroot | resource | -
		allow | otherroot | resource | resource=r:other
		none  | otherroot | resource | resource=r:account

		# Principals without identity policies.
		none  | anonymous | resource | -
		allow | anonymous | resource | resource=r:everyone
		none  | anonymous | resource | resource=r:account
		deny  | anonymous | resource | resource=r:both
		none  | service | resource | resource=r:account
		allow | service | resource | resource=r:svc
		allow | service | resource | resource=r:everyone

		# Keys and roles: nothing goes without the resource policy.
		none  | alice | resource | identity=all rule=must
		none  | root  | resource | rule=must
		none  | alice | resource | identity=all resource=r:put rule=must
		allow | alice | identity | identity=get resource=r:account rule=must
		none  | alice | identity | resource=r:account rule=must
		allow | root  | resource | resource=r:account rule=must
		allow | alice | resource | resource=r:alice rule=must
		allow | session | resource | resource=r:role rule=must
		none  | session | session | session=put resource=r:role rule=must
		deny  | alice | resource | identity=all resource=r:both rule=must
		none  | alice | boundary | identity=get boundary=put resource=r:account rule=must
		allow | carol | resource | identity=get resource=r:other rule=must
		none  | carol | resource | identity=get resource=r:account rule=must
	`, 4) {
		request := policy.Request{Principal: principal(t, row[1]), Action: get, Resource: secret}
		d := policy.Evaluate(request, set(t, row[3]))
		if got := verdict(d) + " by " + sources[d.Source]; got != row[0]+" by "+row[2] {
			t.Errorf("%s with %s: got %s, want %s by %s", row[1], row[3], got, row[0], row[2])
		}
	}
}

func TestResourceAccount(t *testing.T) {
	identity := []*policy.Policy{part(t, "all")}
	for _, tt := range []struct {
		name, principal, resource, account string
		want                               string
	}{
		{"of the ARN", "alice", secret, "", "allow"},
		{"of the ARN, another's", "carol", secret, "", "none"},
		{"no resource in particular", "carol", "*", "", "allow"},
		{"given", "alice", "*", other, "none"},
		{"given against the ARN", "carol", secret, other, "allow"},
	} {
		d := policy.Evaluate(policy.Request{Principal: principal(t, tt.principal), Action: get, Resource: tt.resource, ResourceAccount: tt.account},
			policy.Set{Identity: identity})
		if got := verdict(d); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestMessages(t *testing.T) {
	trust := mustParse(t, document(`{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole"}`), policy.TrustPolicy)
	noTrust := mustParse(t, document(`{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}`), policy.TrustPolicy)
	onSecret := "User: " + alice + " is not authorized to perform: secretsmanager:GetSecretValue on resource: " + secret
	for _, tt := range []struct {
		name, principal, action, resource string
		set                               policy.Set
		want                              string
	}{
		{"identity", "alice", get, secret, set(t, "-"), onSecret + " because no identity-based policy allows the secretsmanager:GetSecretValue action"},
		{"identity deny", "alice", get, secret, set(t, "identity=deny"), onSecret + " with an explicit deny in an identity-based policy"},
		{"resource deny", "alice", get, secret, set(t, "resource=r:deny"), onSecret + " with an explicit deny in a resource-based policy"},
		{"boundary", "alice", get, secret, set(t, "identity=get boundary=put"), onSecret + " because no permissions boundary allows the secretsmanager:GetSecretValue action"},
		{"boundary deny", "alice", get, secret, set(t, "boundary=deny"), onSecret + " with an explicit deny in a permissions boundary"},
		{"session", "session", get, secret, set(t, "identity=get session=put"), "User: " + sessArn + " is not authorized to perform: secretsmanager:GetSecretValue on resource: " + secret + " because no session policy allows the secretsmanager:GetSecretValue action"},
		{"session deny", "session", get, secret, set(t, "session=deny"), "User: " + sessArn + " is not authorized to perform: secretsmanager:GetSecretValue on resource: " + secret + " with an explicit deny in a session policy"},
		{"other account", "carol", get, secret, set(t, "identity=get"), "User: arn:aws:iam::444455556666:user/carol is not authorized to perform: secretsmanager:GetSecretValue on resource: " + secret + " because no resource-based policy allows the secretsmanager:GetSecretValue action"},
		{"no resource", "alice", "secretsmanager:ListSecrets", "*", set(t, "-"), "User: " + alice + " is not authorized to perform: secretsmanager:ListSecrets because no identity-based policy allows the secretsmanager:ListSecrets action"},
		{"trust", "alice", "sts:AssumeRole", role, policy.Set{Resource: trust, Rule: policy.ResourceMustAllow}, "User: " + alice + " is not authorized to perform: sts:AssumeRole on resource: " + role + " because no role trust policy allows the sts:AssumeRole action"},
		{"trust deny", "alice", "sts:AssumeRole", role, policy.Set{Resource: noTrust, Rule: policy.ResourceMustAllow}, "User: " + alice + " is not authorized to perform: sts:AssumeRole on resource: " + role + " with an explicit deny in the role trust policy"},
		{"anonymous", "anonymous", get, secret, set(t, "-"), "User: anonymous is not authorized to perform: secretsmanager:GetSecretValue on resource: " + secret + " because no resource-based policy allows the secretsmanager:GetSecretValue action"},
		{"allowed", "alice", get, secret, set(t, "identity=get"), ""},
	} {
		d := policy.Evaluate(policy.Request{Principal: principal(t, tt.principal), Action: tt.action, Resource: tt.resource}, tt.set)
		if got := d.Message(); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestDecisionNamesTheStatement(t *testing.T) {
	d := policy.Evaluate(policy.Request{Principal: principal(t, "alice"), Action: get, Resource: secret}, set(t, "identity=all-deny"))
	if got := d.Statement; got.Number != 2 || got.String() != `"no"` {
		t.Errorf("got %+v", got)
	}
	d = policy.Evaluate(policy.Request{Principal: principal(t, "alice"), Action: get, Resource: secret}, set(t, "identity=get"))
	if got := d.Statement.String(); got != "statement 1" {
		t.Errorf("got %s", got)
	}
	if (policy.Decision{}).Allowed() {
		t.Error("the zero Decision allows")
	}
}

func TestTrust(t *testing.T) {
	p := mustParse(t, document(`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/idp.example.com"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"idp.example.com:aud":"sts.amazonaws.com"},
		"StringLike":{"idp.example.com:sub":"system:serviceaccount:prod:*"}}}`), policy.TrustPolicy)
	for ctx, want := range map[string]string{
		"idp.example.com:aud=sts.amazonaws.com;idp.example.com:sub=system:serviceaccount:prod:api": "allow",
		"idp.example.com:aud=sts.amazonaws.com;idp.example.com:sub=system:serviceaccount:dev:api":  "none",
		"idp.example.com:sub=system:serviceaccount:prod:api":                                       "none",
	} {
		d := policy.Evaluate(policy.Request{Principal: principal(t, "webidentity"), Action: "sts:AssumeRoleWithWebIdentity", Resource: role, Context: context(ctx)},
			policy.Set{Resource: p, Rule: policy.ResourceMustAllow})
		if got := verdict(d); got != want {
			t.Errorf("%s: got %s, want %s", ctx, got, want)
		}
	}
}
