package runs_test

import (
	"testing"

	"lockstep"
)

func classes() map[string]lockstep.Traits {
	return map[string]lockstep.Traits{
		"one value":    {Chooser: lockstep.Chosen, Overlap: lockstep.OneValue},
		"two accounts": {Chooser: lockstep.Chosen, Overlap: lockstep.TwoAccounts},
	}
}

func TestNoInterleavingBreaksAnInvariant(t *testing.T) {
	for class, traits := range classes() {
		for name, bounds := range map[string]model{
			"two crashes":   {runsLeft: 2, crashes: 2, losses: 1},
			"two losses":    {runsLeft: 2, crashes: 1, losses: 2},
			"hands":         {runsLeft: 2, crashes: 1, losses: 1, handsLeft: 1},
			"busy hands":    {runsLeft: 1, crashes: 1, losses: 1, handsLeft: 2},
			"hands, losses": {runsLeft: 1, losses: 2, handsLeft: 1},
		} {
			t.Run(class+", "+name, func(t *testing.T) {
				e := explore(traits, rules{}, bounds)
				t.Logf("%d states", len(e.seen))
				if e.broken != "" {
					t.Error(e.broken)
				}
			})
		}
	}
}

func TestEveryGuardIsNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		class string
		rules rules
	}{
		"AWSCURRENT = base":         {"one value", rules{noBase: true, noCancel: true}},
		"cancel":                    {"two accounts", rules{noCancel: true}},
		"idle account":              {"two accounts", rules{ownAccount: true}},
		"fence":                     {"one value", rules{noFence: true}},
		"not-after and marker":      {"one value", rules{noTarget: true}},
		"not-after, two accounts":   {"two accounts", rules{noTarget: true}},
		"pending stored before set": {"one value", rules{setFirst: true}},
	} {
		t.Run(name, func(t *testing.T) {
			e := explore(classes()[c.class], c.rules, model{runsLeft: 2, crashes: 1, losses: 2, handsLeft: 1})
			if e.broken == "" {
				t.Errorf("nothing broke in %d states without it", len(e.seen))
				return
			}
			t.Log(e.broken)
		})
	}
}
