package rotators

import (
	"context"
	"time"

	"lockstep"
)

// Issuer is a Rotator whose target makes the value (lockstep.Issued): tokens,
// API keys, client secrets. The engine writes down the intent, with its marker,
// calls Issue, and stores what comes back before it does anything else. A call
// is never repeated for the same intent.
//
// If the answer is lost, what was issued is an orphan. Where several values may
// be valid (lockstep.TwoValues), it is found by its marker and revoked, or dies
// by itself ([OrphanFinder], [Expirer]), and another is issued; for
// lockstep.TwoAccounts the next one takes its place. Where issuing kills the value
// before it (lockstep.OneValue), nothing is called again: the Run is lost.
type Issuer interface {
	Rotator
	// Issue asks the target for a new value, in one call that makes it: what
	// may fail beforehand (discovery, a login) is done first, and what can wait
	// is left to Test. It calls r.Guard.NotAfter right before, and sends nothing
	// if that fails; where the target has no clock to compare with, it gives its
	// own, and ends the call by the time that it gets. It has the target keep
	// r.Marker, as it is, in a field that a list of credentials shows.
	//
	// The value returned is all of the Secret's new value: AWSCURRENT with what
	// was issued in its place, and with what Retire needs to revoke it (its id).
	// It needs nothing that is not in it; r.Pending is zero.
	//
	// Errors: NotApplied is returned only if the target certainly issued
	// nothing, for it says so or was never reached; the same intent is then over
	// and another may follow. An answer that cannot be read is Unknown.
	// FaultRefusedLogin means that the credential which asks is refused.
	Issue(ctx context.Context, r *Request) (lockstep.Value, error)
}

// OrphanFinder finds what a target has issued, by its marker, and revokes what
// the engine chooses: intents of its own whose value never came. Markers that the
// store does not know are only reported, since a store that was restored from a
// backup has forgotten intents whose values are in use.
type OrphanFinder interface {
	// Marked lists every credential at the target that bears a marker of this
	// Secret (lockstep.ParseMarker, Marker.Of r.ARN): orphans, AWSCURRENT and the
	// others alike; and no other. It is the whole list, of all pages, or an error.
	Marked(ctx context.Context, r *Request) ([]Marked, error)
	// Revoke makes the target refuse one of them. Done already is success.
	Revoke(ctx context.Context, r *Request, m Marked) error
}

// Marked is one credential at a target that bears a marker.
type Marked struct {
	Marker lockstep.Marker
	// ID is by what the target calls it; no secret.
	ID string
}

// Expirer tells until when a value works. The engine renews a value when two
// thirds of the time that it had are over, if its Schedule does not do so before:
// a Rotation of values that expire needs no Schedule. Values that expire by
// themselves need neither a Retirer nor an OrphanFinder.
type Expirer interface {
	// Expires reads it from the value, without touching the target; zero: it does
	// not expire, or that is not known. Errors: ErrInvalid.
	Expires(v lockstep.Value) (time.Time, error)
}

// lacks names the ability that a Rotator's Traits ask for and that it has not;
// empty if it has all.
func lacks(r Rotator) string {
	traits := r.Traits()
	if traits.Chooser != lockstep.Issued {
		if _, ok := r.(Chooser); !ok {
			return "a rotator that makes values (Create, Set)"
		}
		return ""
	}
	if _, ok := r.(Issuer); !ok {
		return "a rotator that has values issued (Issue)"
	}
	_, retires := r.(Retirer)
	_, finds := r.(OrphanFinder)
	_, expires := r.(Expirer)
	if traits.Overlap == lockstep.TwoValues && !expires && !(retires && finds) {
		return "one that revokes old values and finds orphans (Retire, Marked, Revoke), or whose values expire (Expires)"
	}
	return ""
}
