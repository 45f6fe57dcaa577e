package policy_test

import (
	"strings"
	"testing"

	"lockstep/auth/policy"
)

const (
	home    = "111122223333"
	other   = "444455556666"
	alice   = "arn:aws:iam::111122223333:user/team/alice"
	role    = "arn:aws:iam::111122223333:role/app/api"
	sessArn = "arn:aws:sts::111122223333:assumed-role/api/pod-7"
	secret  = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db/orders-AbC1d2"
	get     = "secretsmanager:GetSecretValue"
)

func mustParse(t testing.TB, text string, kind policy.Kind) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(text, kind)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

// document wraps statements into a policy of the newer version.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// principals by name, as the tables write them.
func principal(t testing.TB, name string) policy.Principal {
	t.Helper()
	p, ok := map[string]policy.Principal{
		"alice":       {Kind: policy.User, ARN: alice, Account: home, ID: "AIDAALICE0000000000X", Name: "alice"},
		"bob":         {Kind: policy.User, ARN: "arn:aws:iam::111122223333:user/bob", Account: home, ID: "AIDABOB000000000000X", Name: "bob"},
		"session":     {Kind: policy.Session, ARN: sessArn, RoleARN: role, Account: home, ID: "AROAAPI000000000000X:pod-7"},
		"session8":    {Kind: policy.Session, ARN: "arn:aws:sts::111122223333:assumed-role/api/pod-8", RoleARN: role, Account: home, ID: "AROAAPI000000000000X:pod-8"},
		"root":        {Kind: policy.Root, ARN: "arn:aws:iam::111122223333:root", Account: home, ID: home},
		"carol":       {Kind: policy.User, ARN: "arn:aws:iam::444455556666:user/carol", Account: other, ID: "AIDACAROL0000000000X", Name: "carol"},
		"otherroot":   {Kind: policy.Root, ARN: "arn:aws:iam::444455556666:root", Account: other, ID: other},
		"othersess":   {Kind: policy.Session, ARN: "arn:aws:sts::444455556666:assumed-role/ci/run", RoleARN: "arn:aws:iam::444455556666:role/ci", Account: other, ID: "AROACI0000000000000X:run"},
		"service":     {Kind: policy.Service, ARN: "secretsmanager.amazonaws.com"},
		"webidentity": {Kind: policy.Federated, ARN: "arn:aws:iam::111122223333:oidc-provider/idp.example.com"},
		"anonymous":   {},
	}[name]
	if !ok {
		t.Fatalf("no principal %q", name)
	}
	return p
}

