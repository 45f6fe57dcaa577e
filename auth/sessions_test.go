package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/auth"
	"lockstep/store"
)

const opsARN = "arn:aws:iam::" + account + ":role/ops"

// desk is Sessions over a store with one role.
type desk struct {
	*auth.Sessions
	t          *testing.T
	now        time.Time
	policies   *auth.Policies
	identities *auth.Identities
	guard      auth.Guard
}

const anyoneTrusts = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

func openDesk(t *testing.T) *desk {
	t.Helper()
	st, ks := open(t)
	d := &desk{t: t, now: time.Now().UTC().Truncate(time.Second), guard: auth.NewGuard(nil)}
	clock := func() time.Time { return d.now }
	d.policies = auth.NewPolicies(auth.PoliciesConfig{Store: st, Now: clock})
	var err error
	d.identities, err = auth.NewIdentities(auth.IdentitiesConfig{Store: st, Sealer: ks, Changed: func([]string) { d.policies.Forget() }})
	must(t, err)
	must(t, d.identities.CreateRole(t.Context(), auth.RoleSpec{Account: account, Name: "ops", Trust: anyoneTrusts, Tags: []lockstep.Tag{{Key: "Team", Value: "role"}, {Key: "site", Value: "x"}}}))
	must(t, d.identities.CreatePolicy(t.Context(), auth.PolicySpec{Account: account, Name: "read", Document: doc(allow(secrets("prod/*")))}))
	must(t, d.identities.Attach(t.Context(), auth.Attachment{Account: account, Policy: "read", Kind: auth.KindRole, Holder: "ops"}))
	d.Sessions, err = auth.NewSessions(auth.SessionsConfig{Key: ks.Derive("sessions"), Policies: d.policies, Now: clock})
	must(t, err)
	return d
}

func (d *desk) mint(spec auth.SessionSpec) auth.Session {
	d.t.Helper()
	spec.Account = account
	if spec.Name == "" {
		spec.Name = "me"
	}
	if spec.Lifetime == 0 {
		spec.Lifetime = time.Hour
	}
	s, err := d.Mint(d.t.Context(), spec)
	must(d.t, err)
	return s
}

func (d *desk) principal(s auth.Session) auth.Principal {
	d.t.Helper()
	c, err := d.SessionKey(d.t.Context(), s.AccessKeyID, s.SessionToken)
	must(d.t, err)
	if !c.SecretKey.Equal(s.SecretKey) || !c.Expires.Equal(s.Expires) || c.Principal.ARN != s.ARN {
		d.t.Errorf("the session %s is known as %s, until %s", s.ARN, c.Principal.ARN, c.Expires)
	}
	return c.Principal
}

func (d *desk) may(p auth.Principal, secret *lockstep.Secret) error {
	return d.guard.Authorize(d.t.Context(), auth.Question{
		Caller: auth.Caller{Principal: p, Region: "us-east-1"}, Action: "secretsmanager:GetSecretValue",
		Resource: string(secret.ARN), Secret: secret,
	})
}

func secretAt(name, resourcePolicy string) *lockstep.Secret {
	return &lockstep.Secret{Account: account, Region: "us-east-1", Name: name, ARN: lockstep.ARN(secrets(name + "-AbCdEf")), ResourcePolicy: resourcePolicy}
}

func TestSessionOfARole(t *testing.T) {
	d := openDesk(t)
	s := d.mint(auth.SessionSpec{RoleARN: opsARN, Tags: []lockstep.Tag{{Key: "team", Value: "own"}}})
	p := d.principal(s)
	if s.ARN != "arn:aws:sts::"+account+":assumed-role/ops/me" || !strings.HasPrefix(s.ID, "AROA") || !strings.HasSuffix(s.ID, ":me") {
		t.Errorf("principal %s, id %s", s.ARN, s.ID)
	}
	if !strings.HasPrefix(s.AccessKeyID, "ASIA") || len(s.SecretKey.Bytes()) != 40 {
		t.Errorf("key %s with a secret of %d bytes", s.AccessKeyID, len(s.SecretKey.Bytes()))
	}
	must(t, d.may(p, secretAt("prod/a", "")))
	if err := d.may(p, secretAt("test/a", "")); !errors.Is(err, lockstep.ErrDenied) {
		t.Errorf("outside the role's policies: %v", err)
	}
	tags := map[string]string{}
	for _, tag := range p.Access.Tags {
		tags[strings.ToLower(tag.Key)] = tag.Value
	}
	if tags["team"] != "own" || tags["site"] != "x" {
		t.Errorf("tags %v: the session's outrank the role's", tags)
	}
}

