package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"lockstep/auth/policy"
)

func TestPublic(t *testing.T) {
	for _, row := range rows(t, `
		public | "Principal":"*"                                          | {}
		public | "Principal":{"AWS":"*"}                                  | {}
		public | "Principal":{"AWS":["111122223333","*"]}                 | {}
		fixed  | "Principal":{"AWS":"111122223333"}                       | {}
		fixed  | "Principal":{"Service":"lambda.amazonaws.com"}           | {}
		fixed  | "Principal":"*" | {"StringEquals":{"aws:PrincipalAccount":"111122223333"}}
		fixed  | "Principal":"*" | {"StringEquals":{"aws:SourceAccount":["111122223333","444455556666"]}}
		fixed  | "Principal":"*" | {"StringEquals":{"aws:PrincipalOrgID":"o-abc123"}}
		fixed  | "Principal":"*" | {"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-abc123/r-x/*"}}
		fixed  | "Principal":"*" | {"StringEquals":{"aws:SourceVpc":"vpc-1"}}
		fixed  | "Principal":"*" | {"StringEquals":{"aws:SourceVpce":"vpce-1"}}
		fixed  | "Principal":"*" | {"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}
		fixed  | "Principal":"*" | {"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}}
		fixed  | "Principal":"*" | {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}}
		fixed  | "Principal":"*" | {"StringLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:*"}}
		fixed  | "Principal":"*" | {"ArnEquals":{"aws:SourceArn":"arn:aws:sns:*:111122223333:topic"}}
		fixed  | "Principal":"*" | {"StringLike":{"aws:userid":"AROAAPI000000000000X:*"}}
		fixed  | "Principal":"*" | {"StringEquals":{"aws:PrincipalAccount":"111122223333"},"StringLike":{"aws:k":"*"}}
		public | "Principal":"*" | {"StringEquals":{"aws:k":"x"}}
		public | "Principal":"*" | {"StringEquals":{"aws:PrincipalTag/team":"db"}}
		public | "Principal":"*" | {"Bool":{"aws:SecureTransport":"true"}}
		public | "Principal":"*" | {"StringNotEquals":{"aws:PrincipalAccount":"111122223333"}}
		public | "Principal":"*" | {"StringEqualsIfExists":{"aws:PrincipalAccount":"111122223333"}}
		public | "Principal":"*" | {"ForAllValues:StringEquals":{"aws:PrincipalAccount":"111122223333"}}
		public | "Principal":"*" | {"StringLike":{"aws:PrincipalAccount":"*"}}
		public | "Principal":"*" | {"StringLike":{"aws:PrincipalAccount":["111122223333","4*"]}}
		public | "Principal":"*" | {"StringEquals":{"aws:PrincipalAccount":"${aws:ResourceAccount}"}}
		public | "Principal":"*" | {"StringEquals":{"aws:PrincipalOrgID":""}}
		public | "Principal":"*" | {"StringLike":{"aws:PrincipalOrgPaths":"o-*"}}
		public | "Principal":"*" | {"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}
		public | "Principal":"*" | {"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}
		public | "Principal":"*" | {"IpAddress":{"aws:SourceIp":["203.0.113.0/24","::/0"]}}
		public | "Principal":"*" | {"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}
		public | "Principal":"*" | {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/admin"}}
		public | "Principal":"*" | {"ArnLike":{"aws:PrincipalArn":"*"}}
		public | "Principal":"*" | {"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*"}}
		public | "Principal":"*" | {"StringLike":{"aws:PrincipalArn":"arn:aws:iam::1111*:role/x"}}
		public | "Principal":"*" | {"StringLike":{"aws:userid":"*"}}
		public | "Principal":"*" | {"Null":{"aws:PrincipalAccount":"false"}}
	`, 3) {
		p := mustParse(t, document(`{"Effect":"Allow","Action":"*","Resource":"*",`+row[1]+`,"Condition":`+row[2]+`}`), policy.ResourcePolicy)
		if got := policy.IsPublic(p); got != (row[0] == "public") {
			t.Errorf("%s %s: public is %v, want %s", row[1], row[2], got, row[0])
		}
	}
}

