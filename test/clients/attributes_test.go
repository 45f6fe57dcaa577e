package clients

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// TestAttributes: tags, resource policies, random passwords.
func TestAttributes(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.run(tagRows)
	r.run(policyRows)
	r.run(passwordRows)
}

// tagsAre looks at the JSON, where absent and empty differ.
func (r *rig) tagsAre(s made, want string) {
	r.t.Helper()
	got := string(r.fields(r.raw("DescribeSecret", fmt.Sprintf(`{"SecretId":"%s"}`, *s.name)))["Tags"])
	if got != want {
		r.t.Errorf("Tags %s, want %s", got, want)
	}
}

func (r *rig) tag(s made, pairs ...string) {
	r.t.Helper()
	in := sm.TagResourceInput{SecretId: s.name}
	for i := 0; i < len(pairs); i += 2 {
		in.Tags = append(in.Tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	r.mustDo(do((*sm.Client).TagResource, in))
}

func untagging(s made, keys ...string) request {
	return do((*sm.Client).UntagResource, sm.UntagResourceInput{SecretId: s.name, TagKeys: keys})
}

var tagRows = []row{
	{"R11 TagResource adds and replaces by key and keeps the order; UntagResource ignores missing keys", func(r *rig) {
		s := r.create("v")
		r.tag(s, "a", "1", "b", "2", "c", "")
		r.tag(s, "a", "3", "d", "4")
		r.tagsAre(s, `[{"Key":"a","Value":"3"},{"Key":"b","Value":"2"},{"Key":"c","Value":""},{"Key":"d","Value":"4"}]`)
		r.mustDo(untagging(s, "b", "missing", "c"))
		r.tagsAre(s, `[{"Key":"a","Value":"3"},{"Key":"d","Value":"4"}]`)
	}},
	{"R11 Tags is absent if never tagged, and [] after the last one was removed", func(r *rig) {
		s := r.create("v")
		r.tagsAre(s, "")
		r.tag(s, "a", "1")
		r.mustDo(untagging(s, "a"))
		r.tagsAre(s, "[]")
	}},
	{"a key that stands twice in a request is refused", func(r *rig) {
		twice := []types.Tag{{Key: v, Value: v}, {Key: v, Value: aws.String("w")}}
		r.refuses(do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: r.fresh("s"), Tags: twice}), invalidParameter, "")
		r.refuses(do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: r.create("v").name, Tags: twice}), invalidParameter, "")
	}},
	{"M11 50 tags of the longest keys and values", func(r *rig) {
		s := r.create("v")
		var pairs []string
		for i := range 50 {
			pairs = append(pairs, fmt.Sprintf("%0128d", i), strings.Repeat("é", 256))
		}
		r.tag(s, pairs...)
		r.refuses(do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: s.name, Tags: []types.Tag{{Key: v, Value: v}}}), invalidParameter, "")
		if d := r.describe(s.name); len(d.Tags) != 50 {
			r.t.Errorf("%d tags", len(d.Tags))
		}
	}},
}

func putting(s made, policy string, block *bool) request {
	return do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: s.name, ResourcePolicy: &policy, BlockPublicPolicy: block})
}

func (r *rig) policyIs(s made, want string) {
	r.t.Helper()
	out, err := r.client.GetResourcePolicy(r.t.Context(), &sm.GetResourcePolicyInput{SecretId: s.name})
	r.must(err)
	if got := aws.ToString(out.ResourcePolicy); got != want {
		r.t.Errorf("policy %q, want %q", got, want)
	}
}

