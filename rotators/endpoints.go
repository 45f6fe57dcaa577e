package rotators

import (
	"context"

	"lockstep"
)

// EndpointTester logs in through the further ways to an account that a value
// names: replicas, which repeat a change a while later, and poolers. The engine
// asks it in test, once the primary has accepted the pending value, so that no
// application gets a value that its own way does not know yet. The verdicts of
// probing are the primary's alone.
type EndpointTester interface {
	// TestEndpoints logs in with v through each endpoint, and again until its
	// propagation time has passed. Errors: TargetErrors with NotApplied, naming
	// the endpoint; FaultTransient for a login that does not work yet.
	TestEndpoints(ctx context.Context, r *Request, v lockstep.Value) error
}