// rows reads a table: one case a line, columns between bars, blank lines and
// lines that begin with # left out.
func rows(t *testing.T, table string, columns int) [][]string {
	t.Helper()
	var out [][]string
	for line := range strings.SplitSeq(table, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, " | ")
		if len(cells) != columns {
			t.Fatalf("%d columns, want %d: %s", len(cells), columns, line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	return out
}

// context reads "aws:a=x,y; aws:b=z"; "-" is empty. "aws:e=" is one empty value.
func context(text string) policy.Context {
	var c policy.Context
	if text == "-" {
		return c
	}
	for pair := range strings.SplitSeq(text, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
		c.Set(k, strings.Split(v, ",")...)
	}
	return c
}

// verdict is how the tables write an outcome.
func verdict(d policy.Decision) string {
	return map[policy.Outcome]string{policy.Allowed: "allow", policy.ExplicitDeny: "deny", policy.ImplicitDeny: "none"}[d.Outcome]
}

func TestActions(t *testing.T) {
	for _, row := range rows(t, `
		allow | "Action":"secretsmanager:GetSecretValue"                        | secretsmanager:GetSecretValue
		allow | "Action":"*"                                                    | secretsmanager:GetSecretValue
		allow | "Action":"secretsmanager:*"                                     | secretsmanager:GetSecretValue
		allow | "Action":"secretsmanager:Get*"                                  | secretsmanager:GetSecretValue
		allow | "Action":"secretsmanager:*Value"                                | secretsmanager:GetSecretValue
		allow | "Action":"secretsmanager:*Secret*"                              | secretsmanager:GetSecretValue
		allow | "Action":"secretsmanager:G?tSecretValue"                        | secretsmanager:GetSecretValue
		allow | "Action":"secretsmanager:getsecretvalue"                        | secretsmanager:GetSecretValue
		allow | "Action":"SECRETSMANAGER:GETSECRETVALUE"                        | secretsmanager:GetSecretValue
		allow | "Action":"SecretsManager:GET*"                                  | secretsmanager:GetSecretValue
		allow | "Action":"secretsmanager:GetSecretValue"                        | SecretsManager:getSecretValue
		allow | "Action":["secretsmanager:PutSecretValue","secretsmanager:Get*"] | secretsmanager:GetSecretValue
		none  | "Action":"secretsmanager:GetSecret"                             | secretsmanager:GetSecretValue
		none  | "Action":"secretsmanager:GetSecretValues"                       | secretsmanager:GetSecretValue
		none  | "Action":"secretsmanager:etSecretValue"                         | secretsmanager:GetSecretValue
		none  | "Action":"secretsmanager:?GetSecretValue"                       | secretsmanager:GetSecretValue
		none  | "Action":"secretsmanager:GetSecretValue?"                       | secretsmanager:GetSecretValue
		none  | "Action":"secretsmanager:Put*"                                  | secretsmanager:GetSecretValue
		none  | "Action":"kms:*"                                                | secretsmanager:GetSecretValue
		none  | "Action":["kms:*","sts:*"]                                      | secretsmanager:GetSecretValue
		none  | "Action":"secretsmanager:*Describe*"                            | secretsmanager:GetSecretValue
		allow | "NotAction":"secretsmanager:PutSecretValue"                     | secretsmanager:GetSecretValue
		allow | "NotAction":"kms:*"                                             | secretsmanager:GetSecretValue
		allow | "NotAction":["kms:*","secretsmanager:Put*"]                     | secretsmanager:GetSecretValue
		none  | "NotAction":"secretsmanager:GetSecretValue"                     | secretsmanager:GetSecretValue
		none  | "NotAction":"secretsmanager:getsecretvalue"                     | secretsmanager:GetSecretValue
		none  | "NotAction":"secretsmanager:*"                                  | secretsmanager:GetSecretValue
		none  | "NotAction":"*"                                                 | secretsmanager:GetSecretValue
		none  | "NotAction":["kms:*","secretsmanager:Get*"]                     | secretsmanager:GetSecretValue
		allow | "NotAction":"secretsmanager:*"                                  | kms:Decrypt
	`, 3) {
		p := mustParse(t, document(`{"Effect":"Allow","Resource":"*",`+row[1]+`}`), policy.IdentityPolicy)
		d := policy.Evaluate(policy.Request{Principal: principal(t, "alice"), Action: row[2], Resource: secret}, policy.Set{Identity: []*policy.Policy{p}})
		if got := verdict(d); got != row[0] {
			t.Errorf("%s on %s: got %s, want %s", row[1], row[2], got, row[0])
		}
	}
}

func TestResources(t *testing.T) {
	for _, row := range rows(t, `
		allow | "Resource":"*"                                                                              | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"*"                                                                              | *
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2"            | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/*"                    | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-??????"            | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:*db*"                      | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:*:111122223333:secret:prod/*"                            | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:eu-*:111122223333:secret:prod/*"                         | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:eu-west-?:111122223333:secret:prod/*"                    | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:*:*:secret:prod/*"                                       | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:*:secretsmanager:*:*:*"                                                     | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:*"                                                       | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:*"                                             | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":["arn:aws:kms:*:*:key/*","arn:aws:secretsmanager:*:*:secret:prod/*"]             | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:*:*:*:prod/*"                                            | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"                   | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-?????"             | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:PROD/*"                    | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:dev/*"                     | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:secretsmanager:us-*:111122223333:secret:prod/*"                         | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:secretsmanager:eu-west-1:444455556666:secret:prod/*"                    | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:kms:*:*:*"                                                              | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		# A star stays inside its part of the ARN, except in the last.
		none  | "Resource":"arn:aws:secretsmanager:*:secret:prod/db-AbC1d2:x"                               | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "Resource":"arn:aws:secretsmanager:eu*3333:111122223333:secret:prod/*"                      | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret*db-AbC1d2"                 | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		# A name that holds a colon or a star of its own.
		allow | "Resource":"arn:aws:kms:eu-west-1:111122223333:key/*"                                       | arn:aws:kms:eu-west-1:111122223333:key/a:b
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:${*}"                      | arn:aws:secretsmanager:eu-west-1:111122223333:secret:*
		none  | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:${*}"                      | arn:aws:secretsmanager:eu-west-1:111122223333:secret:a
		none  | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:a${?}"                     | arn:aws:secretsmanager:eu-west-1:111122223333:secret:ab
		allow | "Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:${$}x"                     | arn:aws:secretsmanager:eu-west-1:111122223333:secret:$x
		# Only "*" speaks about actions on no resource in particular.
		none  | "Resource":"arn:aws:secretsmanager:*"                                                       | *
		none  | "Resource":"arn:aws:secretsmanager:*:*:*"                                                   | *
		none  | "NotResource":"*"                                                                           | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "NotResource":"arn:aws:secretsmanager:*:*:secret:prod/*"                                    | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		none  | "NotResource":["arn:aws:kms:*:*:*","arn:aws:secretsmanager:*:*:secret:prod/*"]              | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "NotResource":"arn:aws:secretsmanager:*:*:secret:dev/*"                                     | arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbC1d2
		allow | "NotResource":"arn:aws:secretsmanager:*:*:secret:dev/*"                                     | *
	`, 3) {
		p := mustParse(t, document(`{"Effect":"Allow","Action":"*",`+row[1]+`}`), policy.IdentityPolicy)
		d := policy.Evaluate(policy.Request{Principal: principal(t, "alice"), Action: get, Resource: row[2]}, policy.Set{Identity: []*policy.Policy{p}})
		if got := verdict(d); got != row[0] {
			t.Errorf("%s on %s: got %s, want %s", row[1], row[2], got, row[0])
		}
	}
}

// TestPrincipals asks a resource policy alone, for a secret of the home
// account: no identity policy allows anything.
func TestPrincipals(t *testing.T) {
	for _, row := range rows(t, `
		# Naming a user or session itself is enough within the account.
		allow | "Principal":{"AWS":"arn:aws:iam::111122223333:user/team/alice"}              | alice
		none  | "Principal":{"AWS":"arn:aws:iam::111122223333:user/team/alice"}              | bob
		none  | "Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"}                   | alice
		none  | "Principal":{"AWS":"arn:aws:iam::111122223333:user/team/Alice"}              | alice
		allow | "Principal":{"AWS":["arn:aws:iam::111122223333:user/bob","arn:aws:iam::111122223333:user/team/alice"]} | alice
		allow | "Principal":{"AWS":"AIDAALICE0000000000X"}                                   | alice
		none  | "Principal":{"AWS":"AIDABOB000000000000X"}                                   | alice
		allow | "Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/api/pod-7"}       | session
		none  | "Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/api/pod-7"}       | session8
		allow | "Principal":{"AWS":"arn:aws:iam::111122223333:role/app/api"}                 | session
		allow | "Principal":{"AWS":"arn:aws:iam::111122223333:role/app/api"}                 | session8
		none  | "Principal":{"AWS":"arn:aws:iam::111122223333:role/api"}                     | session
		none  | "Principal":{"AWS":"arn:aws:iam::111122223333:role/app/api"}                 | alice
		allow | "Principal":{"AWS":"AROAAPI000000000000X"}                                   | session
		none  | "Principal":{"AWS":"AROACI0000000000000X"}                                   | session
		# Naming the account lets its identity policies decide; here there are none.
		none  | "Principal":{"AWS":"111122223333"}                                           | alice
		none  | "Principal":{"AWS":"arn:aws:iam::111122223333:root"}                         | alice
		none  | "Principal":{"AWS":"arn:aws:iam::111122223333:root"}                         | session
		allow | "Principal":{"AWS":"arn:aws:iam::111122223333:root"}                         | root
		# Everyone.
		allow | "Principal":"*"                                                              | alice
		allow | "Principal":{"AWS":"*"}                                                      | alice
		allow | "Principal":"*"                                                              | session
		allow | "Principal":"*"                                                              | anonymous
		allow | "Principal":{"AWS":"*"}                                                      | anonymous
		allow | "Principal":"*"                                                              | service
		none  | "Principal":{"AWS":"111122223333"}                                           | anonymous
		# Between accounts the resource policy alone is not enough.
		none  | "Principal":"*"                                                              | carol
		none  | "Principal":{"AWS":"arn:aws:iam::444455556666:user/carol"}                   | carol
		none  | "Principal":{"AWS":"444455556666"}                                           | carol
		# The other account's root has all identity permissions.
		allow | "Principal":{"AWS":"444455556666"}                                           | otherroot
		none  | "Principal":{"AWS":"111122223333"}                                           | otherroot
		# Services and web identities.
		allow | "Principal":{"Service":"secretsmanager.amazonaws.com"}                       | service
		none  | "Principal":{"Service":"lambda.amazonaws.com"}                               | service
		allow | "Principal":{"Service":["lambda.amazonaws.com","secretsmanager.amazonaws.com"]} | service
		none  | "Principal":{"AWS":"111122223333"}                                           | service
		none  | "Principal":{"Service":"secretsmanager.amazonaws.com"}                       | alice
		allow | "Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/idp.example.com"} | webidentity
		none  | "Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/evil.example.com"} | webidentity
		none  | "Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/idp.example.com"} | alice
		allow | "Principal":{"Service":"lambda.amazonaws.com","AWS":"arn:aws:iam::111122223333:user/team/alice"} | alice
	`, 3) {
		p := mustParse(t, document(`{"Effect":"Allow","Action":"*","Resource":"*",`+row[1]+`}`), policy.ResourcePolicy)
		d := policy.Evaluate(policy.Request{Principal: principal(t, row[2]), Action: get, Resource: secret}, policy.Set{Resource: p})
		if got := verdict(d); got != row[0] {
			t.Errorf("%s for %s: got %s, want %s", row[1], row[2], got, row[0])
		}
	}
}

// TestNotPrincipal denies all but the listed: each form of a principal must be
// listed, its account too. The identity policy allows everything.
func TestNotPrincipal(t *testing.T) {
	everything := mustParse(t, document(`{"Effect":"Allow","Action":"*","Resource":"*"}`), policy.IdentityPolicy)
	for _, row := range rows(t, `
		allow | {"AWS":["111122223333","arn:aws:iam::111122223333:user/team/alice"]}  | alice
		allow | {"AWS":["arn:aws:iam::111122223333:root","arn:aws:iam::111122223333:user/team/alice"]} | alice
		deny  | {"AWS":"arn:aws:iam::111122223333:user/team/alice"}                   | alice
		deny  | {"AWS":"111122223333"}                                                | alice
		deny  | {"AWS":["111122223333","arn:aws:iam::111122223333:user/team/alice"]}  | bob
		allow | {"AWS":["111122223333","arn:aws:iam::111122223333:role/app/api","arn:aws:sts::111122223333:assumed-role/api/pod-7"]} | session
		deny  | {"AWS":["111122223333","arn:aws:iam::111122223333:role/app/api"]}     | session
		deny  | {"AWS":["111122223333","arn:aws:sts::111122223333:assumed-role/api/pod-7"]} | session
		deny  | {"AWS":["111122223333","arn:aws:iam::111122223333:role/app/api","arn:aws:sts::111122223333:assumed-role/api/pod-7"]} | session8
		allow | {"AWS":"111122223333"}                                                | root
		deny  | {"AWS":"444455556666"}                                                | root
		deny  | {"AWS":"111122223333"}                                                | anonymous
		deny  | {"AWS":"111122223333"}                                                | service
		none  | {"Service":"secretsmanager.amazonaws.com"}                            | service
		allow | "*"                                                                   | alice
	`, 3) {
		p := mustParse(t, document(`{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":`+row[1]+`}`), policy.ResourcePolicy)
		set := policy.Set{Identity: []*policy.Policy{everything}, Resource: p}
		d := policy.Evaluate(policy.Request{Principal: principal(t, row[2]), Action: get, Resource: secret}, set)
		if got := verdict(d); got != row[0] {
			t.Errorf("all but %s, for %s: got %s, want %s", row[1], row[2], got, row[0])
		}
	}
}
