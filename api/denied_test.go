package api_test

import (
	"slices"
	"testing"

	"lockstep"
	"lockstep/keys"
	"lockstep/store"
)

// asUser gives the account a user without any policy, and returns the rig as
// that user sees it.
func (r *rig) asUser(name string) *rig {
	r.t.Helper()
	return r.asOne(&store.User{ARN: "arn:aws:iam::" + account + ":user/" + name, Account: account, Name: name})
}

// asOne adds a user, of whatever account, and returns the rig as it sees it.
func (r *rig) asOne(user *store.User) *rig {
	r.t.Helper()
	const secret = "0123456789012345678901234567890123456789"
	arn, id := user.ARN, "AKIAUSERUSER"+string(user.Account[:8])
	sealed, err := r.keys.Seal(r.t.Context(), store.Owner{Account: account, Region: region}, "",
		lockstep.StringValue(secret), keys.Binding{ARN: arn, Version: id})
	must(r.t, err)
	must(r.t, r.store.Update(r.t.Context(), func(tx store.Tx) error {
		user.Created = tx.Now()
		if err := tx.InsertUser(user); err != nil {
			return err
		}
		return tx.InsertAccessKey(&store.AccessKey{ID: id, UserARN: arn, Secret: sealed, Active: true, Created: tx.Now()})
	}))
	u := *r
	u.creds.AccessKeyID, u.creds.SecretKey = id, lockstep.StringValue(secret)
	u.client = u.clientFor(region)
	return &u
}

func TestWhoMayNothing(t *testing.T) {
	r := start(t)
	made := r.create("secret", marker)
	u := r.asUser("app")
	policy := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"secretsmanager:GetSecretValue\",\"Resource\":\"*\"}]}`
	for _, action := range []string{"BatchGetSecretValue", "CancelRotateSecret", "CreateSecret", "DeleteResourcePolicy", "DeleteSecret",
		"DescribeSecret", "GetRandomPassword", "GetResourcePolicy", "GetSecretValue", "ListSecretVersionIds", "ListSecrets",
		"PutResourcePolicy", "PutSecretValue", "RemoveRegionsFromReplication", "ReplicateSecretToRegions", "RestoreSecret", "RotateSecret",
		"StopReplicationToReplica", "TagResource", "UntagResource", "UpdateSecret", "UpdateSecretVersionStage", "ValidateResourcePolicy"} {
		// A name that is there and one that is not are told apart by nothing.
		for _, name := range []string{"secret", "nosuch"} {
			t.Run(action+" "+name, func(t *testing.T) {
				wantError(t, u.raw(action, `{"SecretId":"`+name+`","Name":"`+name+`","SecretString":"v","ClientRequestToken":"`+tok1+`","Tags":[],"TagKeys":[],
					"VersionStage":"x","ResourcePolicy":"`+policy+`","RotationLambdaARN":"plain","AddReplicaRegions":[{"Region":"eu-west-1"}],"RemoveReplicaRegions":["eu-west-1"],"SecretIdList":["`+name+`"]}`), "AccessDeniedException", "")
			})
		}
	}
	t.Run("force on a name that is not there", func(t *testing.T) {
		wantError(t, u.raw("DeleteSecret", `{"SecretId":"nosuch","ForceDeleteWithoutRecovery":true}`), "AccessDeniedException", "")
	})
	// The ARN as far as the caller named it: the six characters at its end would
	// tell that the secret is there.
	t.Run("the text says who, what, and on which ARN", func(t *testing.T) {
		wantError(t, u.raw("GetSecretValue", `{"SecretId":"secret"}`), "AccessDeniedException",
			"User: arn:aws:iam::000000000000:user/app is not authorized to perform: secretsmanager:GetSecretValue on resource: "+
				(*made.ARN)[:len(*made.ARN)-len("-xxxxxx")]+" because no identity-based policy allows the secretsmanager:GetSecretValue action")
	})
	for _, c := range [][2]string{{"GET", "/v1/runs"}, {"GET", "/v1/runs?secret=secret"}, {"GET", "/v1/rotation?secret=secret"}, {"PUT", "/v1/rotation?secret=secret"},
		{"POST", "/v1/plans?secret=secret"}, {"GET", "/v1/plans/x"}, {"GET", "/v1/rotation?secret=nosuch"}, {"POST", "/v1/plans?secret=nosuch"}, {"GET", "/v1/events?secret=secret"}, {"GET", "/v1/check"}, {"GET", "/v1/users"}, {"POST", "/v1/users"}, {"GET", "/v1/users/app"}, {"PUT", "/v1/users/app"}, {"DELETE", "/v1/users/app"},
		{"POST", "/v1/access-keys?user=app"}, {"POST", "/v1/access-keys?user=root"}, {"PUT", "/v1/access-keys/AKIAUSERUSERUSERUSER"}, {"DELETE", "/v1/access-keys/AKIAUSERUSERUSERUSER"},
		{"PUT", "/v1/access-keys/nosuch"}, {"GET", "/v1/groups"}, {"POST", "/v1/groups"}, {"GET", "/v1/groups/x"}, {"DELETE", "/v1/groups/x"}, {"PUT", "/v1/memberships?group=a&user=app"},
		{"DELETE", "/v1/memberships?group=a&user=app"}, {"GET", "/v1/roles"}, {"POST", "/v1/roles"}, {"GET", "/v1/roles/x"}, {"PUT", "/v1/roles/x"}, {"DELETE", "/v1/roles/x"},
		{"GET", "/v1/policies"}, {"POST", "/v1/policies"}, {"GET", "/v1/policies/x"}, {"PUT", "/v1/policies/x"}, {"DELETE", "/v1/policies/x"},
		{"PUT", "/v1/attachments?policy=a&user=app"}, {"DELETE", "/v1/attachments?policy=a&user=app"}, {"GET", "/v1/status"}, {"GET", "/v1/openapi.json"},
		{"GET", "/v1/dead-jobs"}, {"GET", "/v1/holds"}, {"POST", "/v1/trials?secret=secret"}, {"GET", "/v1/graph"}, {"GET", "/v1/graph?secret=secret"}, {"GET", "/v1/batches"}, {"POST", "/v1/batches"}, {"POST", "/v1/batches/emergency"}, {"GET", "/v1/batches/x"}, {"POST", "/v1/batches/x/cancel"}, {"PUT", "/v1/holds/x"}, {"DELETE", "/v1/holds/x"}, {"GET", "/v1/load"}, {"POST", "/v1/retirements?secret=secret"}, {"POST", "/v1/retirements/override?secret=secret"},
		{"GET", "/v1/root-key"}, {"PUT", "/v1/root-key"}, {"POST", "/v1/backup"}, {"GET", "/v1/key-use?key=alias/aws/secretsmanager"}} {
		t.Run(c[0]+" "+c[1], func(t *testing.T) {
			if got := u.v1(c[0], c[1], ""); got.status != 403 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	d := r.raw("DescribeSecret", `{"SecretId":"secret"}`).fields(t)
	if slices.ContainsFunc([]string{"Tags", "DeletedDate", "RotationEnabled"}, func(k string) bool { return d[k] != nil }) {
		t.Errorf("something was changed: %v", d)
	}
}
