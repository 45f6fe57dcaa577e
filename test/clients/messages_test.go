package clients

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// TestMessages: the refusals whose words AWS was recorded to say.
func TestMessages(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.run(messageRows)
}

// onSecret are the actions that take a SecretId, with the rest of a valid
// request.
var onSecret = map[string]string{
	"CancelRotateSecret": "", "DeleteResourcePolicy": "", "DeleteSecret": "", "DescribeSecret": "", "GetResourcePolicy": "",
	"GetSecretValue": "", "ListSecretVersionIds": "", "RestoreSecret": "", "StopReplicationToReplica": "",
	"PutResourcePolicy":            fmt.Sprintf(`,"ResourcePolicy":%q`, narrowPolicy),
	"PutSecretValue":               `,"SecretString":"v"` + withToken,
	"RemoveRegionsFromReplication": `,"RemoveReplicaRegions":["eu-west-1"]`,
	"ReplicateSecretToRegions":     `,"AddReplicaRegions":[{"Region":"eu-west-1"}]`,
	"RotateSecret":                 `,"RotationLambdaARN":"postgres"` + withToken,
	"TagResource":                  `,"Tags":[{"Key":"k","Value":"v"}]`,
	"UntagResource":                `,"TagKeys":["k"]`,
	"UpdateSecret":                 withToken,
	"UpdateSecretVersionStage":     `,"VersionStage":"x","MoveToVersionId":"` + tok1 + `"`,
	"ValidateResourcePolicy":       fmt.Sprintf(`,"ResourcePolicy":%q`, narrowPolicy),
}

var messageRows = []row{
	{"R4 secret unknown, any action", func(r *rig) {
		for action, rest := range onSecret {
			r.rawRefused(r.raw(action, `{"SecretId":"nosuch"`+rest+`}`), notFound, saysNoSecret)
		}
	}},
	{"R4 get: no version has the label, or there is no value at all", func(r *rig) {
		const text = "Secrets Manager can't find the specified secret value for staging label: "
		s, bare := r.create("v"), r.createAs(sm.CreateSecretInput{Name: r.fresh("bare")})
		r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: s.name, VersionStage: aws.String("AWSPREVIOUS")}), notFound, text+"AWSPREVIOUS")
		r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: bare.name}), notFound, text+"AWSCURRENT")
		r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: bare.name, VersionStage: aws.String("mine")}), notFound, text+"mine")
	}},
	{"R4 get: version id unknown", func(r *rig) {
		r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: r.create("v").name, VersionId: aws.String(tok4)}), notFound,
			"Secrets Manager can't find the specified secret value for VersionId: "+tok4)
	}},
	{"R4 get: the version exists without that label", func(r *rig) {
		s := r.create("v")
		r.put(s, "2", tok2, "mine")
		for _, stage := range []string{"mine", "AWSPREVIOUS"} {
			r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: s.name, VersionId: s.version, VersionStage: &stage}), invalidRequest,
				"You provided a VersionStage that is not associated to the provided VersionId.")
		}
	}},
	{"R4 create: the name is taken", func(r *rig) {
		s := r.create("v")
		r.refuses(do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: s.name, SecretString: v}), exists,
			"The operation failed because the secret "+*s.name+" already exists.")
	}},
	{"R4 create, put, update: the token was used with other data", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("s"), SecretString: v, ClientRequestToken: aws.String(tok1)})
		text := "You can't use ClientRequestToken " + tok1 + " because that value is already in use for a version of secret " + *s.arn + "."
		other, token := aws.String("other"), aws.String(tok1)
		r.refuses(do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: s.name, SecretString: other, ClientRequestToken: token}), exists, text)
		r.refuses(do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: s.name, SecretString: other, ClientRequestToken: token}), exists, text)
		r.refuses(do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: s.name, SecretBinary: []byte("v"), ClientRequestToken: token}), exists, text)
		r.refuses(do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, SecretString: other, ClientRequestToken: token}), exists, text)
	}},
	{"R4 create: the name is scheduled for deletion", func(r *rig) {
		r.refuses(do((*sm.Client).CreateSecret, sm.CreateSecretInput{Name: r.marked().name, SecretString: v}), invalidRequest,
			"You can't create this secret because a secret with this name is already scheduled for deletion.")
	}},
	{"R4 tag, untag, update of a marked secret", func(r *rig) {
		s := r.marked()
		for _, action := range []string{"TagResource", "UntagResource", "UpdateSecret"} {
			r.rawRefused(r.raw(action, fmt.Sprintf(`{"SecretId":"%s"`+onSecret[action]+`}`, *s.name)), invalidRequest, saysMarked)
		}
	}},
	{"R4 forbidden characters, before existence and before Force's leniency", func(r *rig) {
		r.rawRefused(r.raw("CreateSecret", `{"Name":"in valid"`+withToken+`}`), validation, saysBadName)
		r.rawRefused(r.raw("DeleteSecret", `{"SecretId":"in*valid","ForceDeleteWithoutRecovery":true}`), validation, saysBadName)
		for _, action := range []string{"DeleteSecret", "DescribeSecret", "GetSecretValue", "ListSecretVersionIds", "PutSecretValue",
			"TagResource", "UntagResource", "UpdateSecret", "ValidateResourcePolicy"} {
			for _, id := range []string{"in valid", "?", "a:b", "é", "arn:aws:secretsmanager:us-east-1:" + account + ":secret:a b"} {
				r.rawRefused(r.raw(action, fmt.Sprintf(`{"SecretId":"%s"`+onSecret[action]+`}`, id)), validation, saysBadName)
			}
		}
	}},
	{"R4 no token in a raw request, before the secret is looked for", func(r *rig) {
		r.rawRefused(r.raw("CreateSecret", `{"Name":"x","SecretString":"v"}`), invalidRequest, saysNoToken)
		r.rawRefused(r.raw("PutSecretValue", `{"SecretId":"nosuch","SecretString":"v"}`), invalidRequest, saysNoToken)
		r.rawRefused(r.raw("UpdateSecret", `{"SecretId":"nosuch","SecretString":"v"}`), invalidRequest, saysNoToken)
	}},
	{"R4 no token in a raw RotateSecret: another code, before the secret is looked for", func(r *rig) {
		r.rawRefused(r.raw("RotateSecret", `{"SecretId":"nosuch"}`), invalidParameter, saysNoToken)
	}},
	{"R4 UpdateSecretVersionStage: the label sits elsewhere and its holder is not named", func(r *rig) {
		s := r.create("1")
		r.put(s, "2", tok2)
		r.refuses(do((*sm.Client).UpdateSecretVersionStage, sm.UpdateSecretVersionStageInput{SecretId: s.name, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: s.version}), invalidParameter,
			"The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version "+tok2+", so you must explicitly reference that version in RemoveFromVersionId.")
		r.stagesAre(s, map[string][]string{tok2: {"AWSCURRENT"}, *s.version: {"AWSPREVIOUS"}})
	}},
	{"R4 rotate: no function configured or given", func(r *rig) {
		r.refuses(do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: r.create("v").name}), invalidRequest,
			"No Lambda rotation function ARN is associated with this secret.")
	}},
	{"R4 rotate: the function cannot be invoked; nothing about rotation is stored", func(r *rig) {
		s := r.create("v")
		r.refuses(do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: s.name,
			RotationLambdaARN: aws.String("arn:aws:lambda:us-east-1:" + account + ":function:nosuch")}), accessDenied,
			"Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.")
		r.describes(s, "ARN", "Name", "CreatedDate", "LastChangedDate", "VersionIdsToStages")
	}},
}
