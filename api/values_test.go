package api_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

const (
	tok1 = "11111111-1111-4111-8111-111111111111"
	tok2 = "22222222-2222-4222-8222-222222222222"
	tok3 = "33333333-3333-4333-8333-333333333333"
)

func TestCreateSecret(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	create := func(in sm.CreateSecretInput) (*sm.CreateSecretOutput, error) { return r.client.CreateSecret(ctx, &in) }

	t.Run("R: ARN with six random characters, slashes stay, VersionId is the token", func(t *testing.T) {
		out, err := create(sm.CreateSecretInput{Name: aws.String("prod/db/a"), SecretString: aws.String("v"), ClientRequestToken: aws.String(tok1)})
		must(t, err)
		if !regexp.MustCompile(`^arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db/a-[A-Za-z0-9]{6}$`).MatchString(*out.ARN) {
			t.Errorf("ARN %s", *out.ARN)
		}
		if *out.VersionId != tok1 || *out.Name != "prod/db/a" {
			t.Errorf("got %s, %s", *out.VersionId, *out.Name)
		}
	})
	t.Run("R: same token and data again: same ARN and version", func(t *testing.T) {
		in := sm.CreateSecretInput{Name: aws.String("again"), SecretString: aws.String("v"), ClientRequestToken: aws.String(tok1)}
		a, err := create(in)
		must(t, err)
		b, err := create(in)
		must(t, err)
		if *a.ARN != *b.ARN || *a.VersionId != *b.VersionId {
			t.Errorf("%v, then %v", a, b)
		}
		in.SecretString = aws.String("other")
		_, err = create(in)
		refused(t, err, "ResourceExistsException", fmt.Sprintf(
			"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", tok1, *a.ARN))
		in.ClientRequestToken = aws.String(tok2)
		_, err = create(in)
		refused(t, err, "ResourceExistsException", "The operation failed because the secret again already exists.")
	})
	t.Run("R: answers have these keys and no others", func(t *testing.T) {
		keysAre(t, r.raw("CreateSecret", `{"Name":"k1","SecretString":"v","ClientRequestToken":"`+tok1+`"}`), "ARN", "Name", "VersionId")
		keysAre(t, r.raw("CreateSecret", `{"Name":"k2","ClientRequestToken":"`+tok1+`","Description":""}`), "ARN", "Name")
		keysAre(t, r.raw("DescribeSecret", `{"SecretId":"k2"}`), "ARN", "Name", "CreatedDate", "LastChangedDate")
	})
	t.Run("R: a token is required, in this error, before the secret is looked for", func(t *testing.T) {
		const text = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
		wantError(t, r.raw("CreateSecret", `{"Name":"x","SecretString":"v"}`), "InvalidRequestException", text)
		wantError(t, r.raw("PutSecretValue", `{"SecretId":"nosuch","SecretString":"v"}`), "InvalidRequestException", text)
		wantError(t, r.raw("UpdateSecret", `{"SecretId":"nosuch","SecretString":"v"}`), "InvalidRequestException", text)
		wantError(t, r.raw("RotateSecret", `{"SecretId":"nosuch"}`), "InvalidParameterException", text)
	})
	t.Run("R: name scheduled for deletion", func(t *testing.T) {
		r.create("doomed", "v")
		_, err := r.client.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: aws.String("doomed")})
		must(t, err)
		_, err = create(sm.CreateSecretInput{Name: aws.String("doomed"), SecretString: aws.String("v")})
		refused(t, err, "InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
	})
}

