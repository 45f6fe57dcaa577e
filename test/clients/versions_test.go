package clients

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// TestVersions: ARNs, versions, their labels and dates.
func TestVersions(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.run(arnRows)
	r.run(versionRows)
	r.run(dateRows)
}

var arnForm = regexp.MustCompile(`^arn:aws:secretsmanager:us-east-1:` + account + `:secret:(.+)-[A-Za-z0-9]{6}$`)

var arnRows = []row{
	{"R5 the ARN ends with the name, its slashes, and six random letters or digits", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("prod/db/app_+=.@-")})
		if m := arnForm.FindStringSubmatch(*s.arn); m == nil || m[1] != *s.name {
			r.t.Errorf("%s of %s", *s.arn, *s.name)
		}
	}},
	{"R5 a secret made again under a freed name gets another suffix", func(r *rig) {
		s := r.create("v")
		r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.name, ForceDeleteWithoutRecovery: aws.Bool(true)}))
		again := r.createAs(sm.CreateSecretInput{Name: s.name, SecretString: v})
		if *again.arn == *s.arn {
			r.t.Error("the same ARN")
		}
		r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: s.arn}), notFound, saysNoSecret)
	}},
	{"R5 SecretId: name, ARN, or ARN without suffix; the answer has the full ARN and the name", func(r *rig) {
		s := r.create("v")
		for _, id := range []string{*s.name, *s.arn, (*s.arn)[:len(*s.arn)-7]} {
			out := r.get(sm.GetSecretValueInput{SecretId: &id})
			d := r.describe(&id)
			if *out.ARN != *s.arn || *out.Name != *s.name || *d.ARN != *s.arn || *d.Name != *s.name {
				r.t.Errorf("%s: %s %s %s %s", id, *out.ARN, *out.Name, *d.ARN, *d.Name)
			}
		}
	}},
	{"R5 a name that ends like a suffix: its partial ARN finds nothing", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: aws.String(*r.fresh("app") + "-a1b2c3"), SecretString: v})
		partial := (*s.arn)[:len(*s.arn)-7]
		r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: &partial}), notFound, saysNoSecret)
		r.get(sm.GetSecretValueInput{SecretId: s.name})
		r.get(sm.GetSecretValueInput{SecretId: s.arn})
	}},
}

// moving is UpdateSecretVersionStage; empty ids are left out.
func moving(s made, stage, from, to string) request {
	in := sm.UpdateSecretVersionStageInput{SecretId: s.name, VersionStage: &stage}
	if from != "" {
		in.RemoveFromVersionId = &from
	}
	if to != "" {
		in.MoveToVersionId = &to
	}
	return do((*sm.Client).UpdateSecretVersionStage, in)
}

// three makes a secret with the versions tok1 (deprecated), tok2 (AWSPREVIOUS)
// and tok3 (AWSCURRENT), whose values are 1, 2 and 3.
func (r *rig) three() made {
	r.t.Helper()
	s := r.createAs(sm.CreateSecretInput{Name: r.fresh("three"), SecretString: aws.String("1"), ClientRequestToken: aws.String(tok1)})
	r.put(s, "2", tok2)
	r.put(s, "3", tok3)
	return s
}