var policyRows = []row{
	{"R11 a resource policy comes back as the text that was stored; what is no policy is refused", func(r *rig) {
		s := r.create("v")
		spaced := strings.Replace(narrowPolicy, `"Statement":`, "\"Statement\" :\n\t", 1)
		r.mustDo(putting(s, spaced, nil))
		for _, bad := range []string{"{", `"text"`, "[]", "{}", `{"Version":"2012-10-17"}`, `{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps","Principal":"*","Action":"*","Resource":"*"}]}`} {
			r.refuses(putting(s, bad, nil), malformedPolicy, "")
		}
		r.policyIs(s, spaced)
		r.mustDo(do((*sm.Client).DeleteResourcePolicy, sm.DeleteResourcePolicyInput{SecretId: s.arn}))
		r.policyIs(s, "")
	}},
	{"R11 a policy for everybody is taken, unless BlockPublicPolicy says no", func(r *rig) {
		s := r.create("v")
		r.mustDo(putting(s, broadPolicy, nil))
		r.policyIs(s, broadPolicy)
		r.mustDo(putting(s, narrowPolicy, aws.Bool(true)))
		r.refuses(putting(s, broadPolicy, aws.Bool(true)), publicPolicy, "")
		r.policyIs(s, narrowPolicy)
	}},
	{"M11 ValidateResourcePolicy: passed, or what is wrong", func(r *rig) {
		for _, c := range []struct {
			policy string
			passed bool
		}{{narrowPolicy, true}, {broadPolicy, false}} {
			out, err := r.client.ValidateResourcePolicy(r.t.Context(), &sm.ValidateResourcePolicyInput{ResourcePolicy: &c.policy})
			r.must(err)
			if out.PolicyValidationPassed != c.passed || (len(out.ValidationErrors) == 0) != c.passed {
				r.t.Errorf("%v %+v", out.PolicyValidationPassed, out.ValidationErrors)
			}
			for _, e := range out.ValidationErrors {
				if aws.ToString(e.CheckName) == "" || aws.ToString(e.ErrorMessage) == "" {
					r.t.Errorf("%+v", e)
				}
			}
		}
	}},
}

func (r *rig) password(in sm.GetRandomPasswordInput) string {
	r.t.Helper()
	out, err := r.client.GetRandomPassword(r.t.Context(), &in)
	r.must(err)
	return *out.RandomPassword
}

const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

var passwordRows = []row{
	{"D11 32 characters of four kinds, no space", func(r *rig) {
		for range 20 {
			got := r.password(sm.GetRandomPasswordInput{})
			if len(got) != 32 || strings.Contains(got, " ") || !strings.ContainsFunc(got, unicode.IsUpper) || !strings.ContainsFunc(got, unicode.IsLower) ||
				!strings.ContainsFunc(got, unicode.IsDigit) || !strings.ContainsAny(got, punctuation) {
				r.t.Errorf("%q", got)
			}
		}
	}},
	{"M11 every option", func(r *rig) {
		yes := aws.Bool(true)
		for _, c := range []struct {
			in   sm.GetRandomPasswordInput
			only string
		}{
			{sm.GetRandomPasswordInput{ExcludeLowercase: yes, ExcludeUppercase: yes, ExcludePunctuation: yes}, "0123456789"},
			{sm.GetRandomPasswordInput{ExcludeLowercase: yes, ExcludeUppercase: yes, ExcludeNumbers: yes}, punctuation},
			{sm.GetRandomPasswordInput{ExcludeLowercase: yes, ExcludeUppercase: yes, ExcludePunctuation: yes, ExcludeCharacters: aws.String("02468")}, "13579"},
			{sm.GetRandomPasswordInput{ExcludeLowercase: yes, ExcludeUppercase: yes, ExcludePunctuation: yes, IncludeSpace: yes}, "0123456789 "},
		} {
			c.in.PasswordLength = aws.Int64(4096)
			if got := r.password(c.in); len(got) != 4096 || strings.Trim(got, c.only) != "" || strings.ContainsFunc(c.only, func(x rune) bool { return !strings.ContainsRune(got, x) }) {
				r.t.Errorf("%+v: %q", c.in, got)
			}
		}
		if got := r.password(sm.GetRandomPasswordInput{PasswordLength: aws.Int64(1), RequireEachIncludedType: aws.Bool(false)}); len(got) != 1 {
			r.t.Errorf("%q", got)
		}
	}},
}
