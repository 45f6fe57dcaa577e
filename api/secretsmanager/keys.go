package secretsmanager

import (
	"strconv"

	"lockstep"
	"lockstep/auth"
)

// keyed is an input that gives policies condition keys.
type keyed interface{ keys() []auth.Key }

// given collects condition keys; what the client did not send gives none.
type given []auth.Key

func (g *given) text(name string, value *string) {
	if value != nil {
		*g = append(*g, auth.Key{Name: name, Values: []string{*value}})
	}
}

func (g *given) flag(name string, value *bool) {
	if value != nil {
		*g = append(*g, auth.Key{Name: name, Values: []string{strconv.FormatBool(*value)}})
	}
}

func (g *given) number(name string, value *int64) {
	if value != nil {
		*g = append(*g, auth.Key{Name: name, Values: []string{strconv.FormatInt(*value, 10)}})
	}
}

func (g *given) list(name string, values []string) {
	if len(values) > 0 {
		*g = append(*g, auth.Key{Name: name, Values: values})
	}
}

func (g *given) tags(tags []tag) {
	var keys []string
	for _, t := range tags {
		keys = append(keys, *t.Key)
		value := text(t.Value)
		g.text("aws:RequestTag/"+*t.Key, &value)
	}
	g.list("aws:TagKeys", keys)
}

func (g *given) regions(regions []replicaRegion) {
	var names []string
	for _, r := range regions {
		names = append(names, text(r.Region))
	}
	g.list("secretsmanager:AddReplicaRegions", names)
}

// keys: a request that names neither Version nor label is one for AWSCURRENT.
func (in *getInput) keys() []auth.Key {
	var g given
	g.text("secretsmanager:VersionId", in.VersionID)
	stage := in.VersionStage
	if stage == nil && in.VersionID == nil {
		current := string(lockstep.Current)
		stage = &current
	}
	g.text("secretsmanager:VersionStage", stage)
	return g
}

func (in *putInput) keys() []auth.Key {
	var g given
	g.list("secretsmanager:VersionStage", in.VersionStages)
	return g
}

func (in *moveStageInput) keys() []auth.Key {
	var g given
	g.text("secretsmanager:VersionStage", in.VersionStage)
	return g
}

func (in *createInput) keys() []auth.Key {
	var g given
	g.text("secretsmanager:Name", in.Name)
	g.text("secretsmanager:Description", in.Description)
	g.text("secretsmanager:KmsKeyId", in.KMSKeyID)
	g.text("secretsmanager:Type", in.Type)
	g.flag("secretsmanager:ForceOverwriteReplicaSecret", in.ForceOverwrite)
	g.regions(in.AddReplicaRegions)
	g.tags(in.Tags)
	return g
}

func (in *updateInput) keys() []auth.Key {
	var g given
	g.text("secretsmanager:Description", in.Description)
	g.text("secretsmanager:KmsKeyId", in.KMSKeyID)
	g.text("secretsmanager:Type", in.Type)
	return g
}

func (in *deleteInput) keys() []auth.Key {
	var g given
	g.number("secretsmanager:RecoveryWindowInDays", in.Window)
	g.flag("secretsmanager:ForceDeleteWithoutRecovery", in.Force)
	return g
}

func (in *tagInput) keys() []auth.Key {
	var g given
	g.tags(in.Tags)
	return g
}

func (in *untagInput) keys() []auth.Key {
	var g given
	g.list("aws:TagKeys", in.TagKeys)
	return g
}

func (in *putPolicyInput) keys() []auth.Key {
	var g given
	g.flag("secretsmanager:BlockPublicPolicy", in.BlockPublicPolicy)
	return g
}

func (in *rotateInput) keys() []auth.Key {
	var g given
	g.text("secretsmanager:RotationLambdaARN", in.RotatorARN)
	g.flag("secretsmanager:RotateImmediately", in.Immediately)
	modifies := in.Rules != nil
	g.flag("secretsmanager:ModifyRotationRules", &modifies)
	return g
}

func (in *replicateInput) keys() []auth.Key {
	var g given
	g.flag("secretsmanager:ForceOverwriteReplicaSecret", in.Force)
	g.regions(in.Regions)
	return g
}