var versionRows = []row{
	{"R6 the VersionId is the ClientRequestToken", func(r *rig) {
		s := r.three()
		if *s.version != tok1 || *r.get(sm.GetSecretValueInput{SecretId: s.name}).VersionId != tok3 {
			r.t.Errorf("%s", *s.version)
		}
	}},
	{"R6 same token and data: success, same version, nothing changes", func(r *rig) {
		in := sm.CreateSecretInput{Name: r.fresh("again"), SecretString: v, ClientRequestToken: aws.String(tok1)}
		s, again := r.createAs(in), r.createAs(in)
		if *again.arn != *s.arn || *again.version != tok1 {
			r.t.Errorf("%s %s", *again.arn, *again.version)
		}
		r.put(s, "2", tok2)
		r.put(s, "3", tok3)
		before := r.describe(s.name).LastChangedDate
		if out := r.put(s, "2", tok2); *out.VersionId != tok2 {
			r.t.Errorf("version %s", *out.VersionId)
		}
		r.mustDo(do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, SecretString: aws.String("2"), ClientRequestToken: aws.String(tok2)}))
		r.stagesAre(s, map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
		if after := r.describe(s.name).LastChangedDate; !after.Equal(*before) {
			r.t.Errorf("LastChangedDate moved from %s to %s", before, after)
		}
	}},
	{"m6 same data, new token: a new version", func(r *rig) {
		s := r.create("v")
		r.put(s, "v", tok2)
		r.stagesAre(s, map[string][]string{tok2: {"AWSCURRENT"}, *s.version: {"AWSPREVIOUS"}})
	}},
	{"R6 a label is on one version: given to another, it leaves the former", func(r *rig) {
		s := r.create("1")
		r.put(s, "2", tok2, "mine", "AWSPENDING")
		r.put(s, "3", tok3, "mine")
		r.stagesAre(s, map[string][]string{*s.version: {"AWSCURRENT"}, tok2: {"AWSPENDING"}, tok3: {"mine"}})
	}},
	{"R6 put without labels, and update with a value: AWSCURRENT", func(r *rig) {
		s := r.create("1")
		if out := r.put(s, "2", tok2); !slices.Equal(out.VersionStages, []string{"AWSCURRENT"}) {
			r.t.Errorf("labels %v", out.VersionStages)
		}
		r.mustDo(do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, SecretString: aws.String("3"), ClientRequestToken: aws.String(tok3)}))
		r.stagesAre(s, map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
	}},
	{"R6 put with labels but AWSCURRENT leaves it; to a secret without value it is added", func(r *rig) {
		s := r.create("1")
		r.put(s, "2", tok2, "AWSPENDING")
		r.stagesAre(s, map[string][]string{*s.version: {"AWSCURRENT"}, tok2: {"AWSPENDING"}})
		bare := r.createAs(sm.CreateSecretInput{Name: r.fresh("bare")})
		if out := r.put(bare, "1", tok1, "AWSPENDING"); !slices.Equal(out.VersionStages, []string{"AWSPENDING", "AWSCURRENT"}) {
			r.t.Errorf("labels %v", out.VersionStages)
		}
	}},
	{"m6 the answer keeps the order of the labels asked for", func(r *rig) {
		if out := r.put(r.create("1"), "2", tok2, "z", "AWSCURRENT", "a"); !slices.Equal(out.VersionStages, []string{"z", "AWSCURRENT", "a"}) {
			r.t.Errorf("labels %v", out.VersionStages)
		}
	}},
	{"R6 when AWSCURRENT moves, the version that had it gets AWSPREVIOUS, alone", func(r *rig) {
		s := r.three()
		r.stagesAre(s, map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
		r.mustDo(moving(s, "AWSCURRENT", tok3, tok1))
		r.stagesAre(s, map[string][]string{tok1: {"AWSCURRENT"}, tok3: {"AWSPREVIOUS"}})
	}},
	{"R6 a version that was also AWSPENDING keeps AWSPREVIOUS and its own labels when a put takes AWSCURRENT", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("s")})
		r.put(s, "1", tok1, "AWSPENDING", "mine")
		r.put(s, "2", tok2)
		r.stagesAre(s, map[string][]string{tok2: {"AWSCURRENT"}, tok1: {"AWSPREVIOUS", "mine"}})
	}},
	{"R6 AWSCURRENT moved onto the AWSPENDING version leaves both there", func(r *rig) {
		s := r.create("1")
		r.put(s, "2", tok2, "AWSPENDING")
		r.mustDo(moving(s, "AWSCURRENT", *s.version, tok2))
		r.stagesAre(s, map[string][]string{tok2: {"AWSCURRENT", "AWSPENDING"}, *s.version: {"AWSPREVIOUS"}})
	}},
	{"m6 AWSCURRENT moved back swaps", func(r *rig) {
		s := r.three()
		r.mustDo(moving(s, "AWSCURRENT", tok3, tok2))
		r.stagesAre(s, map[string][]string{tok2: {"AWSCURRENT"}, tok3: {"AWSPREVIOUS"}})
	}},
	{"R6 a version without labels is deprecated: listed only when asked for, then without labels", func(r *rig) {
		s := r.three()
		r.stagesAre(s, map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
		out, err := r.client.ListSecretVersionIds(r.t.Context(), &sm.ListSecretVersionIdsInput{SecretId: s.name})
		r.must(err)
		if len(out.Versions) != 2 {
			r.t.Errorf("%d versions", len(out.Versions))
		}
		if stages, listed := r.versions(s.name)[tok1]; !listed || stages != nil {
			r.t.Errorf("deprecated: %v %v", listed, stages)
		}
	}},
	{"m6 a deprecated version stays readable by its id", func(r *rig) {
		s := r.three()
		if out := r.get(sm.GetSecretValueInput{SecretId: s.name, VersionId: aws.String(tok1)}); *out.SecretString != "1" || out.VersionStages != nil {
			r.t.Errorf("%q %v", *out.SecretString, out.VersionStages)
		}
	}},
	{"R6 only RemoveFromVersionId takes a label off; unknown ones are refused", func(r *rig) {
		s := r.three()
		r.mustDo(moving(s, "mine", "", tok1))
		r.mustDo(moving(s, "mine", tok1, ""))
		r.stagesAre(s, map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
		r.refuses(moving(s, "mine", tok1, ""), invalidParameter, "")
		r.refuses(moving(s, "mine", "", tok4), notFound, "")
	}},
	{"D6 a RemoveFromVersionId that is wrong fails the call", func(r *rig) {
		s := r.three()
		r.refuses(moving(s, "AWSCURRENT", tok1, tok2), invalidParameter, "")
		r.refuses(moving(s, "AWSCURRENT", tok3, ""), invalidParameter, "")
		r.stagesAre(s, map[string][]string{tok3: {"AWSCURRENT"}, tok2: {"AWSPREVIOUS"}})
	}},
	{"R6 get: AWSCURRENT by default; id and label may be combined and must agree", func(r *rig) {
		s := r.three()
		for _, c := range []struct {
			in   sm.GetSecretValueInput
			want string
		}{
			{sm.GetSecretValueInput{}, "3"},
			{sm.GetSecretValueInput{VersionStage: aws.String("AWSPREVIOUS")}, "2"},
			{sm.GetSecretValueInput{VersionId: aws.String(tok2)}, "2"},
			{sm.GetSecretValueInput{VersionId: aws.String(tok2), VersionStage: aws.String("AWSPREVIOUS")}, "2"},
		} {
			c.in.SecretId = s.name
			if got := *r.get(c.in).SecretString; got != c.want {
				r.t.Errorf("%+v: %s", c.in, got)
			}
		}
		r.refuses(do((*sm.Client).GetSecretValue, sm.GetSecretValueInput{SecretId: s.name, VersionId: aws.String(tok3), VersionStage: aws.String("AWSPREVIOUS")}), invalidRequest, "")
	}},
	{"R6 update with only a SecretId succeeds and changes nothing", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("s"), SecretString: v, Description: aws.String("d")})
		out, err := r.client.UpdateSecret(r.t.Context(), &sm.UpdateSecretInput{SecretId: s.name})
		r.must(err)
		if d := r.describe(s.name); out.VersionId != nil || *d.Description != "d" || len(d.VersionIdsToStages) != 1 {
			r.t.Errorf("%v %+v", out.VersionId, d)
		}
	}},
	{"m6 description and tags survive new versions", func(r *rig) {
		s := r.createAs(sm.CreateSecretInput{Name: r.fresh("s"), SecretString: v, Description: aws.String("d"), Tags: manyTags(3)})
		r.put(s, "2", tok2)
		if d := r.describe(s.name); *d.Description != "d" || len(d.Tags) != 3 {
			r.t.Errorf("%+v", d)
		}
	}},
	{"R6 label names are free", func(r *rig) {
		s := r.create("1")
		r.put(s, "2", tok2, "AWSSOMETHING", "PENDING", "one")
		r.stagesAre(s, map[string][]string{*s.version: {"AWSCURRENT"}, tok2: {"AWSSOMETHING", "PENDING", "one"}})
	}},
	{"D6 more than 20 labels on a version are refused", func(r *rig) {
		s := r.create("1")
		r.put(s, "2", tok2, labels(20)...)
		r.refuses(moving(s, "oneMore", "", tok2), limitExceeded, "")
	}},
	{"D6 about 100 unlabelled versions; none younger than a day is removed", func(r *rig) {
		s := r.create("0")
		for i := range 110 {
			r.put(s, fmt.Sprint(i), fmt.Sprintf("%032d", i))
		}
		if got := r.get(sm.GetSecretValueInput{SecretId: s.name, VersionId: aws.String(fmt.Sprintf("%032d", 0))}); *got.SecretString != "0" {
			r.t.Errorf("%s", *got.SecretString)
		}
	}},
}

