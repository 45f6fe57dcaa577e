package api_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"lockstep/store"
)

// TestOtherAccounts: "R4 cross-account read or write of a secret under the
// default key". What does not touch a value works, if the resource policy lets
// the other account in; nothing does without.
func TestOtherAccounts(t *testing.T) {
	r := start(t)
	const other = "111111111111"
	them := r.asOne(&store.User{ARN: "arn:aws:iam::" + other + ":root", Account: other, Name: "root"})
	s := r.create("shared", "v")
	ctx, name := t.Context(), s.Name
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + other + `"},"Action":"secretsmanager:*","Resource":"*"}]}`
	get := func(id *string) error {
		_, err := them.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id})
		return err
	}
	refused(t, get(s.ARN), "AccessDeniedException", "")
	_, err := r.client.PutResourcePolicy(ctx, &sm.PutResourcePolicyInput{SecretId: name, ResourcePolicy: &policy})
	must(t, err)

	const text = "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key."
	refused(t, get(s.ARN), "InvalidRequestException", text)
	_, err = them.client.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: s.ARN, SecretString: aws.String("w")})
	refused(t, err, "InvalidRequestException", text)
	_, err = them.client.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: s.ARN, SecretString: aws.String("w")})
	refused(t, err, "InvalidRequestException", text)
	refused(t, get(name), "ResourceNotFoundException", "") // by name it would be theirs

	for what, call := range map[string]func() error{
		"describe": func() error {
			_, err := them.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: s.ARN})
			return err
		},
		"policy": func() error {
			_, err := them.client.GetResourcePolicy(ctx, &sm.GetResourcePolicyInput{SecretId: s.ARN})
			return err
		},
		"tags": func() error {
			_, err := them.client.TagResource(ctx, &sm.TagResourceInput{SecretId: s.ARN, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
			return err
		},
		"list versions": func() error {
			_, err := them.client.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: s.ARN})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestRulesKeepWhatAWSKnowsNotOf: RotationRules replace expression, days and
// duration; time zone, jitter and catch-up that were set through /v1 stay.
func TestRulesKeepWhatAWSKnowsNotOf(t *testing.T) {
	r := start(t)
	r.create("zoned", "v")
	set := r.v1("PUT", "/v1/rotation?secret=zoned", `{"rotator":"plain","schedule":{"expression":"cron(0 3 * * ? *)","duration":"2h","timeZone":"Europe/Berlin","jitter":"10m","catchUp":"skip"}}`)
	if set.status != 200 {
		t.Fatalf("%d %s", set.status, set.body)
	}
	_, err := r.client.RotateSecret(t.Context(), &sm.RotateSecretInput{SecretId: aws.String("zoned"), RotateImmediately: aws.Bool(false),
		RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("cron(0 5 * * ? *)"), Duration: aws.String("3h")}})
	must(t, err)
	must(t, r.store.View(t.Context(), func(tx store.ReadTx) error {
		s, err := tx.FindSecret(store.Owner{Account: account, Region: region}, "zoned")
		if err != nil {
			return err
		}
		got := s.Rotation.Schedule
		if got.Expression != "cron(0 5 * * ? *)" || got.Duration != "3h" {
			t.Errorf("rules %q, %q", got.Expression, got.Duration)
		}
		if got.TimeZone != "Europe/Berlin" || got.Jitter.String() != "10m0s" || got.CatchUp != "skip" {
			t.Errorf("time zone %q, jitter %s, catch-up %q", got.TimeZone, got.Jitter, got.CatchUp)
		}
		return nil
	}))
}