func TestSessionPolicyBounds(t *testing.T) {
	d := openDesk(t)
	p := d.principal(d.mint(auth.SessionSpec{RoleARN: opsARN, Policies: []string{doc(allow(secrets("*/a-*")))}}))
	must(t, d.may(p, secretAt("prod/a", "")))
	for _, name := range []string{"prod/b", "test/a"} {
		if err := d.may(p, secretAt(name, "")); !errors.Is(err, lockstep.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSessionWithoutARole is what a rotation step gets: its policy is all that
// it may, also where a resource policy lets everyone in.
func TestSessionWithoutARole(t *testing.T) {
	d := openDesk(t)
	bound := &auth.Binding{Secret: 7, Version: "v", Run: "run-1", Fence: 3}
	p := d.principal(d.mint(auth.SessionSpec{Policies: []string{doc(allow(secrets("prod/a-AbCdEf")))}, Binding: bound, Lifetime: time.Minute}))
	if p.Session.Binding == nil || *p.Session.Binding != *bound {
		t.Errorf("bound to %v", p.Session.Binding)
	}
	open := doc(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`)
	must(t, d.may(p, secretAt("prod/a", "")))
	for _, s := range []*lockstep.Secret{secretAt("prod/b", ""), secretAt("prod/b", open)} {
		if err := d.may(p, s); !errors.Is(err, lockstep.ErrDenied) {
			t.Errorf("%s with policy %q: %v", s.Name, s.ResourcePolicy, err)
		}
	}
}

func TestSessionTokens(t *testing.T) {
	d := openDesk(t)
	s, other := d.mint(auth.SessionSpec{RoleARN: opsARN}), d.mint(auth.SessionSpec{RoleARN: opsARN})
	for name, pair := range map[string][2]string{
		"another key's token": {s.AccessKeyID, other.SessionToken},
		"a changed token":     {s.AccessKeyID, s.SessionToken[:len(s.SessionToken)-2] + "AA"},
		"a cut token":         {s.AccessKeyID, s.SessionToken[:20]},
		"no base64":           {s.AccessKeyID, "###"},
		"nothing":             {s.AccessKeyID, ""},
		"a long-term key":     {"AKIA" + s.AccessKeyID[4:], s.SessionToken},
	} {
		if _, err := d.SessionKey(t.Context(), pair[0], pair[1]); !errors.Is(err, lockstep.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, d.identities.DeleteRole(t.Context(), account, "ops"))
	if _, err := d.SessionKey(t.Context(), s.AccessKeyID, s.SessionToken); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("after its role was deleted: %v", err)
	}
	must(t, d.identities.CreateRole(t.Context(), auth.RoleSpec{Account: account, Name: "ops", Trust: anyoneTrusts}))
	if _, err := d.SessionKey(t.Context(), s.AccessKeyID, s.SessionToken); !errors.Is(err, lockstep.ErrNotFound) {
		t.Errorf("a role made again under its name revived it: %v", err)
	}
}

func TestSessionsRefuse(t *testing.T) {
	d := openDesk(t)
	for name, c := range map[string]struct {
		spec auth.SessionSpec
		kind error
	}{
		"a short name":            {auth.SessionSpec{RoleARN: opsARN, Name: "x", Lifetime: time.Hour}, lockstep.ErrInvalid},
		"a name with a slash":     {auth.SessionSpec{RoleARN: opsARN, Name: "a/b", Lifetime: time.Hour}, lockstep.ErrInvalid},
		"no lifetime":             {auth.SessionSpec{RoleARN: opsARN, Name: "me"}, lockstep.ErrInvalid},
		"a day":                   {auth.SessionSpec{RoleARN: opsARN, Name: "me", Lifetime: 24 * time.Hour}, lockstep.ErrInvalid},
		"neither role nor policy": {auth.SessionSpec{Name: "me", Lifetime: time.Hour}, lockstep.ErrInvalid},
		"no policy document":      {auth.SessionSpec{RoleARN: opsARN, Name: "me", Lifetime: time.Hour, Policies: []string{"{"}}, lockstep.ErrInvalid},
		"a reserved tag":          {auth.SessionSpec{RoleARN: opsARN, Name: "me", Lifetime: time.Hour, Tags: []lockstep.Tag{{Key: "aws:x"}}}, lockstep.ErrInvalid},
		"no such role":            {auth.SessionSpec{RoleARN: opsARN + "2", Name: "me", Lifetime: time.Hour}, lockstep.ErrNotFound},
	} {
		if _, err := d.Mint(t.Context(), c.spec); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := auth.NewSessions(auth.SessionsConfig{}); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("without a key: %v", err)
	}
}

func TestAssume(t *testing.T) {
	d := openDesk(t)
	must(t, d.identities.CreateUser(t.Context(), auth.UserSpec{Account: account, Name: "ann"}))
	grant := func(statement string) *auth.Access { return identity(t, doc(statement)) }
	assume := grant(`{"Effect":"Allow","Action":"sts:*","Resource":"` + opsARN + `"}`)
	trust := func(statement string) string { return doc(statement) }
	ann := trust(`{"Effect":"Allow","Principal":{"AWS":"` + annARN + `"},"Action":"sts:AssumeRole"}`)
	external := trust(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"42"}}}`)
	byName := trust(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:RoleSessionName":"${aws:username}"}}}`)
	denied := trust(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:*"},{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"Null":{"aws:PrincipalTag/team":"false"}}}`)
	tags := []lockstep.Tag{{Key: "team", Value: "x"}}
	for _, c := range []struct {
		name   string
		access *auth.Access
		in     auth.AssumeInput
		want   error
	}{
		{"both allow", assume, auth.AssumeInput{Trust: anyoneTrusts}, nil},
		{"the trust policy names the user: no policy of hers is needed", grant(allow("*")), auth.AssumeInput{Trust: ann}, nil},
		{"the trust policy names the account alone", grant(allow("*")), auth.AssumeInput{Trust: anyoneTrusts}, lockstep.ErrDenied},
		{"hers allows, the trust policy another", assume, auth.AssumeInput{Trust: strings.ReplaceAll(ann, "ann", "bob")}, lockstep.ErrDenied},
		{"a role that is not there", assume, auth.AssumeInput{}, lockstep.ErrDenied},
		{"the external id", assume, auth.AssumeInput{Trust: external, ExternalID: "42"}, nil},
		{"another external id", assume, auth.AssumeInput{Trust: external, ExternalID: "41"}, lockstep.ErrDenied},
		{"no external id", assume, auth.AssumeInput{Trust: external}, lockstep.ErrDenied},
		{"her own name as the session's", assume, auth.AssumeInput{Trust: byName, Session: auth.SessionSpec{Name: "ann"}}, nil},
		{"another name as the session's", assume, auth.AssumeInput{Trust: byName}, lockstep.ErrDenied},
		{"an explicit deny", assume, auth.AssumeInput{Trust: denied}, lockstep.ErrDenied},
		{"tags, allowed", assume, auth.AssumeInput{Trust: anyoneTrusts, Session: auth.SessionSpec{Tags: tags}}, nil},
		{"tags without sts:TagSession", assume, auth.AssumeInput{Trust: ann, Session: auth.SessionSpec{Tags: tags}}, lockstep.ErrDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.RoleARN, c.in.Session.Account, c.in.Session.Lifetime = opsARN, account, time.Hour
			if c.in.Session.Name == "" {
				c.in.Session.Name = "me"
			}
			caller := auth.Caller{Principal: auth.Principal{ARN: annARN, Account: account, Name: "ann", Access: c.access}, Region: "us-east-1"}
			s, err := d.Assume(t.Context(), d.guard, caller, c.in)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil {
				d.principal(s)
			}
		})
	}
}

// TestRoleChaining: a session that assumes a role has an hour at most, and
// hands its transitive tags on.
func TestRoleChaining(t *testing.T) {
	d := openDesk(t)
	first := d.principal(d.mint(auth.SessionSpec{RoleARN: opsARN, Tags: []lockstep.Tag{{Key: "cost", Value: "7"}, {Key: "own", Value: "8"}}, Transitive: []string{"cost"}}))
	caller := auth.Caller{Principal: first, Region: "us-east-1"}
	trust := doc(`{"Effect":"Allow","Principal":{"AWS":"` + opsARN + `"},"Action":["sts:AssumeRole","sts:TagSession"]}`)
	in := auth.AssumeInput{RoleARN: opsARN, Trust: trust, Session: auth.SessionSpec{Account: account, Name: "next", Lifetime: 2 * time.Hour}}
	if _, err := d.Assume(t.Context(), d.guard, caller, in); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("two hours: %v", err)
	}
	in.Session.Lifetime = time.Hour
	s, err := d.Assume(t.Context(), d.guard, caller, in)
	must(t, err)
	next := d.principal(s)
	if got := next.Session.Tags; len(got) != 1 || got[0].Value != "7" || len(next.Session.Transitive) != 1 {
		t.Errorf("inherited %v, of them transitive %v", got, next.Session.Transitive)
	}
	in.Session.Tags = []lockstep.Tag{{Key: "Cost", Value: "9"}}
	if _, err := d.Assume(t.Context(), d.guard, caller, in); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("a transitive tag replaced: %v", err)
	}
}

func FuzzSessionToken(f *testing.F) {
	st := store.Store(nil)
	p := auth.NewPolicies(auth.PoliciesConfig{Store: st})
	s, err := auth.NewSessions(auth.SessionsConfig{Key: make([]byte, 32), Policies: p})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ASIAAAAAAAAAAAAAAAAA", "x")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, token string) {
		if _, err := s.SessionKey(t.Context(), id, token); !errors.Is(err, lockstep.ErrNotFound) {
			t.Errorf("a made-up token: %v", err)
		}
	})
}
