package secretsmanager

import (
	"context"
	"errors"
	"time"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/keeper"
)

// tag is one tag on the wire.
type tag struct {
	Key   *string `json:"Key"`
	Value *string `json:"Value"`
}

// secretOutput is the answer of the actions that tell only which Secret it
// was.
type secretOutput struct {
	ARN  string `json:"ARN"`
	Name string `json:"Name"`
}

func named(s *lockstep.Secret) secretOutput {
	return secretOutput{ARN: string(s.ARN), Name: s.Name}
}

type createInput struct {
	Name              *string         `json:"Name"`
	Token             *string         `json:"ClientRequestToken"`
	Description       *string         `json:"Description"`
	KMSKeyID          *string         `json:"KmsKeyId"`
	SecretBinary      []byte          `json:"SecretBinary"`
	SecretString      *string         `json:"SecretString"`
	Tags              []tag           `json:"Tags"`
	AddReplicaRegions []replicaRegion `json:"AddReplicaRegions"`
	ForceOverwrite    *bool           `json:"ForceOverwriteReplicaSecret"`
	Type              *string         `json:"Type"`
}

func (in *createInput) Check() error {
	var c checks
	name := awsjson.Field{Path: "name", Value: in.Name}
	c.Required(name)
	c.Length(name, lengthName)
	c.text("clientRequestToken", in.Token, lengthToken)
	c.text("description", in.Description, lengthDescription)
	c.text("kmsKeyId", in.KMSKeyID, lengthKMSKeyID)
	c.text("type", in.Type, lengthType)
	c.value(in.SecretString, in.SecretBinary)
	c.tags(in.Tags)
	c.replicas(in.AddReplicaRegions)
	if err := c.Err(); err != nil {
		return err
	}
	if err := checkName(*in.Name); err != nil {
		return err
	}
	return tokenGiven(in.Token)
}

type createOutput struct {
	writeOutput
	ReplicationStatus []replicaStatus `json:"ReplicationStatus,omitempty"`
}

// writeOutput is the answer of the actions that may make a Version.
type writeOutput struct {
	secretOutput
	VersionID     string   `json:"VersionId,omitempty"`
	VersionStages []string `json:"VersionStages,omitempty"`
}

func (s *Service) create(ctx context.Context, r *request, in *createInput) (any, error) {
	if err := s.mayOn(ctx, r, arnFor(r.Caller, *in.Name)); err != nil {
		return nil, err
	}
	if len(in.AddReplicaRegions) > 0 {
		// To be made with replicas is to be made and replicated.
		also := &request{Call: r.Call, keys: r.keys}
		also.Action = "ReplicateSecretToRegions"
		if err := s.mayOn(ctx, also, arnFor(r.Caller, *in.Name)); err != nil {
			return nil, err
		}
	}
	replicas, err := s.replicas(r.Caller.Region, in.AddReplicaRegions, in.ForceOverwrite)
	if err != nil {
		return nil, err
	}
	value, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	out, err := s.keeper.Create(ctx, keeper.CreateInput{
		Owner: r.Caller.Owner(), Use: s.use(r), Name: *in.Name, Token: lockstep.VersionID(*in.Token),
		Description: text(in.Description), KMSKeyID: text(keyOf(in.KMSKeyID)), Type: text(in.Type),
		Tags: tags, Value: value, Replicas: replicas,
	})
	if err != nil {
		return nil, err
	}
	r.Caller.Trail.Touch(out.Secret.ARN, out.Version)
	done := createOutput{writeOutput: writeOutput{secretOutput: named(out.Secret), VersionID: string(out.Version)}}
	if len(out.Secret.Replicas) == 0 {
		return done, nil
	}
	d, err := s.keeper.Describe(ctx, keeper.Ref{Owner: r.Caller.Owner(), ID: string(out.Secret.ARN)})
	if err != nil {
		return nil, err
	}
	done.ReplicationStatus = replicasOf(d)
	return done, nil
}

type deleteInput struct {
	SecretID *string `json:"SecretId"`
	Window   *int64  `json:"RecoveryWindowInDays"`
	Force    *bool   `json:"ForceDeleteWithoutRecovery"`
}

// The days that a deleted Secret can be kept for.
const (
	minRecoveryDays = 7
	maxRecoveryDays = 30
)

func (in *deleteInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	if err := c.done(in.SecretID); err != nil {
		return err
	}
	if in.Window != nil && (*in.Window < minRecoveryDays || *in.Window > maxRecoveryDays) {
		return invalidParameter("The RecoveryWindowInDays value must be between %d and %d days (inclusive).", minRecoveryDays, maxRecoveryDays)
	}
	if in.Window != nil && is(in.Force) {
		return invalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	}
	return nil
}

type deleteOutput struct {
	secretOutput
	DeletionDate awsjson.Time `json:"DeletionDate"`
}

func (s *Service) delete(ctx context.Context, r *request, in *deleteInput) (any, error) {
	del := keeper.DeleteInput{Force: is(in.Force)}
	if in.Window != nil {
		del.Window = time.Duration(*in.Window) * 24 * time.Hour
	}
	d, err := s.keeper.Delete(ctx, s.ref(ctx, r, in.SecretID), del)
	if is(in.Force) && errors.Is(err, keeper.ErrNoSecret) {
		return s.deleteNothing(ctx, r, *in.SecretID)
	}
	if err != nil {
		return nil, err
	}
	at := d.Secret.DeleteAt
	if at.IsZero() {
		at = s.now()
	}
	return deleteOutput{named(d.Secret), awsjson.Time{Time: at}}, nil
}

// deleteNothing answers a forced deletion of what is not there: as AWS, with
// success, since the wish is fulfilled.
func (s *Service) deleteNothing(ctx context.Context, r *request, id string) (any, error) {
	if err := s.mayOn(ctx, r, arnFor(r.Caller, id)); err != nil {
		return nil, err
	}
	arn := lockstep.ARN(id)
	if _, ok := lockstep.ParseSecretARN(id); !ok {
		var err error
		if arn, err = lockstep.NewSecretARN(r.Caller.Region, r.Caller.Account, id); err != nil {
			return nil, err
		}
	}
	return deleteOutput{secretOutput{ARN: string(arn), Name: id}, awsjson.Time{Time: s.now()}}, nil
}

type restoreInput struct {
	SecretID *string `json:"SecretId"`
}

func (in *restoreInput) Check() error { return checkOnlyID(in.SecretID) }

// checkOnlyID is the check of the actions that take a SecretId alone.
func checkOnlyID(id *string) error {
	var c checks
	c.secretID(id)
	return c.done(id)
}

func (s *Service) restore(ctx context.Context, r *request, in *restoreInput) (any, error) {
	d, err := s.keeper.Restore(ctx, s.ref(ctx, r, in.SecretID))
	if err != nil {
		return nil, err
	}
	return named(d.Secret), nil
}
