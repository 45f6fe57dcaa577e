package api_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// three makes a secret with three versions: tok1 (deprecated), tok2
// (AWSPREVIOUS), tok3 (AWSCURRENT).
func (r *rig) three(name string) *sm.CreateSecretOutput {
	r.t.Helper()
	made, err := r.client.CreateSecret(r.t.Context(), &sm.CreateSecretInput{
		Name: &name, SecretString: aws.String("1"), ClientRequestToken: aws.String(tok1)})
	must(r.t, err)
	for i, token := range []string{tok2, tok3} {
		must2(r.client.PutSecretValue(r.t.Context(), &sm.PutSecretValueInput{
			SecretId: &name, SecretString: aws.String(fmt.Sprint(i + 2)), ClientRequestToken: &token}))(r.t)
	}
	return made
}

func TestListSecretVersionIds(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	made := r.three("v")
	list := func(in sm.ListSecretVersionIdsInput) *sm.ListSecretVersionIdsOutput {
		t.Helper()
		in.SecretId = made.ARN
		out, err := r.client.ListSecretVersionIds(ctx, &in)
		must(t, err)
		return out
	}
	ids := func(out *sm.ListSecretVersionIdsOutput) (got []string) {
		for _, v := range out.Versions {
			got = append(got, *v.VersionId)
		}
		return got
	}
	t.Run("R: deprecated versions only when asked for, then without stages", func(t *testing.T) {
		if got := ids(list(sm.ListSecretVersionIdsInput{})); !slices.Equal(got, []string{tok2, tok3}) {
			t.Errorf("got %v", got)
		}
		out := list(sm.ListSecretVersionIdsInput{IncludeDeprecated: aws.Bool(true)})
		if got := ids(out); !slices.Equal(got, []string{tok1, tok2, tok3}) || out.Versions[0].VersionStages != nil {
			t.Errorf("got %v %v", got, out.Versions[0].VersionStages)
		}
	})
	t.Run("R: a version's fields", func(t *testing.T) {
		v := list(sm.ListSecretVersionIdsInput{}).Versions[1]
		if !slices.Equal(v.KmsKeyIds, []string{"DefaultEncryptionKey"}) || v.CreatedDate == nil || v.LastAccessedDate != nil {
			t.Errorf("%+v", v)
		}
		must2(r.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: made.ARN}))(t)
		if v := list(sm.ListSecretVersionIdsInput{}).Versions[1]; v.LastAccessedDate == nil {
			t.Error("no LastAccessedDate after a read")
		}
		keysAre(t, r.raw("ListSecretVersionIds", `{"SecretId":"v"}`), "ARN", "Name", "Versions")
	})
	t.Run("pages survive a version added between them", func(t *testing.T) {
		first := list(sm.ListSecretVersionIdsInput{IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(2)})
		must2(r.client.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String("4"), VersionStages: []string{"x"}}))(t)
		rest := list(sm.ListSecretVersionIdsInput{IncludeDeprecated: aws.Bool(true), NextToken: first.NextToken})
		if got := ids(first); !slices.Equal(got, []string{tok1, tok2}) || len(rest.Versions) != 2 || *rest.Versions[0].VersionId != tok3 || rest.NextToken != nil {
			t.Errorf("first %v, rest %v", got, ids(rest))
		}
		_, err := r.client.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: made.ARN, NextToken: first.NextToken})
		refused(t, err, "InvalidNextTokenException", "") // the token of another question
	})
	t.Run("a deprecated version stays readable by its id", func(t *testing.T) {
		out, err := r.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: made.ARN, VersionId: aws.String(tok1)})
		must(t, err)
		if *out.SecretString != "1" || out.VersionStages != nil {
			t.Errorf("%+v", out)
		}
	})
}

func TestUpdateSecretVersionStage(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	move := func(name, stage, from, to string) error {
		in := sm.UpdateSecretVersionStageInput{SecretId: &name, VersionStage: &stage}
		if from != "" {
			in.RemoveFromVersionId = &from
		}
		if to != "" {
			in.MoveToVersionId = &to
		}
		_, err := r.client.UpdateSecretVersionStage(ctx, &in)
		return err
	}
	t.Run("R: answer", func(t *testing.T) {
		r.three("a")
		keysAre(t, r.raw("UpdateSecretVersionStage", `{"SecretId":"a","VersionStage":"mine","MoveToVersionId":"`+tok1+`"}`), "ARN", "Name")
	})
	t.Run("moving AWSCURRENT back swaps it with AWSPREVIOUS", func(t *testing.T) {
		r.three("b")
		must(t, move("b", "AWSCURRENT", tok3, tok2))
		r.stagesAre("b", map[string][]string{tok2: {"AWSCURRENT"}, tok3: {"AWSPREVIOUS"}})
	})
	t.Run("R: the holder must be named", func(t *testing.T) {
		r.three("c")
		refused(t, move("c", "AWSCURRENT", "", tok2), "InvalidParameterException", fmt.Sprintf(
			"The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", tok3))
		r.stagesAre("c", map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
	})
	t.Run("R: onto the AWSPENDING version leaves both labels", func(t *testing.T) {
		r.create("d", "1")
		must2(r.client.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("d"), SecretString: aws.String("2"),
			ClientRequestToken: aws.String(tok1), VersionStages: []string{"AWSPENDING"}}))(t)
		d, err := r.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("d")})
		must(t, err)
		must(t, move("d", "AWSCURRENT", *d.VersionId, tok1))
		r.stagesAre("d", map[string][]string{tok1: {"AWSCURRENT", "AWSPENDING"}, *d.VersionId: {"AWSPREVIOUS"}})
	})
	t.Run("R: only RemoveFromVersionId takes the label off; free names", func(t *testing.T) {
		r.three("e")
		must(t, move("e", "AWSSOMETHING", "", tok1))
		must(t, move("e", "AWSSOMETHING", tok1, ""))
		r.stagesAre("e", map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
		refused(t, move("e", "AWSSOMETHING", tok1, ""), "InvalidParameterException", "")
		refused(t, move("e", "AWSCURRENT", tok2, tok1), "InvalidParameterException", "")
		refused(t, move("e", "AWSCURRENT", tok3, ""), "InvalidParameterException", "")
		refused(t, move("e", "mine", "", "44444444-4444-4444-8444-444444444444"), "ResourceNotFoundException", "")
	})
}

