package api_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

func TestRotateSecret(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	rotate := func(in sm.RotateSecretInput) (*sm.RotateSecretOutput, error) { return r.client.RotateSecret(ctx, &in) }

	t.Run("R: no function configured or given", func(t *testing.T) {
		r.create("none", "v")
		_, err := rotate(sm.RotateSecretInput{SecretId: aws.String("none")})
		refused(t, err, "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
	})
	t.Run("R: a function that cannot be invoked; nothing is stored", func(t *testing.T) {
		_, err := rotate(sm.RotateSecretInput{SecretId: aws.String("none"), RotationLambdaARN: aws.String("arn:aws:lambda:us-east-1:000000000000:function:nosuch")})
		refused(t, err, "AccessDeniedException", "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.")
		keysAre(t, r.raw("DescribeSecret", `{"SecretId":"none"}`), "ARN", "Name", "CreatedDate", "LastChangedDate", "VersionIdsToStages")
	})
	t.Run("R, L: answered at once with the token; the pending version is staged and has no value", func(t *testing.T) {
		made := r.create("rot", "v")
		out, err := rotate(sm.RotateSecretInput{SecretId: aws.String("rot"), ClientRequestToken: aws.String(tok1),
			RotationLambdaARN: aws.String("arn:aws:lambda:us-east-1:000000000000:function:plain"),
			RotationRules:     &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(7)}})
		must(t, err)
		if *out.VersionId != tok1 || *out.ARN != *made.ARN {
			t.Errorf("%+v", out)
		}
		r.stagesAre("rot", map[string][]string{*made.VersionId: {"AWSCURRENT"}, tok1: {"AWSPENDING"}})
		d, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: aws.String("rot")})
		must(t, err)
		if !*d.RotationEnabled || *d.RotationLambdaARN != "arn:aws:lambda:us-east-1:000000000000:function:plain" ||
			*d.RotationRules.AutomaticallyAfterDays != 7 || d.NextRotationDate == nil || d.LastRotatedDate != nil {
			t.Errorf("%+v", d)
		}
		_, err = r.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("rot"), VersionId: aws.String(tok1), VersionStage: aws.String("AWSPENDING")})
		refused(t, err, "ResourceNotFoundException", "")
		l, err := r.client.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: aws.String("rot")})
		must(t, err)
		if len(l.Versions) != 2 {
			t.Errorf("%d versions", len(l.Versions))
		}
		again, err := rotate(sm.RotateSecretInput{SecretId: aws.String("rot"), ClientRequestToken: aws.String(tok1)})
		must(t, err)
		if *again.VersionId != tok1 {
			t.Errorf("again: %+v", again)
		}
	})
	t.Run("m: cancel: disabled, the rest stays; a second one is refused", func(t *testing.T) {
		keysAre(t, r.raw("CancelRotateSecret", `{"SecretId":"rot"}`), "ARN", "Name", "VersionId")
		d, err := r.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: aws.String("rot")})
		must(t, err)
		if *d.RotationEnabled || d.RotationLambdaARN == nil || *d.RotationRules.AutomaticallyAfterDays != 7 || d.NextRotationDate != nil {
			t.Errorf("%+v", d)
		}
		_, err = r.client.CancelRotateSecret(ctx, &sm.CancelRotateSecretInput{SecretId: aws.String("rot")})
		refused(t, err, "InvalidRequestException", "")
	})
	t.Run("schedules: AWS's, five fields, @every with its fraction", func(t *testing.T) {
		for i, expression := range []string{"rate(4 hours)", "cron(0 16 1,15 * ? *)", "*/5 * * * *", "@every 10s", "@daily", "@every 1.5s"} {
			name := "sched" + string(rune('a'+i))
			r.create(name, "v")
			must2(rotate(sm.RotateSecretInput{SecretId: &name, RotationLambdaARN: aws.String("plain"),
				RotationRules: &types.RotationRulesType{ScheduleExpression: &expression}}))(t)
			d := r.raw("DescribeSecret", `{"SecretId":"`+name+`"}`).fields(t)
			if next := string(d["NextRotationDate"]); !regexp.MustCompile(`^\d{10}\.\d{3}$`).MatchString(next) {
				t.Errorf("%s: NextRotationDate %s", expression, next)
			}
			if rules := string(d["RotationRules"]); rules != `{"ScheduleExpression":"`+expression+`"}` {
				t.Errorf("rules %s", rules)
			}
		}
	})
	t.Run("limits", func(t *testing.T) {
		r.create("lim", "v")
		base := `"SecretId":"lim","RotationLambdaARN":"plain"`
		token := `,"ClientRequestToken":"` + tok2 + `"`
		for _, c := range []struct{ body, code, message string }{
			{base + `,"ClientRequestToken":"short"`, "InvalidParameterException", "ClientRequestToken must be 32-64 characters long."},
			{`"SecretId":"lim","RotationLambdaARN":"` + strings.Repeat("x", 2049) + `"` + token, "InvalidParameterException", "RotationLambdaARN must <= 2048 characters long."},
			{base + token + `,"RotationRules":{"AutomaticallyAfterDays":0}`, "InvalidParameterException", "RotationRules.AutomaticallyAfterDays must be within 1-1000."},
			{base + token + `,"RotationRules":{"AutomaticallyAfterDays":1001}`, "InvalidParameterException", "RotationRules.AutomaticallyAfterDays must be within 1-1000."},
			{base + token + `,"RotationRules":{"AutomaticallyAfterDays":1,"ScheduleExpression":"rate(1 day)"}`, "InvalidParameterException", ""},
			{base + token + `,"RotationRules":{"Duration":"2h"}`, "InvalidParameterException", ""},
			{base + token + `,"RotationRules":{"AutomaticallyAfterDays":1,"Duration":"2 h"}`, "ValidationException", ""},
			{base + token + `,"RotationRules":{"ScheduleExpression":"rate(1 day);"}`, "ValidationException", ""},
			{base + token + `,"RotationRules":{"ScheduleExpression":"rate(x days)"}`, "InvalidParameterException", ""},
			{base + token + `,"ExternalSecretRotationRoleArn":"arn:aws:iam::000000000000:role/x"`, "InvalidRequestException", ""},
			{`"SecretId":"lim","RotationLambdaARN":"nosuch"` + token, "InvalidParameterException", ""},
		} {
			wantError(t, r.raw("RotateSecret", "{"+c.body+"}"), c.code, c.message)
		}
		d := r.raw("DescribeSecret", `{"SecretId":"lim"}`).fields(t)
		if _, set := d["RotationEnabled"]; set {
			t.Error("a refused call stored something about rotation")
		}
	})
}

