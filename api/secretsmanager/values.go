package secretsmanager

import (
	"context"
	"regexp"
	"strconv"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/keeper"
)

type getInput struct {
	SecretID     *string `json:"SecretId"`
	VersionID    *string `json:"VersionId"`
	VersionStage *string `json:"VersionStage"`
}

func (in *getInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	c.text("versionId", in.VersionID, lengthToken)
	c.text("versionStage", in.VersionStage, lengthStage)
	return c.done(in.SecretID)
}

// getOutput holds a value in clear, on its way to the client alone.
type getOutput struct {
	secretOutput
	VersionID     string       `json:"VersionId"`
	SecretBinary  []byte       `json:"SecretBinary,omitempty"`
	SecretString  *string      `json:"SecretString,omitempty"`
	VersionStages []string     `json:"VersionStages,omitempty"`
	CreatedDate   awsjson.Time `json:"CreatedDate"`
}

func (s *Service) get(ctx context.Context, r *request, in *getInput) (any, error) {
	out, err := s.keeper.Get(ctx, s.ref(ctx, r, in.SecretID), keeper.GetInput{
		Version: lockstep.VersionID(text(in.VersionID)), Stage: lockstep.Stage(text(in.VersionStage)),
	})
	if err != nil {
		return nil, err
	}
	r.Caller.Trail.Touch(out.Secret.ARN, out.Version)
	return reveal(out), nil
}

func reveal(out keeper.GetOutput) getOutput {
	got := getOutput{
		secretOutput: named(out.Secret), VersionID: string(out.Version),
		VersionStages: stageNames(out.Stages), CreatedDate: awsjson.Time{Time: out.Created},
	}
	if out.Value.IsBinary() {
		got.SecretBinary = out.Value.Bytes()
		return got
	}
	clear := out.Value.Reveal()
	got.SecretString = &clear
	return got
}

func stageNames(stages []lockstep.Stage) []string {
	names := make([]string, 0, len(stages))
	for _, st := range stages {
		names = append(names, string(st))
	}
	return names
}

type putInput struct {
	SecretID      *string  `json:"SecretId"`
	Token         *string  `json:"ClientRequestToken"`
	SecretBinary  []byte   `json:"SecretBinary"`
	SecretString  *string  `json:"SecretString"`
	VersionStages []string `json:"VersionStages"`
	RotationToken *string  `json:"RotationToken"`
}

var (
	rotationTokenForm   = regexp.MustCompile(`^[a-zA-Z0-9\-]+$`)
	lengthRotationToken = awsjson.Length{Min: 36, Max: 256}
)

func (in *putInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	c.text("clientRequestToken", in.Token, lengthToken)
	c.value(in.SecretString, in.SecretBinary)
	if in.VersionStages != nil {
		c.Count("versionStages", len(in.VersionStages), countStages)
	}
	for i := range in.VersionStages {
		c.text("versionStages."+strconv.Itoa(i+1)+".member", &in.VersionStages[i], lengthStage)
	}
	token := awsjson.Field{Path: "rotationToken", Value: in.RotationToken, Sensitive: true}
	c.Length(token, lengthRotationToken)
	c.Pattern(token, rotationTokenForm)
	if err := c.done(in.SecretID); err != nil {
		return err
	}
	if err := tokenGiven(in.Token); err != nil {
		return err
	}
	if in.SecretString == nil && in.SecretBinary == nil {
		return invalidRequest("You must provide either SecretString or SecretBinary.")
	}
	return nil
}

func (s *Service) put(ctx context.Context, r *request, in *putInput) (any, error) {
	value, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	var stages []lockstep.Stage
	for _, st := range in.VersionStages {
		stages = append(stages, lockstep.Stage(st))
	}
	out, err := s.keeper.Put(ctx, s.ref(ctx, r, in.SecretID), keeper.PutInput{
		Token: lockstep.VersionID(*in.Token), Value: value, Stages: stages,
	})
	if err != nil {
		return nil, err
	}
	r.Caller.Trail.Touch(out.Secret.ARN, out.Version)
	return writeOutput{named(out.Secret), string(out.Version), stageNames(out.Stages)}, nil
}

type updateInput struct {
	SecretID     *string `json:"SecretId"`
	Token        *string `json:"ClientRequestToken"`
	Description  *string `json:"Description"`
	KMSKeyID     *string `json:"KmsKeyId"`
	SecretBinary []byte  `json:"SecretBinary"`
	SecretString *string `json:"SecretString"`
	Type         *string `json:"Type"`
}

func (in *updateInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	c.text("clientRequestToken", in.Token, lengthToken)
	c.text("description", in.Description, lengthDescription)
	c.text("kmsKeyId", in.KMSKeyID, lengthKMSKeyID)
	c.text("type", in.Type, lengthType)
	c.value(in.SecretString, in.SecretBinary)
	if err := c.done(in.SecretID); err != nil {
		return err
	}
	return tokenGiven(in.Token)
}

func (s *Service) update(ctx context.Context, r *request, in *updateInput) (any, error) {
	value, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	out, err := s.keeper.Update(ctx, s.ref(ctx, r, in.SecretID), keeper.UpdateInput{
		Token: lockstep.VersionID(*in.Token), Description: in.Description,
		KMSKeyID: keyOf(in.KMSKeyID), Type: in.Type, Value: value,
	})
	if err != nil {
		return nil, err
	}
	r.Caller.Trail.Touch(out.Secret.ARN, out.Version)
	return writeOutput{secretOutput: named(out.Secret), VersionID: string(out.Version)}, nil
}
