package clients

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const otherRegion = "eu-west-1"

// TestReplication: one server that serves two regions, chapter 12.
func TestReplication(t *testing.T) {
	t.Parallel()
	r := start(t, "--regions", region+","+otherRegion+",ap-south-1")
	r.run(replicationRows)
}

// elsewhere is the same server in the other region.
func (r *rig) elsewhere() *rig {
	there := *r
	there.client = r.clientFor(otherRegion)
	return &there
}

// replicated makes a secret with a replica.
func (r *rig) replicated(value string) made {
	r.t.Helper()
	return r.createAs(sm.CreateSecretInput{Name: r.fresh("replicated"), SecretString: &value, AddReplicaRegions: replicas(otherRegion)})
}

func (r *rig) statuses(in []types.ReplicationStatusType, want ...string) {
	r.t.Helper()
	var got []string
	for _, s := range in {
		got = append(got, *s.Region+" "+string(s.Status))
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("replicas %q, want %q", got, want)
	}
}

var replicationRows = []row{
	{"M12 create, describe, replicate and remove answer ReplicationStatus; m12 InSync at once", func(r *rig) {
		out, err := r.client.CreateSecret(r.t.Context(), &sm.CreateSecretInput{Name: r.fresh("s"), SecretString: v, AddReplicaRegions: replicas(otherRegion)})
		r.must(err)
		r.statuses(out.ReplicationStatus, "eu-west-1 InSync")
		more, err := r.client.ReplicateSecretToRegions(r.t.Context(), &sm.ReplicateSecretToRegionsInput{SecretId: out.Name, AddReplicaRegions: replicas("ap-south-1")})
		r.must(err)
		r.statuses(more.ReplicationStatus, "eu-west-1 InSync", "ap-south-1 InSync")
		r.statuses(r.describe(out.Name).ReplicationStatus, "eu-west-1 InSync", "ap-south-1 InSync")
		less, err := r.client.RemoveRegionsFromReplication(r.t.Context(), &sm.RemoveRegionsFromReplicationInput{SecretId: out.Name, RemoveReplicaRegions: []string{otherRegion}})
		r.must(err)
		r.statuses(less.ReplicationStatus, "ap-south-1 InSync")
	}},
	{"m12 a replica has the versions, name and tags; PrimaryRegion is shown on both", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("s"), SecretString: aws.String("one"), AddReplicaRegions: replicas(otherRegion),
			Tags: []types.Tag{{Key: aws.String("k"), Value: v}}, Description: v})
		r.put(s, "two", tok2)
		there := r.elsewhere()
		for _, at := range []*rig{r, there} {
			d := at.describe(s.name)
			if aws.ToString(d.PrimaryRegion) != region || len(d.Tags) != 1 || aws.ToString(d.Description) != "v" || *d.Name != *s.name {
				r.t.Errorf("described as %+v", d)
			}
			at.stagesAre(s, map[string][]string{tok2: {"AWSCURRENT"}, *s.version: {"AWSPREVIOUS"}})
			if got := at.get(sm.GetSecretValueInput{SecretId: s.name}); *got.SecretString != "two" || *got.VersionId != tok2 {
				r.t.Errorf("value %q of version %s", *got.SecretString, *got.VersionId)
			}
		}
	}},
	{"m5 a replica's ARN is the primary's with the region exchanged", func(r *rig) {
		s := r.replicated("v")
		want := "arn:aws:secretsmanager:" + otherRegion + (*s.arn)[len("arn:aws:secretsmanager:"+region):]
		there := r.elsewhere()
		if got := *there.describe(s.name).ARN; got != want {
			r.t.Errorf("ARN %s, want %s", got, want)
		}
		if got := *there.get(sm.GetSecretValueInput{SecretId: &want}).SecretString; got != "v" {
			r.t.Errorf("by ARN: %q", got)
		}
	}},
	{"M12 LastAccessedDate of a replica is its own", func(r *rig) {
		s := r.replicated("v")
		if r.describe(s.name).ReplicationStatus[0].LastAccessedDate != nil {
			r.t.Error("the replica was not read yet")
		}
		r.elsewhere().get(sm.GetSecretValueInput{SecretId: s.name})
		if d := r.describe(s.name); d.ReplicationStatus[0].LastAccessedDate == nil || d.LastAccessedDate != nil {
			r.t.Error("the read of the replica is not where it belongs")
		}
	}},
	{"m4 replicate to the own region", func(r *rig) {
		r.refuses(do((*sm.Client).ReplicateSecretToRegions, sm.ReplicateSecretToRegionsInput{SecretId: r.create("v").name, AddReplicaRegions: replicas(region)}),
			invalidParameter, "Invalid replica region.")
	}},
	{"m4 a replica is changed only where its primary is", func(r *rig) {
		const text = "Operation not permitted on a replica secret. Call must be made in primary secret's region."
		id, there := r.replicated("v").name, r.elsewhere()
		for _, q := range []request{
			do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: id, Description: v}),
			do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: id, SecretString: v}),
			do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: id, Tags: []types.Tag{{Key: v, Value: v}}}),
			do((*sm.Client).UntagResource, sm.UntagResourceInput{SecretId: id, TagKeys: []string{"v"}}),
			do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: id, ResourcePolicy: aws.String(narrowPolicy)}),
			do((*sm.Client).DeleteResourcePolicy, sm.DeleteResourcePolicyInput{SecretId: id}),
			do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: id}),
			do((*sm.Client).RestoreSecret, sm.RestoreSecretInput{SecretId: id}),
			do((*sm.Client).CancelRotateSecret, sm.CancelRotateSecretInput{SecretId: id}),
			do((*sm.Client).RotateSecret, sm.RotateSecretInput{SecretId: id, RotationLambdaARN: aws.String("postgres")}),
			do((*sm.Client).ReplicateSecretToRegions, sm.ReplicateSecretToRegionsInput{SecretId: id, AddReplicaRegions: replicas("ap-south-1")}),
			do((*sm.Client).RemoveRegionsFromReplication, sm.RemoveRegionsFromReplicationInput{SecretId: id, RemoveReplicaRegions: []string{"ap-south-1"}}),
		} {
			there.refuses(q, invalidParameter, text)
		}
	}},
	{"a replica's policy can be read, its key be changed", func(r *rig) {
		s, there := r.replicated("v"), r.elsewhere()
		r.mustDo(do((*sm.Client).PutResourcePolicy, sm.PutResourcePolicyInput{SecretId: s.name, ResourcePolicy: aws.String(narrowPolicy)}))
		got, err := there.client.GetResourcePolicy(r.t.Context(), &sm.GetResourcePolicyInput{SecretId: s.name})
		r.must(err)
		if aws.ToString(got.ResourcePolicy) != narrowPolicy {
			r.t.Errorf("policy %q", aws.ToString(got.ResourcePolicy))
		}
		there.mustDo(do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, KmsKeyId: aws.String("alias/aws/secretsmanager")}))
		there.refuses(do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, KmsKeyId: aws.String("alias/nosuch")}), encryptionFailed, "")
	}},
	{"m4 delete with replicas; D9 a primary with replicas cannot be deleted", func(r *rig) {
		s := r.replicated("v")
		r.refuses(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.name}), invalidParameter,
			"You can't delete secret "+*s.arn+" that still has replica regions [eu-west-1]")
		r.mustDo(do((*sm.Client).RemoveRegionsFromReplication, sm.RemoveRegionsFromReplicationInput{SecretId: s.name, RemoveReplicaRegions: []string{otherRegion}}))
		r.elsewhere().refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: s.name}), notFound, saysNoSecret)
		r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.name}))
	}},
	{"m12 a name that is there fails, ForceOverwriteReplicaSecret replaces it with the primary's ARN suffix", func(r *rig) {
		s, there := r.create("v"), r.elsewhere()
		there.createAs(sm.CreateSecretInput{Name: s.name, SecretString: aws.String("its own")})
		out, err := r.client.ReplicateSecretToRegions(r.t.Context(), &sm.ReplicateSecretToRegionsInput{SecretId: s.name, AddReplicaRegions: replicas(otherRegion)})
		r.must(err)
		r.statuses(out.ReplicationStatus, "eu-west-1 Failed")
		if aws.ToString(out.ReplicationStatus[0].StatusMessage) == "" {
			r.t.Error("no StatusMessage")
		}
		out, err = r.client.ReplicateSecretToRegions(r.t.Context(), &sm.ReplicateSecretToRegionsInput{SecretId: s.name, AddReplicaRegions: replicas(otherRegion), ForceOverwriteReplicaSecret: true})
		r.must(err)
		r.statuses(out.ReplicationStatus, "eu-west-1 InSync")
		got := there.get(sm.GetSecretValueInput{SecretId: s.name})
		if *got.SecretString != "v" || (*got.ARN)[len(*got.ARN)-6:] != (*s.arn)[len(*s.arn)-6:] {
			r.t.Errorf("%s has %q", *got.ARN, *got.SecretString)
		}
	}},
	{"D12 StopReplicationToReplica makes it a primary of its own", func(r *rig) {
		s, there := r.replicated("v"), r.elsewhere()
		out, err := there.client.StopReplicationToReplica(r.t.Context(), &sm.StopReplicationToReplicaInput{SecretId: s.name})
		r.must(err)
		if *out.ARN != *there.describe(s.name).ARN {
			r.t.Errorf("answered %s", *out.ARN)
		}
		there.put(s, "its own", tok3)
		if got := *r.get(sm.GetSecretValueInput{SecretId: s.name}).SecretString; got != "v" {
			r.t.Errorf("the former primary has %q", got)
		}
		if d := r.describe(s.name); d.PrimaryRegion != nil || len(d.ReplicationStatus) != 0 {
			r.t.Errorf("the former primary shows %v of %v", d.ReplicationStatus, d.PrimaryRegion)
		}
	}},
	{"m8 the filter primary-region matches replicated secrets alone", func(r *rig) {
		s, plain, there := r.replicated("v"), r.create("v"), r.elsewhere()
		for _, at := range []*rig{r, there} {
			out, err := at.client.ListSecrets(r.t.Context(), &sm.ListSecretsInput{Filters: []types.Filter{by("primary-region", region), by("name", *s.name)}})
			r.must(err)
			if len(out.SecretList) != 1 || aws.ToString(out.SecretList[0].PrimaryRegion) != region {
				r.t.Errorf("found %d", len(out.SecretList))
			}
		}
		out, err := r.client.ListSecrets(r.t.Context(), &sm.ListSecretsInput{Filters: []types.Filter{by("primary-region", region), by("name", *plain.name)}})
		r.must(err)
		if len(out.SecretList) != 0 {
			r.t.Error("a secret without replicas was found")
		}
	}},
	{"M2 the answers' keys", func(r *rig) {
		s := r.create("v")
		r.keysAre(r.raw("ReplicateSecretToRegions", `{"SecretId":"`+*s.name+`","AddReplicaRegions":[{"Region":"eu-west-1"}]}`), "ARN", "ReplicationStatus")
		r.keysAre(r.raw("RemoveRegionsFromReplication", `{"SecretId":"`+*s.name+`","RemoveReplicaRegions":["eu-west-1"]}`), "ARN", "ReplicationStatus")
		r.keysAre(r.raw("DescribeSecret", `{"SecretId":"`+*s.name+`"}`), "ARN", "Name", "CreatedDate", "LastChangedDate", "VersionIdsToStages")
	}},
}
