package clients

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const (
	narrowPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	broadPolicy  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	lockOut      = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:*","Resource":"*"}]}`
)

// refusal is one way in which an action fails; message is empty where AWS's
// text is not known.
type refusal struct {
	why           string
	request       request
	code, message string
}

// TestEveryAction calls each action so that it succeeds, and so that it fails
// in each of the ways that AWS declares for it and a client can bring about.
// The secrets: live has a value, empty has none, gone is marked for deletion.
func TestEveryAction(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.createAs(sm.CreateSecretInput{Name: live, SecretString: aws.String("v"), ClientRequestToken: aws.String(tok1)})
	r.createAs(sm.CreateSecretInput{Name: empty})
	r.createAs(sm.CreateSecretInput{Name: gone, SecretString: aws.String("v")})
	r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: gone}))
	for name, fails := range refusals {
		for _, one := range fails {
			r.run([]row{{name + " refuses " + one.why, func(r *rig) { r.refuses(one.request, one.code, one.message) }}})
		}
	}
	if got := r.versions(live); len(got) != 1 {
		t.Errorf("a refused request left a version: %v", got)
	}
	for name, q := range successes(r) {
		r.run([]row{{name + " succeeds", func(r *rig) { r.mustDo(q) }}})
	}
}

var (
	live   = aws.String("live")
	empty  = aws.String("empty")
	gone   = aws.String("gone")
	nosuch = aws.String("nosuch")
	long   = aws.String(strings.Repeat("x", 65537))
	v      = aws.String("v")
)

// successes are requests that each action takes. Those of replication, which
// Lockstep has not, are absent.
func successes(r *rig) map[string]request {
	victim, back := r.create("v"), r.marked()
	return map[string]request{
		"BatchGetSecretValue":      do((*sm.Client).BatchGetSecretValue, sm.BatchGetSecretValueInput{SecretIdList: []string{"live", "nosuch"}}),
		"CreateSecret":             do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: r.fresh("new"), Description: v, Tags: []types.Tag{{Key: v, Value: v}}}),
		"DeleteResourcePolicy":     do((*sm.Client).DeleteResourcePolicy, sm.DeleteResourcePolicyInput{SecretId: live}),
		"DeleteSecret":             do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: victim.name, RecoveryWindowInDays: aws.Int64(7)}),
		"DescribeSecret":           do((*sm.Client).DescribeSecret, sm.DescribeSecretInput{SecretId: live}),
		"GetRandomPassword":        do((*sm.Client).GetRandomPassword, sm.GetRandomPasswordInput{}),
		"GetResourcePolicy":        do((*sm.Client).GetResourcePolicy, sm.GetResourcePolicyInput{SecretId: live}),
		"GetSecretValue":           do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: live}),
		"ListSecretVersionIds":     do((*sm.Client).ListSecretVersionIds, sm.ListSecretVersionIdsInput{SecretId: live}),
		"ListSecrets":              do((*sm.Client).ListSecrets, sm.ListSecretsInput{}),
		"PutResourcePolicy":        do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: live, ResourcePolicy: aws.String(narrowPolicy)}),
		"PutSecretValue":           do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: live, SecretBinary: []byte{0, 255}}),
		"RestoreSecret":            do((*sm.Client).RestoreSecret, sm.RestoreSecretInput{SecretId: back.arn}),
		"TagResource":              do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: live, Tags: []types.Tag{{Key: v, Value: v}}}),
		"UntagResource":            do((*sm.Client).UntagResource, sm.UntagResourceInput{SecretId: live, TagKeys: []string{"v"}}),
		"UpdateSecret":             do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: live, Description: v}),
		"UpdateSecretVersionStage": do((*sm.Client).UpdateSecretVersionStage, sm.UpdateSecretVersionStageInput{SecretId: live, VersionStage: v, MoveToVersionId: aws.String(tok1)}),
		"ValidateResourcePolicy":   do((*sm.Client).ValidateResourcePolicy, sm.ValidateResourcePolicyInput{ResourcePolicy: aws.String(narrowPolicy)}),
	}
}

