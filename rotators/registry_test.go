package rotators

import (
	"context"
	"errors"
	"testing"
	"time"

	"lockstep"
)

// bare is a Rotator of a class without any further ability.
type bare struct{ traits lockstep.Traits }

func (b bare) Traits() lockstep.Traits                            { return b.traits }
func (bare) Test(context.Context, *Request, lockstep.Value) error { return nil }
func class(c lockstep.Chooser, o lockstep.Overlap) bare {
	return bare{lockstep.Traits{Chooser: c, Overlap: o}}
}

type choosing struct{ bare }

func (choosing) Create(context.Context, *Request) (lockstep.Value, error) {
	return lockstep.Value{}, nil
}
func (choosing) Set(context.Context, *Request) error { return nil }

type issuing struct{ bare }

func (issuing) Issue(context.Context, *Request) (lockstep.Value, error) { return lockstep.Value{}, nil }

type revoking struct{ issuing }

func (revoking) Retire(context.Context, *Request, lockstep.Value) error { return nil }

type finding struct{ revoking }

func (finding) Marked(context.Context, *Request) ([]Marked, error) { return nil, nil }
func (finding) Revoke(context.Context, *Request, Marked) error     { return nil }

type expiring struct{ issuing }

func (expiring) Expires(lockstep.Value) (time.Time, error) { return time.Time{}, nil }

func TestRegisterAsksForTheAbilitiesOfTheTraits(t *testing.T) {
	several, one := class(lockstep.Issued, lockstep.TwoValues), class(lockstep.Issued, lockstep.OneValue)
	for name, row := range map[string]struct {
		rotator Rotator
		refused bool
	}{
		"chosen":                               {choosing{class(lockstep.Chosen, lockstep.TwoAccounts)}, false},
		"value alone":                          {choosing{class(lockstep.ValueOnly, lockstep.OneValue)}, false},
		"chosen, makes none":                   {class(lockstep.Chosen, lockstep.OneValue), true},
		"value alone, makes none":              {class(lockstep.ValueOnly, lockstep.OneValue), true},
		"chosen, has them issued":              {issuing{class(lockstep.Chosen, lockstep.OneValue)}, true},
		"issued, makes them":                   {choosing{one}, true},
		"issued, one":                          {issuing{one}, false},
		"issued, two accounts":                 {issuing{class(lockstep.Issued, lockstep.TwoAccounts)}, false},
		"issued, several, found and revoked":   {finding{revoking{issuing{several}}}, false},
		"issued, several, expire":              {expiring{issuing{several}}, false},
		"issued, several, not revoked":         {issuing{several}, true},
		"issued, several, orphans never found": {revoking{issuing{several}}, true},
	} {
		var g Registry
		err := g.Register(name, row.rotator)
		if (err != nil) != row.refused || (err != nil && !errors.Is(err, lockstep.ErrInvalid)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
