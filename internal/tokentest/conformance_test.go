package tokentest

import (
	"encoding/json"
	"testing"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/rotatortest"
)

const arn lockstep.ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"

// at gives a value with another address, or another token.
func at(t *testing.T, v lockstep.Value, change func(*fields)) lockstep.Value {
	t.Helper()
	f, err := parse(v)
	if err != nil {
		t.Fatal(err)
	}
	change(&f)
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return lockstep.StringValue(string(b))
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		rotator rotators.Issuer
		options Options
	}{
		"several":   {NewSeveral(), Options{}},
		"one":       {NewOne(), Options{One: true}},
		"ephemeral": {NewEphemeral(), Options{Life: 1 << 40}},
	} {
		t.Run(name, func(t *testing.T) {
			rotatortest.RunIssued(t, rotatortest.IssuedFixture{Rotator: c.rotator, New: func(t *testing.T) rotatortest.IssuedTarget {
				s := Start(t, c.options)
				target := rotatortest.IssuedTarget{
					Target: rotatortest.Target{
						ARN: arn, Current: Value(s.URL(), s.First("by hand")), Address: s.Address(),
						Accepts: func(_ *testing.T, v lockstep.Value) bool { return s.Accepts(Secret(v)) },
						Wrong: func(t *testing.T, v lockstep.Value) lockstep.Value {
							return at(t, v, func(f *fields) { f.Token = "no-token" })
						},
						Through: func(t *testing.T, v lockstep.Value, address string) lockstep.Value {
							return at(t, v, func(f *fields) { f.URL = "http://" + address })
						},
					},
					Count: func(*testing.T) int { return len(s.Tokens()) },
				}
				if !c.options.One {
					target.Named = func(_ *testing.T, name string) { s.First(name) }
				}
				return target
			}})
		})
	}
}
