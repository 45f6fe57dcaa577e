package clients

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const withToken = `,"ClientRequestToken":"` + tok1 + `"`

// TestWire looks at what is on the wire, below what an SDK shows.
func TestWire(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.run(wireRows)
	r.run(keyRows)
}

var number = regexp.MustCompile(`^\d{10}\.\d{1,3}$`)

var wireRows = []row{
	{"R1 blobs are base64 on the wire and bytes in the SDK", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("bin"), SecretBinary: []byte("footest")})
		if got := string(r.get(sm.GetSecretValueInput{SecretId: s.name}).SecretBinary); got != "footest" {
			r.t.Errorf("in the SDK: %q", got)
		}
		a := r.raw("GetSecretValue", fmt.Sprintf(`{"SecretId":"%s"}`, *s.name))
		r.keysAre(a, "ARN", "Name", "VersionId", "SecretBinary", "VersionStages", "CreatedDate")
		if got := string(r.fields(a)["SecretBinary"]); got != `"Zm9vdGVzdA=="` {
			r.t.Errorf("on the wire: %s", got)
		}
	}},
	{"R1 timestamps are numbers, seconds with a fraction", func(r *rig) {
		s := r.create("v")
		r.get(sm.GetSecretValueInput{SecretId: s.name})
		f := r.fields(r.raw("DescribeSecret", fmt.Sprintf(`{"SecretId":"%s"}`, *s.name)))
		for _, name := range []string{"CreatedDate", "LastChangedDate", "LastAccessedDate"} {
			if !number.MatchString(string(f[name])) {
				r.t.Errorf("%s: %s", name, f[name])
			}
		}
	}},
	{"R1 success is HTTP 200, an empty output an empty body or {}", func(r *rig) {
		s := r.create("v")
		for action, form := range map[string]string{
			"TagResource":   `{"SecretId":"%s","Tags":[{"Key":"a","Value":"b"}]}`,
			"UntagResource": `{"SecretId":"%s","TagKeys":["a"]}`,
		} {
			a := r.raw(action, fmt.Sprintf(form, *s.name))
			if a.status != http.StatusOK || (a.body != "" && a.body != "{}") || a.header.Get("Content-Type") != "application/x-amz-json-1.1" {
				r.t.Errorf("%s: %d %q %v", action, a.status, a.body, a.header)
			}
		}
	}},
	{"R1 fields without a value are left out", func(r *rig) {
		s := r.create("v")
		r.keysAre(r.raw("ListSecrets", fmt.Sprintf(`{"Filters":[{"Key":"name","Values":["%s"]}]}`, *s.name)), "SecretList")
		r.keysAre(r.raw("ListSecretVersionIds", fmt.Sprintf(`{"SecretId":"%s"}`, *s.name)), "ARN", "Name", "Versions")
		for _, action := range []string{"DescribeSecret", "GetSecretValue", "ListSecretVersionIds"} {
			a := r.raw(action, fmt.Sprintf(`{"SecretId":"%s"}`, *s.name))
			if strings.Contains(a.body, "null") || strings.Contains(a.body, `""`) {
				r.t.Errorf("%s: %s", action, a.body)
			}
		}
	}},
	{"R1 every client error is HTTP 400, not-found too", func(r *rig) {
		for action, b := range map[string]string{
			"GetSecretValue": `{"SecretId":"nosuch"}`, "DescribeSecret": `{"SecretId":"in valid"}`,
			"ListSecrets": `{"MaxResults":0}`, "GetRandomPassword": `{"PasswordLength":1}`, "NoSuchAction": `{}`,
		} {
			if a := r.raw(action, b); a.status != http.StatusBadRequest {
				r.t.Errorf("%s: %d %s", action, a.status, a.body)
			}
		}
	}},
	{"R1 a declared error is a bare code in __type and a capital Message", func(r *rig) {
		a := r.raw("GetSecretValue", `{"SecretId":"nosuch"}`)
		if want := `{"__type":"ResourceNotFoundException","Message":"` + saysNoSecret + `"}`; a.body != want {
			r.t.Errorf("got %s, want %s", a.body, want)
		}
	}},
	{"R1 an undeclared error has its code and text in the SDK", func(r *rig) {
		r.refuses(do((*sm.Client).DescribeSecret, sm.DescribeSecretInput{SecretId: aws.String("in valid")}), validation, saysBadName)
		stranger := *r
		stranger.client = sm.New(r.client.Options(), func(o *sm.Options) {
			o.Credentials = aws.AnonymousCredentials{}
		})
		if err := do((*sm.Client).ListSecrets, sm.ListSecretsInput{})(&stranger); err == nil {
			r.t.Error("a request without a signature succeeded")
		}
	}},
}