func TestPublicNamesTheStatement(t *testing.T) {
	p := mustParse(t, document(parts["r:alice"], parts["r:deny"], parts["r:everyone"]), policy.ResourcePolicy)
	found := p.Public()
	if len(found) != 1 || found[0].Statement.Number != 3 || found[0].Check != policy.CheckPublic || found[0].Line != 1 {
		t.Errorf("got %+v", found)
	}
	if policy.IsPublic(mustParse(t, document(parts["all"]), policy.IdentityPolicy)) {
		t.Error("an identity policy is public")
	}
}

func TestFindings(t *testing.T) {
	const r = `"Effect":"Allow","Principal":{"AWS":"111122223333"},`
	for _, tt := range []struct {
		name, statement string
		kind            policy.Kind
		want            string // checks, in order
	}{
		{"nothing", `{` + r + `"Action":"secretsmanager:GetSecretValue","Resource":"*"}`, policy.ResourcePolicy, ""},
		{"all is known", `{` + r + `"Action":["secretsmanager:*","kms:Decrypt","sts:AssumeRole","s3:Whatever","*"],"Resource":"*"}`, policy.ResourcePolicy, ""},
		{"typing error", `{` + r + `"Action":"secretsmanager:GetSecretValues","Resource":"*"}`, policy.ResourcePolicy, "UNKNOWN_ACTION"},
		{"wildcard that fits none", `{` + r + `"Action":"secretsmanager:Fetch*","Resource":"*"}`, policy.ResourcePolicy, "UNKNOWN_ACTION"},
		{"wildcard that fits one", `{` + r + `"Action":"secretsmanager:*Password","Resource":"*"}`, policy.ResourcePolicy, ""},
		{"unknown key", `{` + r + `"Action":"*","Resource":"*","Condition":{"StringEquals":{"secretsmanager:SecretName":"x"}}}`, policy.ResourcePolicy, "UNKNOWN_CONDITION_KEY"},
		{"known keys", `{` + r + `"Action":"*","Resource":"*","Condition":{"StringEquals":{"secretsmanager:Name":"x","secretsmanager:ResourceTag/Team":"x","secretsmanager:VersionStage":"x"}}}`, policy.ResourcePolicy, ""},
		{"tag key missing", `{` + r + `"Action":"*","Resource":"*","Condition":{"StringEquals":{"secretsmanager:ResourceTag/":"x"}}}`, policy.ResourcePolicy, "UNKNOWN_CONDITION_KEY"},
		{"account of eleven digits", `{` + r + `"Action":"*","Resource":"arn:aws:secretsmanager:eu-west-1:11112222333:secret:x"}`, policy.ResourcePolicy, "MALFORMED_ARN"},
		{"no type in a secret's ARN", `{` + r + `"Action":"*","Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:prod/db"}`, policy.ResourcePolicy, "MALFORMED_ARN"},
		{"no name in a secret's ARN", `{` + r + `"Action":"*","Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:"}`, policy.ResourcePolicy, "MALFORMED_ARN"},
		{"wildcard service", `{` + r + `"Action":"*","Resource":"arn:aws:*:eu-west-1:111122223333:secret:x"}`, policy.ResourcePolicy, "MALFORMED_ARN"},
		{"good ARNs", `{` + r + `"Action":"*","Resource":["arn:aws:secretsmanager:*:*:secret:x-??????","arn:aws:secretsmanager:*:111122223333:sec*","arn:aws:secretsmanager:*"]}`, policy.ResourcePolicy, ""},
		{"other service", `{` + r + `"Action":"kms:Decrypt","Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:x"}`, policy.ResourcePolicy, "STATEMENT_WITHOUT_EFFECT"},
		{"star without Like", `{` + r + `"Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:k":"prod*"}}}`, policy.ResourcePolicy, "WILDCARD_WITHOUT_LIKE"},
		{"ForAllValues alone", `{` + r + `"Action":"*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}}`, policy.ResourcePolicy, "FOR_ALL_VALUES_WITHOUT_NULL_CHECK"},
		{"ForAllValues with Null", `{` + r + `"Action":"*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"a"},"Null":{"aws:TagKeys":"false"}}}`, policy.ResourcePolicy, ""},
		{"two at once", `{"Effect":"Allow","Action":["secretsmanager:Nope","kms:Nope"],"Resource":"*"}`, policy.IdentityPolicy, "UNKNOWN_ACTION UNKNOWN_ACTION"},
		{"GitHub without subject", `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}}}`, policy.TrustPolicy, "WEB_IDENTITY_WITHOUT_SUBJECT"},
		{"any subject", `{"Effect":"Allow","Principal":{"Federated":"idp.example.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"idp.example.com:sub":"*"}}}`, policy.TrustPolicy, "WEB_IDENTITY_WITHOUT_SUBJECT"},
		{"GitHub with subject", `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:acme/app:*"}}}`, policy.TrustPolicy, ""},
		{"SAML", `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:saml-provider/corp"},"Action":"sts:AssumeRoleWithSAML"}`, policy.TrustPolicy, ""},
		{"malformed", `{"Effect":"Maybe"}`, policy.ResourcePolicy, "MALFORMED_POLICY"},
		{"no principal", `{"Effect":"Allow","Action":"*","Resource":"*"}`, policy.ResourcePolicy, "MALFORMED_POLICY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, found := policy.Validate(document(tt.statement), tt.kind)
			var checks []string
			for _, f := range found {
				checks = append(checks, string(f.Check))
				if f.Message == "" || f.Line == 0 {
					t.Errorf("finding without text or place: %+v", f)
				}
			}
			if got := strings.Join(checks, " "); got != tt.want {
				t.Errorf("got %s, want %s", fmt.Sprint(found), tt.want)
			}
			if (p == nil) != (tt.want == "MALFORMED_POLICY") {
				t.Errorf("policy %v", p)
			}
		})
	}
}

