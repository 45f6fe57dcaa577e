package secretsmanager

import (
	"context"

	"lockstep"
	"lockstep/api/awsjson"
)

type describeInput struct {
	SecretID *string `json:"SecretId"`
}

func (in *describeInput) Check() error { return checkOnlyID(in.SecretID) }

type rotationRules struct {
	AutomaticallyAfterDays int    `json:"AutomaticallyAfterDays,omitempty"`
	Duration               string `json:"Duration,omitempty"`
	ScheduleExpression     string `json:"ScheduleExpression,omitempty"`
}

// description is what DescribeSecret and an entry of ListSecrets have in
// common. What was never set is left out.
type description struct {
	ARN               string         `json:"ARN"`
	Name              string         `json:"Name"`
	Type              string         `json:"Type,omitempty"`
	Description       string         `json:"Description,omitempty"`
	KMSKeyID          string         `json:"KmsKeyId,omitempty"`
	RotationEnabled   *bool          `json:"RotationEnabled,omitempty"`
	RotationLambdaARN string         `json:"RotationLambdaARN,omitempty"`
	RotationRules     *rotationRules `json:"RotationRules,omitempty"`
	LastRotatedDate   awsjson.Time   `json:"LastRotatedDate,omitzero"`
	LastChangedDate   awsjson.Time   `json:"LastChangedDate,omitzero"`
	LastAccessedDate  awsjson.Time   `json:"LastAccessedDate,omitzero"`
	DeletedDate       awsjson.Time   `json:"DeletedDate,omitzero"`
	NextRotationDate  awsjson.Time   `json:"NextRotationDate,omitzero"`
	// Tags is absent (nil) if the Secret was never tagged, and an empty list
	// after its last tag was removed.
	Tags          []lockstep.Tag `json:"Tags,omitzero"`
	CreatedDate   awsjson.Time   `json:"CreatedDate"`
	PrimaryRegion string         `json:"PrimaryRegion,omitempty"`
}

func describeSecret(s *lockstep.Secret) description {
	d := description{
		ARN: string(s.ARN), Name: s.Name, Type: s.Type, Description: s.Description, KMSKeyID: s.KMSKeyID,
		LastRotatedDate: awsjson.Time{Time: s.LastRotated}, LastChangedDate: awsjson.Time{Time: s.Changed},
		LastAccessedDate: awsjson.Time{Time: s.Accessed}, DeletedDate: awsjson.Time{Time: s.DeleteAt},
		Tags: s.Tags, CreatedDate: awsjson.Time{Time: s.Created}, PrimaryRegion: string(s.PrimaryRegion),
	}
	if s.Rotation == nil {
		return d
	}
	enabled := s.Rotation.Enabled
	d.RotationEnabled = &enabled
	d.RotationLambdaARN = s.Rotation.RotatorARN
	if plan := s.Rotation.Schedule; !plan.IsZero() {
		d.RotationRules = &rotationRules{plan.AfterDays, plan.Duration, plan.Expression}
	}
	if enabled {
		d.NextRotationDate = awsjson.Time{Time: s.NextRotation}
	}
	return d
}

type describeOutput struct {
	description
	VersionIDsToStages map[string][]string `json:"VersionIdsToStages,omitempty"`
	ReplicationStatus  []replicaStatus     `json:"ReplicationStatus,omitempty"`
}

func (s *Service) describe(ctx context.Context, r *request, in *describeInput) (any, error) {
	d, err := s.keeper.Describe(ctx, s.ref(ctx, r, in.SecretID))
	if err != nil {
		return nil, err
	}
	return describeOutput{describeSecret(d.Secret), stagesByVersion(d.Stages), replicasOf(d)}, nil
}

func stagesByVersion(stages lockstep.Stages) map[string][]string {
	out := make(map[string][]string, len(stages))
	for id, on := range stages.ByVersion() {
		out[string(id)] = stageNames(on)
	}
	return out
}