// keyRows are the exact fields of the answers.
var keyRows = []row{
	{"R2 CreateSecret with a value: ARN, Name, VersionId", func(r *rig) {
		r.keysAre(r.raw("CreateSecret", fmt.Sprintf(`{"Name":"%s","SecretString":"v"`+withToken+`}`, *r.fresh("k"))), "ARN", "Name", "VersionId")
	}},
	{"R2 CreateSecret without a value: ARN, Name", func(r *rig) {
		r.keysAre(r.raw("CreateSecret", fmt.Sprintf(`{"Name":"%s"`+withToken+`}`, *r.fresh("k"))), "ARN", "Name")
	}},
	{"R2 DescribeSecret of a secret without a value", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("k")})
		r.describes(s, "ARN", "Name", "CreatedDate", "LastChangedDate")
	}},
	{"R2 DescribeSecret, never rotated, default key: no field of rotation, no KmsKeyId", func(r *rig) {
		r.describes(r.create("v"), "ARN", "Name", "CreatedDate", "LastChangedDate", "VersionIdsToStages")
	}},
	{"D2 DescribeSecret, default key by AWS's name for it: no KmsKeyId", func(r *rig) {
		for _, key := range []string{"alias/aws/secretsmanager", "arn:aws:kms:us-east-1:" + account + ":alias/aws/secretsmanager"} {
			s := r.createAs(sm.CreateSecretInput{Name: r.fresh("k"), SecretString: v, KmsKeyId: &key})
			r.mustDo(do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, KmsKeyId: &key}))
			r.describes(s, "ARN", "Name", "CreatedDate", "LastChangedDate", "VersionIdsToStages")
		}
	}},
	{"R2 DescribeSecret, marked for deletion: DeletedDate, and the labels still", func(r *rig) {
		r.describes(r.marked(), "ARN", "Name", "CreatedDate", "LastChangedDate", "VersionIdsToStages", "DeletedDate")
	}},
	{"R2 a Description of \"\" at creation is left out", func(r *rig) {
		r.describes(r.createAs(sm.CreateSecretInput{Name: r.fresh("k"), Description: aws.String("")}), "ARN", "Name", "CreatedDate", "LastChangedDate")
	}},
	{"R2 UpdateSecret without a value: ARN, Name", func(r *rig) {
		s := r.create("v")
		r.keysAre(r.raw("UpdateSecret", fmt.Sprintf(`{"SecretId":"%s"`+withToken+`}`, *s.name)), "ARN", "Name")
		r.keysAre(r.raw("UpdateSecret", fmt.Sprintf(`{"SecretId":"%s","Description":"d"`+withToken+`}`, *s.name)), "ARN", "Name")
	}},
	{"R2 UpdateSecret with a value: VersionId; PutSecretValue: VersionStages too", func(r *rig) {
		s := r.create("v")
		r.keysAre(r.raw("UpdateSecret", fmt.Sprintf(`{"SecretId":"%s","SecretString":"2"`+withToken+`}`, *s.name)), "ARN", "Name", "VersionId")
		r.keysAre(r.raw("PutSecretValue", fmt.Sprintf(`{"SecretId":"%s","SecretString":"3","ClientRequestToken":"%s"}`, *s.name, tok2)), "ARN", "Name", "VersionId", "VersionStages")
	}},
	{"R2 UpdateSecretVersionStage, RestoreSecret, PutResourcePolicy, DeleteResourcePolicy: ARN, Name", func(r *rig) {
		s := r.create("v")
		for _, c := range [][2]string{
			{"UpdateSecretVersionStage", fmt.Sprintf(`{"SecretId":"%s","VersionStage":"mine","MoveToVersionId":"%s"}`, *s.name, *s.version)},
			{"RestoreSecret", fmt.Sprintf(`{"SecretId":"%s"}`, *s.name)},
			{"PutResourcePolicy", fmt.Sprintf(`{"SecretId":"%s","ResourcePolicy":%q}`, *s.name, narrowPolicy)},
			{"DeleteResourcePolicy", fmt.Sprintf(`{"SecretId":"%s"}`, *s.name)},
		} {
			r.keysAre(r.raw(c[0], c[1]), "ARN", "Name")
		}
	}},
	{"R2 GetResourcePolicy without a policy: ARN, Name", func(r *rig) {
		r.keysAre(r.raw("GetResourcePolicy", fmt.Sprintf(`{"SecretId":"%s"}`, *r.create("v").name)), "ARN", "Name")
	}},
	{"R2 DeleteSecret: ARN, Name, DeletionDate", func(r *rig) {
		r.keysAre(r.raw("DeleteSecret", fmt.Sprintf(`{"SecretId":"%s"}`, *r.create("v").name)), "ARN", "Name", "DeletionDate")
	}},
	{"R2 a version: DefaultEncryptionKey, no stages when it has none, LastAccessedDate only if read", func(r *rig) {
		s := r.create("1")
		r.put(s, "2", tok2)
		r.put(s, "3", tok3)
		r.get(sm.GetSecretValueInput{SecretId: s.name})
		out, err := r.client.ListSecretVersionIds(r.t.Context(), &sm.ListSecretVersionIdsInput{SecretId: s.name, IncludeDeprecated: aws.Bool(true)})
		r.must(err)
		for _, v := range out.Versions {
			if read := v.LastAccessedDate != nil; read != (*v.VersionId == tok3) {
				r.t.Errorf("version %s: LastAccessedDate %v", *v.VersionId, v.LastAccessedDate)
			}
			if bare := v.VersionStages == nil; bare != (*v.VersionId == *s.version) || v.CreatedDate == nil || !slices.Equal(v.KmsKeyIds, []string{"DefaultEncryptionKey"}) {
				r.t.Errorf("version %+v", v)
			}
		}
	}},
}

