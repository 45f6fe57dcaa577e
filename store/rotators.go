package store

import (
	"time"

	"lockstep"
)

// RotatorKind says how a registered rotator is reached.
type RotatorKind string

// The kinds.
const (
	// RotatorWebhook is called by a signed HTTPS POST.
	RotatorWebhook RotatorKind = "webhook"
	// RotatorExec is a subprocess of the worker.
	RotatorExec RotatorKind = "exec"
	// RotatorNATS is a service on NATS.
	RotatorNATS RotatorKind = "nats-service"
	// RotatorRecipe is a recipe for an HTTP API, which Lockstep itself calls.
	RotatorRecipe RotatorKind = "recipe"
)

// Rotator is a rotator of somebody's own that was registered.
type Rotator struct {
	// Name is unique over the whole store: a NATS service listens to it.
	Name    string
	Account lockstep.AccountID
	Kind    RotatorKind
	// Target is the URL of a webhook, the command of a subprocess, or the text of
	// a recipe; empty for a NATS service.
	Target string
	// CA holds the authorities, in PEM, that the certificate of a webhook or of a
	// recipe's API is checked against; empty: the system's.
	CA string
	// Addresses are the kinds of addresses that a webhook or a recipe's API may
	// have beside public ones.
	Addresses []string
	// Timeout bounds one call.
	Timeout time.Duration
	// Key signs the calls of a webhook; nil for other kinds.
	Key *lockstep.Sealed
	// CreatedBy is the ARN of who registered it.
	CreatedBy string
	Created   time.Time
}

// RotatorReader reads registered rotators.
type RotatorReader interface {
	// Rotator reads one. ErrNotFound.
	Rotator(name string) (*Rotator, error)
	// Rotators lists an account's by name.
	Rotators(q NameQuery) ([]*Rotator, error)
	// RotatorUsers lists up to limit ARNs of Secrets, not gone, whose Rotation
	// names the registered rotator, enabled or not.
	RotatorUsers(account lockstep.AccountID, name string, limit int) ([]lockstep.ARN, error)
}

// RotatorWriter changes them.
type RotatorWriter interface {
	// InsertRotator stores a new one. ErrExists if the name is taken.
	InsertRotator(r *Rotator) error
	// DeleteRotator removes one. ErrNotFound.
	DeleteRotator(name string) error
}