func TestLimits(t *testing.T) {
	r := start(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	token := `"ClientRequestToken":"` + tok1 + `"`
	for _, c := range []struct{ name, action, body, code, message string }{
		{"name empty", "CreateSecret", `{"Name":"",` + token + `}`, "ValidationException", "1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"name missing", "CreateSecret", `{` + token + `}`, "ValidationException", "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{"name over 512", "CreateSecret", `{"Name":"` + long(513) + `",` + token + `}`, "ValidationException", ""},
		{"token under 32", "CreateSecret", `{"Name":"n","ClientRequestToken":"short"}`, "ValidationException", ""},
		{"token over 64", "CreateSecret", `{"Name":"n","ClientRequestToken":"` + long(65) + `"}`, "ValidationException", ""},
		{"value over 65536 bytes", "CreateSecret", `{"Name":"n","SecretString":"` + long(65537) + `",` + token + `}`, "ValidationException", "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536"},
		{"value empty", "CreateSecret", `{"Name":"n","SecretString":"",` + token + `}`, "ValidationException", ""},
		{"binary over 65536 bytes", "CreateSecret", `{"Name":"n","SecretBinary":"` + base64.StdEncoding.EncodeToString(make([]byte, 65537)) + `",` + token + `}`, "ValidationException", ""},
		{"both values", "CreateSecret", `{"Name":"n","SecretString":"a","SecretBinary":"YQ==",` + token + `}`, "InvalidParameterException", "You can't specify both a binary secret value and a string secret value in the same secret."},
		{"description over 2048", "CreateSecret", `{"Name":"n","Description":"` + long(2049) + `",` + token + `}`, "ValidationException", ""},
		{"tag key over 128", "CreateSecret", `{"Name":"n","Tags":[{"Key":"` + long(129) + `","Value":"v"}],` + token + `}`, "ValidationException", ""},
		{"tag value over 256", "CreateSecret", `{"Name":"n","Tags":[{"Key":"k","Value":"` + long(257) + `"}],` + token + `}`, "ValidationException", ""},
		{"reserved tag", "CreateSecret", `{"Name":"n","Tags":[{"Key":"aws:k","Value":"v"}],` + token + `}`, "InvalidParameterException", ""},
		{"put without a value", "PutSecretValue", `{"SecretId":"nosuch",` + token + `}`, "InvalidRequestException", "You must provide either SecretString or SecretBinary."},
		{"21 stages", "PutSecretValue", `{"SecretId":"n","SecretString":"v","VersionStages":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 21), ",") + `],` + token + `}`, "ValidationException", ""},
		{"stage over 256", "PutSecretValue", `{"SecretId":"n","SecretString":"v","VersionStages":["` + long(257) + `"],` + token + `}`, "ValidationException", ""},
		{"page of 0", "ListSecrets", `{"MaxResults":0}`, "ValidationException", ""},
		{"page of 101", "ListSecrets", `{"MaxResults":101}`, "ValidationException", ""},
		{"sort by", "ListSecrets", `{"SortBy":"size"}`, "ValidationException", ""},
		{"made-up page token", "ListSecrets", `{"NextToken":"abc"}`, "InvalidNextTokenException", "The NextToken value is invalid."},
		{"made-up page token of versions", "ListSecretVersionIds", `{"SecretId":"exists","NextToken":"abc"}`, "InvalidNextTokenException", ""},
		{"rotation token form", "PutSecretValue", `{"SecretId":"n","SecretString":"v","RotationToken":"` + strings.Repeat("!", 40) + `",` + token + `}`, "ValidationException", ""},
		{"policy over 20480", "PutResourcePolicy", `{"SecretId":"exists","ResourcePolicy":"` + long(20481) + `"}`, "ValidationException", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.client.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: aws.String("exists")}); err != nil {
				r.create("exists", "v")
			}
			wantError(t, r.raw(c.action, c.body), c.code, c.message)
		})
	}
	for name, value := range map[string]string{"512": long(512), "all characters": "aZ0/_+=.@-!"} {
		t.Run("name allowed: "+name, func(t *testing.T) { r.create(value, "v") })
	}
	t.Run("value of exactly 65536 bytes, multi-byte", func(t *testing.T) {
		r.create("big", strings.Repeat("é", 32768))
	})
}

func TestInvalidNames(t *testing.T) {
	r := start(t)
	const text = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
	token := `"ClientRequestToken":"` + tok1 + `"`
	for action, body := range map[string]string{
		"CreateSecret":           `{"Name":"in valid",` + token + `}`,
		"DeleteSecret":           `{"SecretId":"in valid","ForceDeleteWithoutRecovery":true}`,
		"DescribeSecret":         `{"SecretId":"in*valid"}`,
		"GetSecretValue":         `{"SecretId":"in:valid"}`,
		"ListSecretVersionIds":   `{"SecretId":"in$valid"}`,
		"PutSecretValue":         `{"SecretId":"in valid","SecretString":"v",` + token + `}`,
		"TagResource":            `{"SecretId":"in valid","Tags":[{"Key":"k"}]}`,
		"UntagResource":          `{"SecretId":"in valid","TagKeys":["k"]}`,
		"UpdateSecret":           `{"SecretId":"in valid",` + token + `}`,
		"ValidateResourcePolicy": `{"SecretId":"in valid","ResourcePolicy":"{}"}`,
	} {
		t.Run("R: "+action, func(t *testing.T) { wantError(t, r.raw(action, body), "ValidationException", text) })
	}
}

func TestGetSecretValue(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	get := func(in sm.GetSecretValueInput) (*sm.GetSecretValueOutput, error) {
		return r.client.GetSecretValue(ctx, &in)
	}
	made := r.create("app-x/one", marker)

	t.Run("R: by name, ARN and partial ARN; the answer carries both", func(t *testing.T) {
		for _, id := range []string{"app-x/one", *made.ARN, (*made.ARN)[:len(*made.ARN)-7]} {
			out, err := get(sm.GetSecretValueInput{SecretId: &id})
			must(t, err)
			if *out.SecretString != marker || *out.ARN != *made.ARN || *out.Name != "app-x/one" || *out.VersionId != *made.VersionId {
				t.Errorf("%s: %+v", id, out)
			}
			if !slices.Equal(out.VersionStages, []string{"AWSCURRENT"}) || time.Since(*out.CreatedDate) > time.Minute {
				t.Errorf("%s: %v %v", id, out.VersionStages, out.CreatedDate)
			}
		}
	})
	t.Run("R: base64 on the wire, bytes in the SDK", func(t *testing.T) {
		_, err := r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("bin"), SecretBinary: []byte("footest")})
		must(t, err)
		out, err := get(sm.GetSecretValueInput{SecretId: aws.String("bin")})
		must(t, err)
		if string(out.SecretBinary) != "footest" || out.SecretString != nil {
			t.Errorf("%+v", out)
		}
		raw := r.raw("GetSecretValue", `{"SecretId":"bin"}`)
		keysAre(t, raw, "ARN", "Name", "VersionId", "SecretBinary", "VersionStages", "CreatedDate")
		if got := string(raw.fields(t)["SecretBinary"]); got != `"Zm9vdGVzdA=="` {
			t.Errorf("wire: %s", got)
		}
	})
	t.Run("R: timestamps are numbers with milliseconds", func(t *testing.T) {
		raw := r.raw("GetSecretValue", `{"SecretId":"app-x/one"}`)
		if got := string(raw.fields(t)["CreatedDate"]); !regexp.MustCompile(`^\d{10}\.\d{3}$`).MatchString(got) {
			t.Errorf("CreatedDate %s", got)
		}
	})
	t.Run("R: refusals", func(t *testing.T) {
		_, err := get(sm.GetSecretValueInput{SecretId: aws.String("nosuch")})
		refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		_, err = get(sm.GetSecretValueInput{SecretId: made.ARN, VersionStage: aws.String("AWSPREVIOUS")})
		refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS")
		_, err = get(sm.GetSecretValueInput{SecretId: made.ARN, VersionId: aws.String(tok3)})
		refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+tok3)
		_, err = get(sm.GetSecretValueInput{SecretId: made.ARN, VersionId: made.VersionId, VersionStage: aws.String("AWSPREVIOUS")})
		refused(t, err, "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
		must2(r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("empty")}))(t)
		_, err = get(sm.GetSecretValueInput{SecretId: aws.String("empty")})
		refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	})
	t.Run("R: LastAccessedDate is absent before the first read, then the day at 00:00 UTC", func(t *testing.T) {
		made := r.create("read-me", "v")
		before, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: made.ARN})
		must(t, err)
		must2(get(sm.GetSecretValueInput{SecretId: made.ARN}))(t)
		after, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: made.ARN})
		must(t, err)
		if before.LastAccessedDate != nil || after.LastAccessedDate == nil || !after.LastAccessedDate.Equal(after.LastAccessedDate.Truncate(24*time.Hour)) {
			t.Errorf("before %v, after %v", before.LastAccessedDate, after.LastAccessedDate)
		}
	})
	t.Run("another region is another place", func(t *testing.T) {
		_, err := r.clientFor("eu-west-1").GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("app-x/one")})
		refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	})
	if strings.Contains(r.log.String(), marker) {
		t.Error("a value is in the log")
	}
}

func TestPutAndUpdate(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	put := func(name, value, token string, stages ...string) (*sm.PutSecretValueOutput, error) {
		return r.client.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: &name, SecretString: &value, ClientRequestToken: &token, VersionStages: stages})
	}
	t.Run("R: AWSCURRENT moves, AWSPREVIOUS follows, the third drops out", func(t *testing.T) {
		first := r.create("s1", "1")
		out, err := put("s1", "2", tok1)
		must(t, err)
		if !slices.Equal(out.VersionStages, []string{"AWSCURRENT"}) {
			t.Errorf("stages %v", out.VersionStages)
		}
		r.stagesAre("s1", map[string][]string{tok1: {"AWSCURRENT"}, *first.VersionId: {"AWSPREVIOUS"}})
		must2(put("s1", "3", tok2))(t)
		r.stagesAre("s1", map[string][]string{tok2: {"AWSCURRENT"}, tok1: {"AWSPREVIOUS"}})
	})
	t.Run("R: same token and data: nothing changes; other data: refused", func(t *testing.T) {
		made := r.create("s2", "1")
		must2(put("s2", "2", tok1))(t)
		must2(put("s2", "3", tok2))(t)
		must2(put("s2", "2", tok1))(t)
		r.stagesAre("s2", map[string][]string{tok2: {"AWSCURRENT"}, tok1: {"AWSPREVIOUS"}})
		_, err := put("s2", "other", tok1)
		refused(t, err, "ResourceExistsException", fmt.Sprintf(
			"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", tok1, *made.ARN))
	})
	t.Run("R: labels without AWSCURRENT leave it; on a secret without value it is added", func(t *testing.T) {
		first := r.create("s3", "1")
		must2(put("s3", "2", tok1, "AWSPENDING", "one"))(t)
		r.stagesAre("s3", map[string][]string{*first.VersionId: {"AWSCURRENT"}, tok1: {"AWSPENDING", "one"}})
		must2(r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s4")}))(t)
		out, err := put("s4", "1", tok1, "AWSPENDING")
		must(t, err)
		if !slices.Equal(out.VersionStages, []string{"AWSPENDING", "AWSCURRENT"}) {
			t.Errorf("stages %v", out.VersionStages)
		}
	})
	t.Run("R: AWSPENDING vanishes from the version that a put supersedes", func(t *testing.T) {
		must2(r.client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s5")}))(t)
		must2(put("s5", "1", tok1, "AWSPENDING", "mine"))(t)
		must2(put("s5", "2", tok2))(t)
		r.stagesAre("s5", map[string][]string{tok2: {"AWSCURRENT"}, tok1: {"AWSPREVIOUS", "mine"}})
	})
	t.Run("R: update with and without a value", func(t *testing.T) {
		made := r.create("s6", "1")
		token := `"ClientRequestToken":"` + tok1 + `"`
		keysAre(t, r.raw("UpdateSecret", `{"SecretId":"s6",`+token+`}`), "ARN", "Name")
		keysAre(t, r.raw("UpdateSecret", `{"SecretId":"s6","Description":"d",`+token+`}`), "ARN", "Name")
		keysAre(t, r.raw("UpdateSecret", `{"SecretId":"s6","SecretString":"2",`+token+`}`), "ARN", "Name", "VersionId")
		keysAre(t, r.raw("PutSecretValue", `{"SecretId":"s6","SecretString":"2",`+token+`}`), "ARN", "Name", "VersionId", "VersionStages")
		r.stagesAre("s6", map[string][]string{tok1: {"AWSCURRENT"}, *made.VersionId: {"AWSPREVIOUS"}})
		d, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: aws.String("s6")})
		must(t, err)
		if aws.ToString(d.Description) != "d" {
			t.Errorf("description %q", aws.ToString(d.Description))
		}
	})
	t.Run("R: LastChangedDate grows between two updates of one second", func(t *testing.T) {
		r.create("s7", "1")
		var last time.Time
		for i := range 5 {
			must2(r.client.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: aws.String("s7"), Description: aws.String(fmt.Sprint(i))}))(t)
			d, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: aws.String("s7")})
			must(t, err)
			if !d.LastChangedDate.After(last) {
				t.Fatalf("%v after %v", d.LastChangedDate, last)
			}
			last = *d.LastChangedDate
		}
	})
	t.Run("unknown secret", func(t *testing.T) {
		_, err := put("nosuch", "v", tok1)
		refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	})
}

// stagesAre checks VersionIdsToStages as a whole.
func (r *rig) stagesAre(name string, want map[string][]string) {
	r.t.Helper()
	d, err := r.client.DescribeSecret(r.t.Context(), &sm.DescribeSecretInput{SecretId: &name})
	must(r.t, err)
	for _, on := range d.VersionIdsToStages {
		slices.Sort(on)
	}
	if !maps.EqualFunc(d.VersionIdsToStages, want, slices.Equal) {
		r.t.Errorf("stages of %s\n got %v\nwant %v", name, d.VersionIdsToStages, want)
	}
}

// keysAre checks that an answer succeeded with exactly these fields.
func keysAre(t *testing.T, a answer, want ...string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(a.fields(t)))
	slices.Sort(want)
	if a.status != 200 || !slices.Equal(got, want) {
		t.Errorf("status %d, keys %v, want %v (%s)", a.status, got, want, a.body)
	}
}

// wantError checks a raw error answer: status 400, type, and the text if one
// is given.
func wantError(t *testing.T, a answer, code, message string) {
	t.Helper()
	gotCode, gotMessage := a.errorOf(t)
	if a.status != 400 || gotCode != code || (message != "" && gotMessage != message) {
		t.Errorf("got %d %s: %q\nwant 400 %s: %q", a.status, gotCode, gotMessage, code, message)
	}
}

// must2 is must for calls whose answer does not matter.
func must2[T any](_ T, err error) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		must(t, err)
	}
}

func TestUnknownMasterKey(t *testing.T) {
	r := start(t)
	_, err := r.client.CreateSecret(t.Context(), &sm.CreateSecretInput{Name: aws.String("k"), SecretString: aws.String("v"), KmsKeyId: aws.String("alias/nosuch")})
	refused(t, err, "EncryptionFailure", "")
	_, err = r.client.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: aws.String("k")})
	refused(t, err, "ResourceNotFoundException", "")
}