var dateRows = []row{
	{"R7 CreatedDate: of the secret, and of each version", func(r *rig) {
		began := time.Now().Add(-time.Second)
		s := r.create("1")
		first := *r.get(sm.GetSecretValueInput{SecretId: s.name}).CreatedDate
		r.put(s, "2", tok2)
		second, d := *r.get(sm.GetSecretValueInput{SecretId: s.name}).CreatedDate, r.describe(s.name)
		if first.Before(began) || !second.After(first) || d.CreatedDate.After(first) || d.CreatedDate.Before(began) {
			r.t.Errorf("secret %s, versions %s and %s", d.CreatedDate, first, second)
		}
	}},
	{"R7 LastChangedDate grows with any change, also twice in a second", func(r *rig) {
		s := r.create("1")
		last := *r.describe(s.name).LastChangedDate
		for i, change := range []request{
			do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, Description: aws.String("a")}),
			do((*sm.Client).UpdateSecret, sm.UpdateSecretInput{SecretId: s.name, Description: aws.String("b")}),
			do((*sm.Client).PutSecretValue, sm.PutSecretValueInput{SecretId: s.name, SecretString: v, ClientRequestToken: aws.String(tok2)}),
			do((*sm.Client).TagResource, sm.TagResourceInput{SecretId: s.name, Tags: manyTags(1)}),
			do((*sm.Client).UntagResource, sm.UntagResourceInput{SecretId: s.name, TagKeys: []string{"label"}}),
			moving(s, "mine", "", tok2),
			do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.name}),
			do((*sm.Client).RestoreSecret, sm.RestoreSecretInput{SecretId: s.name}),
		} {
			r.mustDo(change)
			now := *r.describe(s.name).LastChangedDate
			if !now.After(last) {
				r.t.Errorf("change %d: %s, then %s", i, last, now)
			}
			last = now
		}
	}},
	{"R7 LastAccessedDate: absent before the first read, then midnight UTC, of the version too", func(r *rig) {
		s := r.create("1")
		if d := r.describe(s.name); d.LastAccessedDate != nil {
			r.t.Errorf("before the first read: %s", d.LastAccessedDate)
		}
		today := time.Now().UTC().Truncate(24 * time.Hour)
		for range 2 {
			r.get(sm.GetSecretValueInput{SecretId: s.name})
			d := r.describe(s.name)
			if d.LastAccessedDate == nil || d.LastAccessedDate.Before(today) || !d.LastAccessedDate.Equal(d.LastAccessedDate.Truncate(24*time.Hour)) {
				r.t.Errorf("after a read: %v", d.LastAccessedDate)
			}
		}
		out, err := r.client.ListSecretVersionIds(r.t.Context(), &sm.ListSecretVersionIdsInput{SecretId: s.name})
		r.must(err)
		if at := out.Versions[0].LastAccessedDate; at == nil || at.Before(today) {
			r.t.Errorf("of the version: %v", at)
		}
	}},
}

