package api_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

func TestTags(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	r.create("s", "v")
	tagsAre := func(want string) {
		t.Helper()
		got := string(r.raw("DescribeSecret", `{"SecretId":"s"}`).fields(t)["Tags"])
		if got != want {
			t.Errorf("tags %s, want %s", got, want)
		}
	}
	tagsAre("") // R: absent if never tagged
	must2(r.client.TagResource(ctx, &sm.TagResourceInput{SecretId: aws.String("s"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b"), Value: aws.String("2")}}}))(t)
	must2(r.client.TagResource(ctx, &sm.TagResourceInput{SecretId: aws.String("s"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("3")}}}))(t)
	tagsAre(`[{"Key":"a","Value":"3"},{"Key":"b","Value":"2"}]`)
	must2(r.client.UntagResource(ctx, &sm.UntagResourceInput{SecretId: aws.String("s"), TagKeys: []string{"a", "b", "missing"}}))(t)
	tagsAre(`[]`) // R: [] after the last one was removed
	if a := r.raw("TagResource", `{"SecretId":"s","Tags":[]}`); a.status != 200 || a.body != "{}" {
		t.Errorf("%+v", a)
	}
	_, err := r.client.TagResource(ctx, &sm.TagResourceInput{SecretId: aws.String("nosuch"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})
	refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func TestResourcePolicies(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	r.create("s", "v")
	const (
		narrow = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
		broad  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
		lockup = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:*","Resource":"*"}]}`
	)
	put := func(document string, block bool) error {
		_, err := r.client.PutResourcePolicy(ctx, &sm.PutResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: &document, BlockPublicPolicy: &block})
		return err
	}
	keysAre(t, r.raw("GetResourcePolicy", `{"SecretId":"s"}`), "ARN", "Name") // R: no policy
	must(t, put(broad, false))
	must(t, put(narrow, true))
	refused(t, put(broad, true), "PublicPolicyException", "")
	refused(t, put("{", false), "MalformedPolicyDocumentException", "")
	refused(t, put(`{"Version":"2012-10-17"}`, false), "MalformedPolicyDocumentException", "")
	refused(t, put(lockup, false), "InvalidParameterException", "")
	out, err := r.client.GetResourcePolicy(ctx, &sm.GetResourcePolicyInput{SecretId: aws.String("s")})
	must(t, err)
	if *out.ResourcePolicy != narrow { // R: given back as the text, whatever was refused since
		t.Errorf("policy %s", *out.ResourcePolicy)
	}
	keysAre(t, r.raw("DeleteResourcePolicy", `{"SecretId":"s"}`), "ARN", "Name")
	keysAre(t, r.raw("GetResourcePolicy", `{"SecretId":"s"}`), "ARN", "Name")

	validate := func(document string) *sm.ValidateResourcePolicyOutput {
		t.Helper()
		out, err := r.client.ValidateResourcePolicy(ctx, &sm.ValidateResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: &document})
		must(t, err)
		return out
	}
	if v := validate(narrow); !v.PolicyValidationPassed || len(v.ValidationErrors) != 0 {
		t.Errorf("narrow: %+v", v)
	}
	if v := validate(broad); v.PolicyValidationPassed || *v.ValidationErrors[0].CheckName != "PUBLIC_ACCESS" {
		t.Errorf("broad: %+v", v)
	}
	_, err = r.client.ValidateResourcePolicy(ctx, &sm.ValidateResourcePolicyInput{ResourcePolicy: aws.String("{")})
	refused(t, err, "MalformedPolicyDocumentException", "")
}

func TestGetRandomPassword(t *testing.T) {
	r := start(t)
	draw := func(in sm.GetRandomPasswordInput) (string, error) {
		out, err := r.client.GetRandomPassword(t.Context(), &in)
		if err != nil {
			return "", err
		}
		return *out.RandomPassword, nil
	}
	got, err := draw(sm.GetRandomPasswordInput{})
	must(t, err)
	if len(got) != 32 || strings.Contains(got, " ") || !strings.ContainsFunc(got, unicode.IsUpper) || !strings.ContainsFunc(got, unicode.IsLower) || !strings.ContainsFunc(got, unicode.IsDigit) {
		t.Errorf("got %q", got)
	}
	got, err = draw(sm.GetRandomPasswordInput{PasswordLength: aws.Int64(100), ExcludeLowercase: aws.Bool(true), ExcludeNumbers: aws.Bool(true), ExcludePunctuation: aws.Bool(true), ExcludeCharacters: aws.String("ABC")})
	must(t, err)
	if len(got) != 100 || strings.Trim(got, "DEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		t.Errorf("got %q", got)
	}
	_, err = draw(sm.GetRandomPasswordInput{PasswordLength: aws.Int64(3)})
	refused(t, err, "InvalidParameterException", "")
	_, err = draw(sm.GetRandomPasswordInput{PasswordLength: aws.Int64(4097)})
	refused(t, err, "ValidationException", "")
	_, err = draw(sm.GetRandomPasswordInput{PasswordLength: aws.Int64(3), RequireEachIncludedType: aws.Bool(false)})
	must(t, err)
}