func TestVariablesNeedTheVersion(t *testing.T) {
	_, found := policy.Validate(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:k":"${aws:username}"}}}}`, policy.IdentityPolicy)
	if len(found) != 1 || found[0].Check != policy.CheckDeadVariable || found[0].Severity != policy.Warning {
		t.Errorf("got %+v", found)
	}
}

func TestLocksOut(t *testing.T) {
	owner := policy.Request{Principal: principal(t, "root"), Action: "secretsmanager:PutResourcePolicy", Resource: secret, Context: context("aws:SourceIp=10.0.0.1")}
	for _, row := range rows(t, `
		in  | adds | {"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}
		in  | adds | {"Effect":"Deny","Principal":{"AWS":"444455556666"},"Action":"*","Resource":"*"}
		in  | adds | {"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}
		out | adds | {"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}
		out | adds | {"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"secretsmanager:Put*","Resource":"*"}
		out | adds | {"Effect":"Deny","NotPrincipal":{"AWS":"444455556666"},"Action":"*","Resource":"*"}
		in  | adds | {"Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}
		in  | adds | {"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}
		out | adds | {"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.168.0.0/16"}}}
		in  | must | {"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}
		out | must | {"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"*","Resource":"*"}
		out | must | {"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}
	`, 3) {
		rule := policy.ResourceAdds
		if row[1] == "must" {
			rule = policy.ResourceMustAllow
		}
		p := mustParse(t, document(row[2]), policy.ResourcePolicy)
		if _, out := p.LocksOut(owner, rule); out != (row[0] == "out") {
			t.Errorf("%s (%s): locked out is %v", row[2], row[1], out)
		}
	}
}