// refusals are kept by action. RotateSecret and CancelRotateSecret succeed in
// TestRotation.
var refusals = map[string][]refusal{
	"BatchGetSecretValue": {
		{"neither list nor filter", do((*sm.Client).BatchGetSecretValue, sm.BatchGetSecretValueInput{}), invalidParameter, "Either 'SecretIdList' or 'Filters' must be provided, but not both."},
		{"list and filter", do((*sm.Client).BatchGetSecretValue, sm.BatchGetSecretValueInput{SecretIdList: []string{"a"}, Filters: []types.Filter{by("name", "a")}}), invalidParameter, "Either 'SecretIdList' or 'Filters' must be provided, but not both."},
		{"MaxResults with a list", do((*sm.Client).BatchGetSecretValue, sm.BatchGetSecretValueInput{SecretIdList: []string{"a"}, MaxResults: aws.Int32(1)}), invalidParameter, "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."},
		{"a made-up token", do((*sm.Client).BatchGetSecretValue, sm.BatchGetSecretValueInput{Filters: []types.Filter{by("name", "a")}, NextToken: v}), invalidNextToken, ""},
		{"21 ids", do((*sm.Client).BatchGetSecretValue, sm.BatchGetSecretValueInput{SecretIdList: strings.Split(strings.Repeat("a,", 20)+"a", ",")}), validation, ""},
	},
	"CancelRotateSecret": {
		{"an unknown secret", do((*sm.Client).CancelRotateSecret, sm.CancelRotateSecretInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).CancelRotateSecret, sm.CancelRotateSecretInput{SecretId: gone}), invalidRequest, saysMarked},
		{"a secret without rotation", do((*sm.Client).CancelRotateSecret, sm.CancelRotateSecretInput{SecretId: live}), invalidRequest, ""},
	},
	"CreateSecret": {
		{"a name that is taken", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: live, SecretString: v}), exists, "The operation failed because the secret live already exists."},
		{"a marked name", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: gone, SecretString: v}), invalidRequest, "You can't create this secret because a secret with this name is already scheduled for deletion."},
		{"two values", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: nosuch, SecretString: v, SecretBinary: []byte("v")}), invalidParameter, ""},
		{"a reserved tag", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: nosuch, Tags: []types.Tag{{Key: aws.String("aws:x"), Value: v}}}), invalidParameter, ""},
		{"a key that is not there", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: nosuch, SecretString: v, KmsKeyId: aws.String("alias/nosuch")}), encryptionFailed, ""},
		{"a value over 65536 bytes", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: nosuch, SecretString: long}), validation, ""},
		{"a replica in its own region", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: nosuch, AddReplicaRegions: replicas(region)}), invalidParameter, "Invalid replica region."},
		{"a replica in a region that is not served", do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: nosuch, AddReplicaRegions: replicas("eu-west-1")}), invalidParameter, "Invalid replica region. This server serves: us-east-1."},
	},
	"DeleteResourcePolicy": {
		{"an unknown secret", do((*sm.Client).DeleteResourcePolicy, sm.DeleteResourcePolicyInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).DeleteResourcePolicy, sm.DeleteResourcePolicyInput{SecretId: gone}), invalidRequest, saysMarked},
	},
	"DeleteSecret": {
		{"an unknown secret", do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: gone}), invalidRequest, ""},
		{"a window of 6 days", do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: live, RecoveryWindowInDays: aws.Int64(6)}), invalidParameter, ""},
		{"a window of 31 days", do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: live, RecoveryWindowInDays: aws.Int64(31)}), invalidParameter, ""},
		{"a window and force", do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: live, RecoveryWindowInDays: aws.Int64(7), ForceDeleteWithoutRecovery: aws.Bool(true)}), invalidParameter, ""},
	},
	"DescribeSecret": {
		{"an unknown secret", do((*sm.Client).DescribeSecret, sm.DescribeSecretInput{SecretId: nosuch}), notFound, saysNoSecret},
	},
	"GetRandomPassword": {
		{"3 characters of 4 kinds", do((*sm.Client).GetRandomPassword, sm.GetRandomPasswordInput{PasswordLength: aws.Int64(3)}), invalidParameter, ""},
		{"nothing left to draw from", do((*sm.Client).GetRandomPassword, sm.GetRandomPasswordInput{ExcludeLowercase: aws.Bool(true), ExcludeUppercase: aws.Bool(true), ExcludeNumbers: aws.Bool(true), ExcludePunctuation: aws.Bool(true)}), invalidParameter, ""},
		{"4097 characters", do((*sm.Client).GetRandomPassword, sm.GetRandomPasswordInput{PasswordLength: aws.Int64(4097)}), validation, ""},
	},
	"GetResourcePolicy": {
		{"an unknown secret", do((*sm.Client).GetResourcePolicy, sm.GetResourcePolicyInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).GetResourcePolicy, sm.GetResourcePolicyInput{SecretId: gone}), invalidRequest, saysMarked},
	},
	"GetSecretValue": {
		{"an unknown secret", do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: gone}), invalidRequest, saysMarked},
		{"a secret without a value", do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: empty}), notFound, "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"},
		{"another version's label", do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: live, VersionId: aws.String(tok1), VersionStage: v}), invalidRequest, "You provided a VersionStage that is not associated to the provided VersionId."},
	},
	"ListSecretVersionIds": {
		{"an unknown secret", do((*sm.Client).ListSecretVersionIds, sm.ListSecretVersionIdsInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a made-up token", do((*sm.Client).ListSecretVersionIds, sm.ListSecretVersionIdsInput{SecretId: live, NextToken: v}), invalidNextToken, ""},
		{"a page of 101", do((*sm.Client).ListSecretVersionIds, sm.ListSecretVersionIdsInput{SecretId: live, MaxResults: aws.Int32(101)}), validation, ""},
	},
	"ListSecrets": {
		{"a filter without a key", do((*sm.Client).ListSecrets, sm.ListSecretsInput{Filters: []types.Filter{by("", "a")}}), invalidParameter, "Invalid filter key"},
		{"a filter without values", do((*sm.Client).ListSecrets, sm.ListSecretsInput{Filters: []types.Filter{by("name")}}), invalidParameter, "Invalid filter values for key: name"},
		{"an unknown filter", do((*sm.Client).ListSecrets, sm.ListSecretsInput{Filters: []types.Filter{by("size", "a")}}), validation,
			"1 validation error detected: Value 'size' at 'filters.1.member.key' failed to satisfy constraint: Member must satisfy enum value set: [all, name, tag-key, description, tag-value, primary-region, owning-service]"},
		{"a made-up token", do((*sm.Client).ListSecrets, sm.ListSecretsInput{NextToken: v}), invalidNextToken, ""},
		{"a page of 0", do((*sm.Client).ListSecrets, sm.ListSecretsInput{MaxResults: aws.Int32(0)}), validation, ""},
	},
	"PutResourcePolicy": {
		{"an unknown secret", do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: nosuch, ResourcePolicy: aws.String(narrowPolicy)}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: gone, ResourcePolicy: aws.String(narrowPolicy)}), invalidRequest, saysMarked},
		{"no JSON", do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: live, ResourcePolicy: aws.String("{")}), malformedPolicy, ""},
		{"no policy", do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: live, ResourcePolicy: aws.String("{}")}), malformedPolicy, ""},
		{"a public policy, if asked to", do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: live, ResourcePolicy: aws.String(broadPolicy), BlockPublicPolicy: aws.Bool(true)}), publicPolicy, ""},
		{"a policy that locks its owner out", do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: live, ResourcePolicy: aws.String(lockOut)}), invalidParameter, ""},
	},
	"PutSecretValue": {
		{"an unknown secret", do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: nosuch, SecretString: v}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: gone, SecretString: v}), invalidRequest, saysMarked},
		{"no value", do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: live}), invalidRequest, "You must provide either SecretString or SecretBinary."},
		{"two values", do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: live, SecretString: v, SecretBinary: []byte("v")}), invalidParameter, ""},
		{"a token used with other data", do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: live, SecretString: aws.String("w"), ClientRequestToken: aws.String(tok1)}), exists, ""},
		{"a value over 65536 bytes", do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: live, SecretString: long}), validation, ""},
		{"21 labels", do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: live, SecretString: v, VersionStages: labels(21)}), validation, ""},
	},
	"RemoveRegionsFromReplication": {
		{"an unknown secret", do((*sm.Client).RemoveRegionsFromReplication, sm.RemoveRegionsFromReplicationInput{SecretId: nosuch, RemoveReplicaRegions: []string{"eu-west-1"}}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).RemoveRegionsFromReplication, sm.RemoveRegionsFromReplicationInput{SecretId: gone, RemoveReplicaRegions: []string{"eu-west-1"}}), invalidRequest, saysMarked},
		{"no region name", do((*sm.Client).RemoveRegionsFromReplication, sm.RemoveRegionsFromReplicationInput{SecretId: live, RemoveReplicaRegions: []string{"Europe"}}), validation, ""},
		{"no regions", do((*sm.Client).RemoveRegionsFromReplication, sm.RemoveRegionsFromReplicationInput{SecretId: live, RemoveReplicaRegions: []string{}}), validation, ""},
	},
	"ReplicateSecretToRegions": {
		{"an unknown secret", do((*sm.Client).ReplicateSecretToRegions, sm.ReplicateSecretToRegionsInput{SecretId: nosuch, AddReplicaRegions: []types.ReplicaRegionType{{Region: aws.String("eu-west-1")}}}), notFound, saysNoSecret},
		{"its own region", do((*sm.Client).ReplicateSecretToRegions, sm.ReplicateSecretToRegionsInput{SecretId: live, AddReplicaRegions: replicas(region)}), invalidParameter, "Invalid replica region."},
		{"no region name", do((*sm.Client).ReplicateSecretToRegions, sm.ReplicateSecretToRegionsInput{SecretId: live, AddReplicaRegions: replicas("Europe")}), validation, ""},
		{"no regions", do((*sm.Client).ReplicateSecretToRegions, sm.ReplicateSecretToRegionsInput{SecretId: live, AddReplicaRegions: replicas()}), validation, ""},
	},
	"RestoreSecret": {
		{"an unknown secret", do((*sm.Client).RestoreSecret, sm.RestoreSecretInput{SecretId: nosuch}), notFound, saysNoSecret},
	},
	"RotateSecret": {
		{"an unknown secret", do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: nosuch, RotationLambdaARN: aws.String("postgres")}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: gone, RotationLambdaARN: aws.String("postgres")}), invalidRequest, saysMarked},
		{"a short token", do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: live, ClientRequestToken: v}), invalidParameter, "ClientRequestToken must be 32-64 characters long."},
		{"a long ARN", do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: live, RotationLambdaARN: long}), invalidParameter, "RotationLambdaARN must <= 2048 characters long."},
		{"1001 days", do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: live, RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(1001)}}), invalidParameter, "RotationRules.AutomaticallyAfterDays must be within 1-1000."},
		{"days and an expression", do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: live, RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(1), ScheduleExpression: aws.String("rate(1 day)")}}), invalidParameter, ""},
		{"a bad expression", do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: live, RotationLambdaARN: aws.String("postgres"), RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("rate(x days)")}}), invalidParameter, ""},
	},
	"StopReplicationToReplica": {
		{"an unknown secret", do((*sm.Client).StopReplicationToReplica, sm.StopReplicationToReplicaInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a secret that is no replica", do((*sm.Client).StopReplicationToReplica, sm.StopReplicationToReplicaInput{SecretId: live}), invalidRequest, ""},
	},
	"TagResource": {
		{"an unknown secret", do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: nosuch, Tags: []types.Tag{{Key: v, Value: v}}}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: gone, Tags: []types.Tag{{Key: v, Value: v}}}), invalidRequest, saysMarked},
		{"a reserved key", do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: live, Tags: []types.Tag{{Key: aws.String("aws:x"), Value: v}}}), invalidParameter, ""},
		{"51 tags", do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: live, Tags: manyTags(51)}), invalidParameter, ""},
	},
	"UntagResource": {
		{"an unknown secret", do((*sm.Client).UntagResource, sm.UntagResourceInput{SecretId: nosuch, TagKeys: []string{"v"}}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).UntagResource, sm.UntagResourceInput{SecretId: gone, TagKeys: []string{"v"}}), invalidRequest, saysMarked},
	},
	"UpdateSecret": {
		{"an unknown secret", do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: nosuch}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: gone, Description: v}), invalidRequest, saysMarked},
		{"two values", do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: live, SecretString: v, SecretBinary: []byte("v")}), invalidParameter, ""},
		{"a token used with other data", do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: live, SecretString: aws.String("w"), ClientRequestToken: aws.String(tok1)}), exists, ""},
		{"a key that is not there", do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: live, SecretString: v, KmsKeyId: aws.String("alias/nosuch")}), encryptionFailed, ""},
	},
	"UpdateSecretVersionStage": {
		{"an unknown secret", do((*sm.Client).UpdateSecretVersionStage, sm.UpdateSecretVersionStageInput{SecretId: nosuch, VersionStage: v, MoveToVersionId: aws.String(tok1)}), notFound, saysNoSecret},
		{"a marked secret", do((*sm.Client).UpdateSecretVersionStage, sm.UpdateSecretVersionStageInput{SecretId: gone, VersionStage: v, MoveToVersionId: aws.String(tok1)}), invalidRequest, saysMarked},
		{"a label that is not on that version", do((*sm.Client).UpdateSecretVersionStage, sm.UpdateSecretVersionStageInput{SecretId: live, VersionStage: v, RemoveFromVersionId: aws.String(tok1)}), invalidParameter, ""},
		{"a version that is not there", do((*sm.Client).UpdateSecretVersionStage, sm.UpdateSecretVersionStageInput{SecretId: live, VersionStage: v, MoveToVersionId: aws.String(tok4)}), notFound, ""},
	},
	"ValidateResourcePolicy": {
		{"an unknown secret", do((*sm.Client).ValidateResourcePolicy, sm.ValidateResourcePolicyInput{SecretId: nosuch, ResourcePolicy: aws.String(narrowPolicy)}), notFound, saysNoSecret},
		{"no JSON", do((*sm.Client).ValidateResourcePolicy, sm.ValidateResourcePolicyInput{ResourcePolicy: aws.String("{")}), malformedPolicy, ""},
		{"no JSON object", do((*sm.Client).ValidateResourcePolicy, sm.ValidateResourcePolicyInput{ResourcePolicy: aws.String("[]")}), malformedPolicy, ""},
		{"null", do((*sm.Client).ValidateResourcePolicy, sm.ValidateResourcePolicyInput{ResourcePolicy: aws.String("null")}), malformedPolicy, ""},
	},
}

func replicas(regions ...string) []types.ReplicaRegionType {
	all := make([]types.ReplicaRegionType, 0, len(regions))
	for _, r := range regions {
		all = append(all, types.ReplicaRegionType{Region: aws.String(r)})
	}
	return all
}

func by(key types.FilterNameStringType, values ...string) types.Filter {
	return types.Filter{Key: key, Values: values}
}

func labels(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = "label" + strings.Repeat("x", i)
	}
	return all
}

func manyTags(n int) []types.Tag {
	all := make([]types.Tag, 0, n)
	for _, l := range labels(n) {
		all = append(all, types.Tag{Key: aws.String(l), Value: v})
	}
	return all
}
