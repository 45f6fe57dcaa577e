package rotators

import (
	"context"
	"time"

	"lockstep"
)

// FunctionStep is a step of a rotation as AWS names it to rotation functions.
type FunctionStep string

// The steps, in their order.
const (
	FunctionCreate FunctionStep = "createSecret"
	FunctionSet    FunctionStep = "setSecret"
	FunctionTest   FunctionStep = "testSecret"
	FunctionFinish FunctionStep = "finishSecret"
)

// FunctionEvent is what a rotation function is called with: AWS's rotation
// event, word for word.
type FunctionEvent struct {
	Step FunctionStep `json:"Step"`
	// SecretID is the ARN.
	SecretID lockstep.ARN       `json:"SecretId"`
	Token    lockstep.VersionID `json:"ClientRequestToken"`
}

// Callback is where and as whom a function reads and writes the Secret: a
// session that ends with the call, and may nothing but what the step needs.
type Callback struct {
	AccessKeyID     string
	SecretAccessKey lockstep.Value
	SessionToken    lockstep.Value
	Expires         time.Time
	// Endpoint is the URL of the API; CABundle the authorities to trust there,
	// in PEM; empty: the system's.
	Endpoint string
	Region   lockstep.Region
	CABundle string
}

// Call is one call of a function.
type Call struct {
	// ID names the call; each try has its own.
	ID       string
	Event    FunctionEvent
	Callback Callback
}

// FunctionPlanner is what a Function may do beside: say how it would be called,
// and what is in the way, as far as that can be told without calling it.
type FunctionPlanner interface {
	// PlanCall changes nothing and calls no code of the function. Its text holds
	// no value.
	PlanCall(ctx context.Context) Plan
}

// Function is a rotator of somebody's own. Unlike a Rotator it is given no
// value: it is called once for each of AWS's four steps, and reads and writes
// the Secret through the API. It is idempotent, as AWS demands: the same step
// may be called again after any failure.
type Function interface {
	// Timeout bounds one call.
	Timeout() time.Duration
	// Invoke calls the function, honouring the context's deadline. nil is its
	// "done". An error is a lockstep.TargetError whose Outcome is NotApplied
	// where the function certainly was not reached, and Unknown otherwise. Its
	// text may repeat what the function said, so whoever gets it redacts it
	// before anybody sees it.
	Invoke(ctx context.Context, c Call) error
}
