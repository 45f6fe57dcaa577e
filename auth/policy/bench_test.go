package policy_test

import (
	"strings"
	"testing"

	"lockstep/auth/policy"
)

func BenchmarkEvaluate(b *testing.B) {
	team := mustParse(b, document(
		`{"Sid":"read","Effect":"Allow","Action":["secretsmanager:GetSecretValue","secretsmanager:DescribeSecret","secretsmanager:List*"],
		 "Resource":"arn:aws:secretsmanager:*:111122223333:secret:${aws:PrincipalTag/env}/*",
		 "Condition":{"StringEquals":{"secretsmanager:ResourceTag/team":"${aws:PrincipalTag/team}"},"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.0.0/16"]}}}`,
		`{"Sid":"office","Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`), policy.IdentityPolicy)
	keys := mustParse(b, document(`{"Effect":"Allow","Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*"}`), policy.IdentityPolicy)
	resource := mustParse(b, document(`{"Effect":"Deny","Principal":"*","Action":"secretsmanager:Delete*","Resource":"*"}`,
		`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::444455556666:role/ci","111122223333"]},"Action":"secretsmanager:GetSecretValue","Resource":"*"}`), policy.ResourcePolicy)
	request := policy.Request{
		Principal: policy.Principal{Kind: policy.Session, ARN: sessArn, RoleARN: role, Account: home, ID: "AROAAPI000000000000X:pod-7"},
		Action:    get, Resource: secret,
		Context: context("aws:PrincipalTag/env=prod;aws:PrincipalTag/team=db;secretsmanager:ResourceTag/team=db;aws:SourceIp=10.1.2.3;aws:SecureTransport=true;aws:CurrentTime=2026-01-01T00:00:00Z"),
	}
	set := policy.Set{Identity: []*policy.Policy{team, keys}, Resource: resource}
	b.ReportAllocs()
	for b.Loop() {
		if d := policy.Evaluate(request, set); !d.Allowed() {
			b.Fatal(d.Message())
		}
	}
}

// BenchmarkWorstPattern is the longest pattern against a text that nearly fits.
func BenchmarkWorstPattern(b *testing.B) {
	p := mustParse(b, document(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:k":"*`+strings.Repeat("a", 4000)+`b"}}}`), policy.IdentityPolicy)
	long := strings.Repeat("a", 8000)
	request := policy.Request{Principal: policy.Principal{Kind: policy.User, Account: home}, Action: get, Resource: secret, Context: context("aws:k=" + long)}
	for b.Loop() {
		policy.Evaluate(request, policy.Set{Identity: []*policy.Policy{p}})
	}
}
