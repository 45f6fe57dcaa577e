package auth_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/auth"
	"lockstep/auth/policy"
	"lockstep/auth/sigv4"
	"lockstep/store"
)

const annARN = "arn:aws:iam::" + account + ":user/ann"

func doc(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func allow(resource string) string {
	return `{"Effect":"Allow","Action":"secretsmanager:Get*","Resource":"` + resource + `"}`
}

func secrets(rest string) string {
	return "arn:aws:secretsmanager:us-east-1:" + account + ":secret:" + rest
}

func identity(t *testing.T, documents ...string) *auth.Access {
	t.Helper()
	a := &auth.Access{Tags: []lockstep.Tag{{Key: "team", Value: "pay"}}}
	for _, d := range documents {
		p, err := policy.Parse(d, policy.IdentityPolicy)
		must(t, err)
		a.Identity = append(a.Identity, p)
	}
	return a
}

// verified is a verifier that finds every token good.
type verified struct{ auth.Principal }

func (v verified) VerifyLoginToken(context.Context, string, string) (sigv4.Login[auth.Principal], error) {
	return sigv4.Login[auth.Principal]{Principal: v.Principal, Region: "us-east-1"}, nil
}

func TestSubjects(t *testing.T) {
	const here = "lockstep.event." + account + ".us-east-1."
	deny := func(resource, condition string) string {
		return `{"Effect":"Deny","Action":"*","Resource":"` + resource + `"` + condition + `}`
	}
	boundary := func(resource string) func(*auth.Access) {
		return func(a *auth.Access) { a.Boundary = identity(t, doc(allow(resource))).Identity[0] }
	}
	for _, c := range []struct {
		name   string
		policy string
		edit   func(*auth.Access)
		want   []string
	}{
		{"nothing", doc(`{"Effect":"Allow","Action":"secretsmanager:ListSecrets","Resource":"*"}`), nil, nil},
		{"everything", doc(allow("*")), nil, []string{"lockstep.event." + account + ".*.>"}},
		{"every secret of a region", doc(allow(secrets("*"))), nil, []string{here + ">"}},
		{"every region", doc(allow("arn:aws:secretsmanager:*:" + account + ":secret:p/*")), nil, []string{"lockstep.event." + account + ".*.*.*.p.>"}},
		{"any account", doc(allow("arn:aws:secretsmanager:us-east-1:*:secret:p/*")), nil, []string{here + "*.*.p.>"}},
		{"another account", doc(allow("arn:aws:secretsmanager:us-east-1:111111111111:secret:p/*")), nil, nil},
		{"a folder", doc(allow(secrets("prod/db/*"))), nil, []string{here + "*.*.prod.db.>"}},
		{"a prefix inside a part", doc(allow(secrets("prod/db*"))), nil, []string{here + "*.*.prod.db", here + "*.*.prod.db.>"}},
		{"a name, its suffix open", doc(allow(secrets("prod/db-*"))), nil, []string{here + "*.*.prod.db"}},
		{"a name, its suffix counted", doc(allow(secrets("prod/db-??????"))), nil, []string{here + "*.*.prod.db"}},
		{"a whole ARN", doc(allow(secrets("prod/db-AbCdEf"))), nil, []string{here + "*.*.prod.db"}},
		{"a name without its suffix", doc(allow(secrets("prod/db"))), nil, nil},
		{"a dot is escaped", doc(allow(secrets("a.b/*"))), nil, []string{here + "*.*.a%2Eb.>"}},
		{"a wildcard of NATS", doc(allow(secrets(">/*"))), nil, []string{here + "*.*.%3E.>"}},
		{"a star in the middle", doc(allow(secrets("*/db-??????"))), nil, nil},
		{"the user's name", doc(allow(secrets("${aws:username}/*"))), nil, []string{here + "*.*.ann.>"}},
		{"the user's tag", doc(allow(secrets("${aws:PrincipalTag/team}/*"))), nil, []string{here + "*.*.pay.>"}},
		{"a variable without a value", doc(allow(secrets("${aws:PrincipalTag/no}/*"))), nil, nil},
		{"with a condition", doc(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/a":"b"}}}`), nil, nil},
		{"all but", doc(`{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::x"}`), nil, nil},
		{"a deny elsewhere", doc(allow(secrets("p/*")), deny(secrets("q/*"), "")), nil, []string{here + "*.*.p.>"}},
		{"a deny inside", doc(allow(secrets("p/*")), deny(secrets("p/x-*"), "")), nil, nil},
		{"a deny around", doc(allow(secrets("p/x-*")), deny(secrets("p/*"), "")), nil, nil},
		{"a deny that may not hold", doc(allow(secrets("p/*")), deny("*", `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}`)), nil, nil},
		{"a boundary around", doc(allow(secrets("p/x/*"))), boundary(secrets("p/*")), []string{here + "*.*.p.x.>"}},
		{"a boundary inside", doc(allow(secrets("p/*"))), boundary(secrets("p/x/*")), nil},
	} {
		access := identity(t, c.policy)
		if c.edit != nil {
			c.edit(access)
		}
		a, err := auth.NewLoginAuthorizer(verified{auth.Principal{ARN: annARN, Account: account, Name: "ann", Access: access}}, "here", nil)
		must(t, err)
		l, err := a.Login(t.Context(), "token")
		must(t, err)
		if !slices.Equal(l.Subscribe, c.want) {
			t.Errorf("%s: %q, want %q", c.name, l.Subscribe, c.want)
		}
	}
}

func TestPoliciesOf(t *testing.T) {
	st, ks := open(t)
	now := time.Unix(1_700_000_000, 0)
	policies := auth.NewPolicies(auth.PoliciesConfig{Store: st, Now: func() time.Time { return now }})
	var reached []string
	ids, err := auth.NewIdentities(auth.IdentitiesConfig{Store: st, Sealer: ks, Changed: func(users []string) { reached = users }})
	must(t, err)
	ctx := t.Context()
	count := func(arn string) int {
		t.Helper()
		a, err := policies.Of(ctx, arn)
		must(t, err)
		return len(a.Identity)
	}
	must(t, ids.CreateUser(ctx, auth.UserSpec{Account: account, Name: "ann"}))
	must(t, ids.CreateGroup(ctx, account, "g"))
	must(t, ids.AddMember(ctx, account, "g", "ann"))
	must(t, ids.CreatePolicy(ctx, auth.PolicySpec{Account: account, Name: "p", Document: doc(allow("*"))}))
	if count(annARN) != 0 {
		t.Error("a user without a policy has one")
	}
	must(t, ids.Attach(ctx, auth.Attachment{Account: account, Policy: "p", Kind: auth.KindGroup, Holder: "g"}))
	if !slices.Contains(reached, annARN) {
		t.Errorf("the change reached %q", reached)
	}
	// As on a node that was told nothing: the change shows after two seconds.
	if count(annARN) != 0 {
		t.Error("the cache holds nothing")
	}
	now = now.Add(2 * time.Second)
	if count(annARN) != 1 {
		t.Error("a change is not seen after the cache's time")
	}
	must(t, ids.Attach(ctx, auth.Attachment{Account: account, Policy: "p", Kind: auth.KindUser, Holder: "ann"}))
	policies.Forget()
	if count(annARN) != 2 {
		t.Error("a change is not seen after Forget")
	}
	if _, err := policies.Of(ctx, annARN+"x"); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if a, err := policies.Of(ctx, auth.RootARN(account)); a != nil || err != nil {
		t.Errorf("root: %v %v", a, err)
	}
	must(t, ids.CreateRole(ctx, auth.RoleSpec{Account: account, Name: "r", Trust: doc(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}`)}))
	must(t, ids.Attach(ctx, auth.Attachment{Account: account, Policy: "p", Kind: auth.KindRole, Holder: "r"}))
	if count("arn:aws:iam::"+account+":role/r") != 1 {
		t.Error("a role's policies are not found")
	}
	// A stored policy that cannot be read lets nobody in on the others.
	must(t, st.Update(ctx, func(tx store.Tx) error {
		return tx.SavePolicy(&store.Policy{ARN: auth.IdentityARN(account, auth.KindPolicy, "p"), Document: "{"})
	}))
	policies.Forget()
	if _, err := policies.Of(ctx, annARN); err == nil {
		t.Error("an unreadable policy is passed over")
	}
}

func TestRolesEvaluate(t *testing.T) {
	secret := &lockstep.Secret{ARN: lockstep.ARN(secrets("x-abcdef")), Account: account, Region: "us-east-1"}
	session := auth.Principal{ARN: "arn:aws:sts::" + account + ":assumed-role/r/s", Account: account}
	session.Access = identity(t, doc(allow("*")))
	session.Access.RoleARN = "arn:aws:iam::" + account + ":role/r"
	guard := auth.NewGuard(nil)
	ask := func() error {
		return guard.Authorize(t.Context(), auth.Question{
			Caller: auth.Caller{Principal: session}, Action: "secretsmanager:GetSecretValue", Resource: string(secret.ARN), Secret: secret,
		})
	}
	must(t, ask())
	for what, resource := range map[string]string{
		"the session": "arn:aws:sts::" + account + ":assumed-role/r/s", "the role": session.Access.RoleARN,
	} {
		secret.ResourcePolicy = doc(`{"Effect":"Deny","Principal":{"AWS":"` + resource + `"},"Action":"*","Resource":"*"}`)
		if err := ask(); !errors.Is(err, lockstep.ErrDenied) || !strings.Contains(err.Error(), "explicit deny in a resource-based policy") {
			t.Errorf("a deny of %s: %v", what, err)
		}
	}
	secret.ResourcePolicy = "{"
	if err := ask(); err == nil || errors.Is(err, lockstep.ErrDenied) {
		t.Errorf("an unreadable resource policy: %v", err)
	}
	session = auth.Principal{ARN: auth.RootARN(account), Account: account}
	must(t, ask())
}