func TestDeletion(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	del := func(in sm.DeleteSecretInput) (*sm.DeleteSecretOutput, error) { return r.client.DeleteSecret(ctx, &in) }
	t.Run("D: 30 days by default, or as asked; describe shows it", func(t *testing.T) {
		for name, c := range map[string]struct {
			window *int64
			days   int
		}{"a": {nil, 30}, "b": {aws.Int64(7), 7}} {
			r.create(name, "v")
			out, err := del(sm.DeleteSecretInput{SecretId: &name, RecoveryWindowInDays: c.window})
			must(t, err)
			d, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &name})
			must(t, err)
			if days := out.DeletionDate.Sub(*d.CreatedDate).Hours() / 24; int(days+0.01) != c.days || !d.DeletedDate.Equal(*out.DeletionDate) {
				t.Errorf("%s: %v days, described as %v", name, days, d.DeletedDate)
			}
			if len(d.VersionIdsToStages) != 1 {
				t.Errorf("stages %v", d.VersionIdsToStages)
			}
		}
	})
	t.Run("R: what a marked secret refuses", func(t *testing.T) {
		r.create("m", "v")
		must2(del(sm.DeleteSecretInput{SecretId: aws.String("m")}))(t)
		token := `"ClientRequestToken":"` + tok1 + `"`
		for action, body := range map[string]string{
			"GetSecretValue": `{"SecretId":"m"}`, "PutSecretValue": `{"SecretId":"m","SecretString":"v",` + token + `}`,
			"UpdateSecret": `{"SecretId":"m","Description":"d",` + token + `}`, "TagResource": `{"SecretId":"m","Tags":[{"Key":"k","Value":"v"}]}`,
			"UntagResource": `{"SecretId":"m","TagKeys":["k"]}`, "RotateSecret": `{"SecretId":"m","RotationLambdaARN":"plain",` + token + `}`,
			"CancelRotateSecret": `{"SecretId":"m"}`,
		} {
			a := r.raw(action, body)
			if code, message := a.errorOf(t); code != "InvalidRequestException" ||
				message != "You can't perform this operation on the secret because it was marked for deletion." {
				t.Errorf("%s: %s", action, a.body)
			}
		}
		_, err := del(sm.DeleteSecretInput{SecretId: aws.String("m")})
		refused(t, err, "InvalidRequestException", "")
	})
	t.Run("R: restore, also of what is not marked", func(t *testing.T) {
		for range 2 {
			keysAre(t, r.raw("RestoreSecret", `{"SecretId":"m"}`), "ARN", "Name")
		}
		d, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: aws.String("m")})
		must(t, err)
		if d.DeletedDate != nil {
			t.Errorf("DeletedDate %v", d.DeletedDate)
		}
	})
	t.Run("R: force: the name is free at once, with another ARN", func(t *testing.T) {
		one := r.create("f", "v")
		must2(del(sm.DeleteSecretInput{SecretId: aws.String("f")}))(t)
		keysAre(t, r.raw("DeleteSecret", `{"SecretId":"f","ForceDeleteWithoutRecovery":true}`), "ARN", "Name", "DeletionDate")
		if two := r.create("f", "v"); *two.ARN == *one.ARN {
			t.Error("the ARN was used again")
		}
	})
	t.Run("R: force on an unknown name succeeds", func(t *testing.T) {
		out, err := del(sm.DeleteSecretInput{SecretId: aws.String("never"), ForceDeleteWithoutRecovery: aws.Bool(true)})
		must(t, err)
		if *out.Name != "never" || out.ARN == nil || out.DeletionDate == nil {
			t.Errorf("%+v", out)
		}
		_, err = del(sm.DeleteSecretInput{SecretId: aws.String("never")})
		refused(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	})
	t.Run("m: windows", func(t *testing.T) {
		r.create("w", "v")
		for _, days := range []int64{0, 2, 6, 31, 100} {
			for _, force := range []bool{false, true} {
				_, err := del(sm.DeleteSecretInput{SecretId: aws.String("w"), RecoveryWindowInDays: &days, ForceDeleteWithoutRecovery: &force})
				refused(t, err, "InvalidParameterException", "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
			}
		}
		_, err := del(sm.DeleteSecretInput{SecretId: aws.String("w"), RecoveryWindowInDays: aws.Int64(7), ForceDeleteWithoutRecovery: aws.Bool(true)})
		refused(t, err, "InvalidParameterException", "")
		must2(r.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("w")}))(t)
	})
}
