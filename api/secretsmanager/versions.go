package secretsmanager

import (
	"context"
	"slices"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/keeper"
)

type moveStageInput struct {
	SecretID     *string `json:"SecretId"`
	VersionStage *string `json:"VersionStage"`
	RemoveFrom   *string `json:"RemoveFromVersionId"`
	MoveTo       *string `json:"MoveToVersionId"`
}

func (in *moveStageInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	stage := awsjson.Field{Path: "versionStage", Value: in.VersionStage}
	c.Required(stage)
	c.Length(stage, lengthStage)
	c.text("removeFromVersionId", in.RemoveFrom, lengthToken)
	c.text("moveToVersionId", in.MoveTo, lengthToken)
	return c.done(in.SecretID)
}

func (s *Service) moveStage(ctx context.Context, r *request, in *moveStageInput) (any, error) {
	d, err := s.keeper.MoveStage(ctx, s.ref(ctx, r, in.SecretID), keeper.MoveStageInput{
		Stage: lockstep.Stage(*in.VersionStage),
		From:  lockstep.VersionID(text(in.RemoveFrom)), To: lockstep.VersionID(text(in.MoveTo)),
	})
	if err != nil {
		return nil, err
	}
	r.Caller.Trail.Touch(d.Secret.ARN, lockstep.VersionID(text(in.MoveTo)))
	return named(d.Secret), nil
}

type listVersionsInput struct {
	SecretID          *string `json:"SecretId"`
	MaxResults        *int64  `json:"MaxResults"`
	NextToken         *string `json:"NextToken"`
	IncludeDeprecated *bool   `json:"IncludeDeprecated"`
}

func (in *listVersionsInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	c.maxResults(in.MaxResults, maxPage)
	c.nextToken(in.NextToken)
	return c.done(in.SecretID)
}

type versionEntry struct {
	VersionID        string       `json:"VersionId"`
	VersionStages    []string     `json:"VersionStages,omitempty"`
	LastAccessedDate awsjson.Time `json:"LastAccessedDate,omitzero"`
	CreatedDate      awsjson.Time `json:"CreatedDate"`
	KMSKeyIDs        []string     `json:"KmsKeyIds,omitempty"`
}

type listVersionsOutput struct {
	secretOutput
	Versions  []versionEntry `json:"Versions"`
	NextToken string         `json:"NextToken,omitempty"`
}

// defaultKeyName is how AWS names the default key in a list of Versions.
const defaultKeyName = "DefaultEncryptionKey"

func (s *Service) listVersions(ctx context.Context, r *request, in *listVersionsInput) (any, error) {
	l, err := s.keeper.ListVersions(ctx, s.ref(ctx, r, in.SecretID))
	if err != nil {
		return nil, err
	}
	deprecated := is(in.IncludeDeprecated)
	shown := slices.DeleteFunc(slices.Clone(l.Versions), func(v *lockstep.Version) bool {
		return !deprecated && len(l.Stages.Of(v.ID)) == 0
	})
	scope := scopeOf(r, string(l.Secret.ARN), boolText(deprecated))
	if in.NextToken != nil {
		last, err := s.pages.open(*in.NextToken, scope)
		if err != nil {
			return nil, err
		}
		shown = slices.DeleteFunc(shown, last.coversVersion)
	}
	out := listVersionsOutput{secretOutput: named(l.Secret), Versions: []versionEntry{}}
	if limit := pageSize(in.MaxResults, maxPage); len(shown) > limit {
		shown = shown[:limit]
		if out.NextToken, err = s.pages.seal(versionCursor(shown[limit-1]), scope); err != nil {
			return nil, err
		}
	}
	for _, v := range shown {
		out.Versions = append(out.Versions, entryOf(l, v))
	}
	return out, nil
}

func entryOf(l keeper.VersionList, v *lockstep.Version) versionEntry {
	e := versionEntry{
		VersionID: string(v.ID), VersionStages: stageNames(l.Stages.Of(v.ID)),
		LastAccessedDate: awsjson.Time{Time: v.Accessed}, CreatedDate: awsjson.Time{Time: v.Created},
	}
	if v.Sealed == nil {
		return e // no value yet, so no key either
	}
	e.KMSKeyIDs = []string{defaultKeyName}
	if l.Secret.KMSKeyID != "" {
		e.KMSKeyIDs = []string{l.Secret.KMSKeyID}
	}
	return e
}
