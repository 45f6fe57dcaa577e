package rotators

import (
	"context"
	"time"

	"lockstep"
)

// Session is what a target says about sessions that use a credential: all those
// of one application from one address.
type Session struct {
	// Address is the client's host; empty if the target does not say, or the
	// client is on the target's own machine.
	Address string
	// Application is what the client calls itself; empty if it does not say.
	Application string
	// Since is when the oldest of them logged in; zero if the target does not say.
	Since time.Time
	// Count is how many there are.
	Count int
	// Certain is false where the target cannot tell whether a session logged in
	// with this credential or another one of the same account.
	Certain bool
}

// Witness asks a target who uses a credential. It changes nothing.
type Witness interface {
	// Sessions lists who is logged in with v, at every node of the target,
	// oldest first. Where v and AWSCURRENT are of one account, those from before
	// r.Since are taken for the old one's. Errors: TargetErrors with NotApplied;
	// FaultPermanent names the right that is missing.
	Sessions(ctx context.Context, r *Request, v lockstep.Value) ([]Session, error)
}

// SessionKiller ends the sessions of a credential that no longer logs in.
type SessionKiller interface {
	// KillSessions ends the sessions that old certainly opened, and returns when
	// the target has none left. None there is success. A session that may be
	// AWSCURRENT's lives on. Errors: TargetErrors with Unknown, since some may
	// have been ended; FaultPermanent names the right that is missing.
	KillSessions(ctx context.Context, r *Request, old lockstep.Value) error
}