// TestDeletion: marking, restoring, forcing.
func TestDeletion(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.run(deletionRows)
}

var deletionRows = []row{
	{"R9 DescribeSecret still works; 30 days by default, or 7 to 30", func(r *rig) {
		for days, window := range map[int]*int64{30: nil, 7: aws.Int64(7), 15: aws.Int64(15)} {
			s := r.create("v")
			out, err := r.client.DeleteSecret(r.t.Context(), &sm.DeleteSecretInput{SecretId: s.arn, RecoveryWindowInDays: window})
			r.must(err)
			d := r.describe(s.name)
			if off := time.Until(*out.DeletionDate) - time.Duration(days)*24*time.Hour; off.Abs() > time.Minute || !d.DeletedDate.Equal(*out.DeletionDate) {
				r.t.Errorf("%d days: %s, described as %s", days, out.DeletionDate, d.DeletedDate)
			}
		}
	}},
	{"R9 while marked: get, put, update, tag, untag, rotate, cancel refuse; describe and list work", func(r *rig) {
		s := r.marked()
		for _, action := range []string{"GetSecretValue", "PutSecretValue", "UpdateSecret", "TagResource", "UntagResource", "RotateSecret", "CancelRotateSecret"} {
			r.rawRefused(r.raw(action, fmt.Sprintf(`{"SecretId":"%s"`+onSecret[action]+`}`, *s.arn)), invalidRequest, saysMarked)
		}
		r.describe(s.arn)
		all := sm.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true)}
		if names := r.list(all); !slices.Contains(names, *s.name) {
			r.t.Errorf("not listed: %v", names)
		}
	}},
	{"R9 a second deletion is refused; with Force it succeeds and the secret is gone", func(r *rig) {
		s := r.marked()
		r.refuses(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.name}), invalidRequest, "")
		r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.name, ForceDeleteWithoutRecovery: aws.Bool(true)}))
		r.refuses(do((*sm.Client).DescribeSecret, sm.DescribeSecretInput{SecretId: s.name}), notFound, saysNoSecret)
		r.refuses(do((*sm.Client).RestoreSecret, sm.RestoreSecretInput{SecretId: s.name}), notFound, saysNoSecret)
	}},
	{"R9 restore removes DeletedDate; it succeeds on a secret that is not marked", func(r *rig) {
		s := r.marked()
		for range 2 {
			r.mustDo(do((*sm.Client).RestoreSecret, sm.RestoreSecretInput{SecretId: s.name}))
		}
		if d := r.describe(s.name); d.DeletedDate != nil {
			r.t.Errorf("DeletedDate %s", d.DeletedDate)
		}
		if got := *r.get(sm.GetSecretValueInput{SecretId: s.name}).SecretString; got != "v" {
			r.t.Errorf("value %q", got)
		}
	}},
	{"R9 Force on an unknown name succeeds: the name as given, an ARN, a date", func(r *rig) {
		name := r.fresh("never")
		out, err := r.client.DeleteSecret(r.t.Context(), &sm.DeleteSecretInput{SecretId: name, ForceDeleteWithoutRecovery: aws.Bool(true)})
		r.must(err)
		if *out.Name != *name || out.DeletionDate == nil || !strings.HasPrefix(aws.ToString(out.ARN), "arn:aws:secretsmanager:us-east-1:"+account+":secret:"+*name) {
			r.t.Errorf("%s %v %v", *out.Name, out.ARN, out.DeletionDate)
		}
	}},
	{"R9 after Force the name is free at once", func(r *rig) {
		s := r.create("old")
		r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.arn, ForceDeleteWithoutRecovery: aws.Bool(true)}))
		again := r.createAs(sm.CreateSecretInput{Name: s.name, SecretString: aws.String("new")})
		if got := *r.get(sm.GetSecretValueInput{SecretId: again.name}).SecretString; got != "new" || len(r.versions(s.name)) != 1 {
			r.t.Errorf("value %q", got)
		}
	}},
}