func (r *rig) describes(s made, keys ...string) {
	r.t.Helper()
	r.keysAre(r.raw("DescribeSecret", fmt.Sprintf(`{"SecretId":"%s"}`, *s.name)), keys...)
}

// TestBodies: what no SDK sends.
func TestBodies(t *testing.T) {
	t.Parallel()
	r := start(t)
	s := r.create("v")
	for _, c := range []struct{ name, action, body, code string }{
		{"no JSON", "DescribeSecret", `{`, "SerializationException"},
		{"a list", "DescribeSecret", `[]`, "SerializationException"},
		{"a wrong type", "DescribeSecret", `{"SecretId":1}`, "SerializationException"},
		{"a field twice", "DescribeSecret", `{"SecretId":"a","SecretId":"b"}`, "SerializationException"},
		{"not UTF-8", "DescribeSecret", "{\"SecretId\":\"\xff\"}", "SerializationException"},
		{"nested deeply", "DescribeSecret", strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), "SerializationException"},
		{"not base64", "PutSecretValue", fmt.Sprintf(`{"SecretId":"%s","SecretBinary":"*"`+withToken+`}`, *s.name), "SerializationException"},
		{"nothing required", "DescribeSecret", `{}`, validation},
		{"an unknown action", "StealSecret", `{}`, "UnknownOperationException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mine := *r
			mine.t = t
			mine.rawRefused(mine.raw(c.action, c.body), c.code, "")
		})
	}
	t.Run("an unknown field is ignored", func(t *testing.T) {
		mine := *r
		mine.t = t
		mine.keysAre(mine.raw("RestoreSecret", fmt.Sprintf(`{"SecretId":"%s","New":{"In":["2030"]}}`, *s.name)), "ARN", "Name")
	})
	if len(r.versions(s.name)) != 1 {
		t.Error("a refused request changed something")
	}
}

// TestRegions: the region of the signature is another place.
func TestRegions(t *testing.T) {
	t.Parallel()
	r := start(t, "--regions", "us-east-1,eu-west-1")
	home, away := r, *r
	away.client = r.clientFor("eu-west-1")
	s := home.create("here")
	away.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: s.name}), notFound, saysNoSecret)
	away.createAs(sm.CreateSecretInput{Name: s.name, SecretString: aws.String("there")})
	if got := *home.get(sm.GetSecretValueInput{SecretId: s.name}).SecretString; got != "here" {
		t.Errorf("home has %q", got)
	}
	d := away.describe(s.name)
	if !strings.HasPrefix(*d.ARN, "arn:aws:secretsmanager:eu-west-1:"+account+":secret:") || d.PrimaryRegion != nil {
		t.Errorf("%s, primary region %v", *d.ARN, d.PrimaryRegion)
	}
	unserved := *r
	unserved.client = r.clientFor("ap-south-1")
	if err := do((*sm.Client).ListSecrets, sm.ListSecretsInput{Filters: []types.Filter{}})(&unserved); err == nil || !strings.Contains(err.Error(), "eu-west-1") {
		t.Errorf("a region that is not served: %v", err)
	}
}