// TestEveryAction calls each action of the API once, on a secret that is not
// there: each answers in AWS's form.
func TestEveryAction(t *testing.T) {
	r := start(t)
	withoutSecret := []string{"CreateSecret", "GetRandomPassword", "ListSecrets", "BatchGetSecretValue"}
	for _, action := range []string{"BatchGetSecretValue", "CancelRotateSecret", "CreateSecret", "DeleteResourcePolicy", "DeleteSecret",
		"DescribeSecret", "GetRandomPassword", "GetResourcePolicy", "GetSecretValue", "ListSecretVersionIds", "ListSecrets",
		"PutResourcePolicy", "PutSecretValue", "RemoveRegionsFromReplication", "ReplicateSecretToRegions", "RestoreSecret", "RotateSecret",
		"StopReplicationToReplica", "TagResource", "UntagResource", "UpdateSecret", "UpdateSecretVersionStage", "ValidateResourcePolicy"} {
		t.Run(action, func(t *testing.T) {
			policy := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"secretsmanager:GetSecretValue\",\"Resource\":\"*\"}]}`
			a := r.raw(action, `{"SecretId":"nosuch","Name":"made","SecretString":"v","ClientRequestToken":"`+tok1+`","Tags":[],"TagKeys":[],
				"VersionStage":"x","ResourcePolicy":"`+policy+`","RotationLambdaARN":"plain","AddReplicaRegions":[{"Region":"eu-west-1"}],"RemoveReplicaRegions":["eu-west-1"],"SecretIdList":["nosuch"]}`)
			if slices.Contains(withoutSecret, action) {
				if a.status != 200 {
					t.Errorf("%d %s", a.status, a.body)
				}
				return
			}
			wantError(t, a, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
			keysAre(t, answer{status: 200, body: a.body}, "__type", "Message")
		})
	}
}
