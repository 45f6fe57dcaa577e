package secretsmanager

import (
	"context"
	"regexp"
	"unicode/utf8"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/runs"
)

type rotateInput struct {
	SecretID   *string     `json:"SecretId"`
	Token      *string     `json:"ClientRequestToken"`
	RotatorARN *string     `json:"RotationLambdaARN"`
	Rules      *rulesInput `json:"RotationRules"`
	// External and ExternalRole belong to AWS's managed external secrets,
	// which Lockstep has not.
	External     []externalMetadata `json:"ExternalSecretRotationMetadata"`
	ExternalRole *string            `json:"ExternalSecretRotationRoleArn"`
	Immediately  *bool              `json:"RotateImmediately"`
}

type externalMetadata struct {
	Key   *string `json:"Key"`
	Value *string `json:"Value"`
}

type rulesInput struct {
	AfterDays  *int64  `json:"AutomaticallyAfterDays"`
	Duration   *string `json:"Duration"`
	Expression *string `json:"ScheduleExpression"`
}

// AWS's limits of RotationRules. The form of an expression also lets through
// what Lockstep adds: "@every 10s" and five-field cron.
var (
	durationForm     = regexp.MustCompile(`^[0-9]+h$`)
	lengthDuration   = awsjson.Length{Min: 2, Max: 3}
	expressionForm   = regexp.MustCompile(`^[0-9A-Za-z()#?*\-/, @.]+$`)
	lengthExpression = awsjson.Length{Min: 1, Max: 256}
)

const (
	maxRotatorARN = 2048
	minAfterDays  = 1
	maxAfterDays  = 1000
)

func (in *rotateInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	if rules := in.Rules; rules != nil {
		duration := awsjson.Field{Path: "rotationRules.duration", Value: rules.Duration}
		c.Length(duration, lengthDuration)
		c.Pattern(duration, durationForm)
		expression := awsjson.Field{Path: "rotationRules.scheduleExpression", Value: rules.Expression}
		c.Length(expression, lengthExpression)
		c.Pattern(expression, expressionForm)
	}
	if err := c.done(in.SecretID); err != nil {
		return err
	}
	if in.Token == nil {
		return invalidParameter(tokenMissing)
	}
	if n := utf8.RuneCountInString(*in.Token); n < lengthToken.Min || n > lengthToken.Max {
		return invalidParameter("ClientRequestToken must be 32-64 characters long.")
	}
	if utf8.RuneCountInString(text(in.RotatorARN)) > maxRotatorARN {
		return invalidParameter("RotationLambdaARN must <= %d characters long.", maxRotatorARN)
	}
	if len(in.External) > 0 || in.ExternalRole != nil {
		return invalidRequest("Managed external secrets are not supported by this server.")
	}
	return in.Rules.Check()
}

func (r *rulesInput) Check() error {
	switch {
	case r == nil:
		return nil
	case r.AfterDays != nil && (*r.AfterDays < minAfterDays || *r.AfterDays > maxAfterDays):
		return invalidParameter("RotationRules.AutomaticallyAfterDays must be within %d-%d.", minAfterDays, maxAfterDays)
	case r.AfterDays != nil && r.Expression != nil:
		return invalidParameter("You can't specify both AutomaticallyAfterDays and ScheduleExpression in RotationRules.")
	case r.Duration != nil && r.AfterDays == nil && r.Expression == nil:
		return invalidParameter("RotationRules.Duration needs AutomaticallyAfterDays or ScheduleExpression beside it.")
	}
	return nil
}

// schedule is what the rules say; nil if they say nothing, which leaves the
// stored schedule as it is.
func (r *rulesInput) schedule() *lockstep.Schedule {
	if r == nil || (r.AfterDays == nil && r.Expression == nil) {
		return nil
	}
	plan := &lockstep.Schedule{Expression: text(r.Expression), Duration: text(r.Duration)}
	if r.AfterDays != nil {
		plan.AfterDays = int(*r.AfterDays)
	}
	return plan
}

func (s *Service) rotate(ctx context.Context, r *request, in *rotateInput) (any, error) {
	out, err := s.rotations.Rotate(ctx, s.ref(ctx, r, in.SecretID), runs.RotateInput{
		Token: lockstep.VersionID(*in.Token), RotatorARN: in.RotatorARN, Rules: in.Rules.schedule(),
		TestOnly: in.Immediately != nil && !*in.Immediately,
	})
	if err != nil {
		return nil, err
	}
	r.Caller.Trail.Touch(out.Secret.ARN, out.Version)
	return writeOutput{secretOutput: named(out.Secret), VersionID: string(out.Version)}, nil
}

type cancelInput struct {
	SecretID *string `json:"SecretId"`
}

func (in *cancelInput) Check() error { return checkOnlyID(in.SecretID) }

func (s *Service) cancelRotate(ctx context.Context, r *request, in *cancelInput) (any, error) {
	out, err := s.rotations.CancelRotation(ctx, s.ref(ctx, r, in.SecretID))
	if err != nil {
		return nil, err
	}
	r.Caller.Trail.Touch(out.Secret.ARN, out.Version)
	return writeOutput{secretOutput: named(out.Secret), VersionID: string(out.Version)}, nil
}
