package keeper

import (
	"context"
	"time"

	"lockstep"
	"lockstep/store"
)

// Ref names the Secret that a call is about, and says who may go on once it
// was found.
type Ref struct {
	Owner store.Owner
	// ID is the name, the ARN, or the ARN without its suffix.
	ID string
	// Allow is asked with the Secret, inside the transaction, before anything
	// is read from it or written; nil allows all. Its error is returned as it
	// is.
	Allow func(*lockstep.Secret) error
	// Session is set if the call comes from one step of a rotation: its writes
	// are the Run's, and are refused once the step is over.
	Session *Session
	// Use is asked before a value is opened or sealed under a master key,
	// outside of any transaction; nil allows all. Its error is returned as it is.
	Use func(context.Context, KeyUse) error
}

// KeyUse is what a call is about to do with a master key.
type KeyUse struct {
	// Action is UseToOpen or UseToSeal.
	Action KeyAction
	// Key is the key's id, or the reference that the Secret has; empty means the
	// default key.
	Key string
	// ARN and Version are the value's place. Version may be empty.
	ARN     lockstep.ARN
	Version lockstep.VersionID
}

// KeyAction is one of AWS's actions on keys.
type KeyAction string

// The actions.
const (
	UseToOpen KeyAction = "Decrypt"
	UseToSeal KeyAction = "GenerateDataKey"
)

func (r Ref) use(ctx context.Context, u KeyUse) error {
	if r.Use == nil {
		return nil
	}
	return r.Use(ctx, u)
}

func (r Ref) ask(s *lockstep.Secret) error {
	if r.Allow == nil {
		return nil
	}
	return r.Allow(s)
}

// CreateInput is a new Secret. Value may be zero: a Secret without a Version.
type CreateInput struct {
	Owner store.Owner
	// Use is Ref's.
	Use         func(context.Context, KeyUse) error
	Name        string
	Token       lockstep.VersionID
	Description string
	KMSKeyID    string
	Type        string
	Tags        []lockstep.Tag
	Value       lockstep.Value
	// Replicas are to be made with it.
	Replicas ReplicateInput
}

// PutInput is a new value.
type PutInput struct {
	Token lockstep.VersionID
	Value lockstep.Value
	// Stages are the labels for the new Version, in the order to answer; none
	// means AWSCURRENT.
	Stages []lockstep.Stage
}

// UpdateInput changes what is not nil; with a Value, it makes a new Version.
type UpdateInput struct {
	Token       lockstep.VersionID
	Description *string
	KMSKeyID    *string
	Type        *string
	Value       lockstep.Value
}

// GetInput selects a Version; both empty means AWSCURRENT.
type GetInput struct {
	Version lockstep.VersionID
	Stage   lockstep.Stage
}

// GetOutput is a value with what belongs to it.
type GetOutput struct {
	Secret  *lockstep.Secret
	Version lockstep.VersionID
	Created time.Time
	Stages  []lockstep.Stage
	Value   lockstep.Value
}

// WriteOutput is what a write came to. Version is empty if none was made.
type WriteOutput struct {
	Secret  *lockstep.Secret
	Version lockstep.VersionID
	Stages  []lockstep.Stage
}

// MoveStageInput is UpdateSecretVersionStage.
type MoveStageInput struct {
	Stage lockstep.Stage
	From  lockstep.VersionID
	To    lockstep.VersionID
}

// DeleteInput is DeleteSecret. Window is how long the Secret can be restored;
// zero means DefaultRecoveryWindow.
type DeleteInput struct {
	Window time.Duration
	Force  bool
}

// Description is a Secret with its labels.
type Description struct {
	Secret *lockstep.Secret
	Stages lockstep.Stages
	// Replicas is how a primary's replicas are; not in lists.
	Replicas []ReplicaStatus
}

// ListInput selects one page of Secrets.
type ListInput struct {
	// Query selects; its Limit is the size of the page and must be set.
	Query store.SecretQuery
	// Keep has the last word on each; nil accepts all.
	Keep func(*lockstep.Secret) bool
}

// Page is one page of a list; More tells whether another follows.
type Page struct {
	Secrets []Description
	More    bool
}

// VersionList is a Secret with all its Versions, oldest first.
type VersionList struct {
	Secret   *lockstep.Secret
	Stages   lockstep.Stages
	Versions []*lockstep.Version
}
