package generic_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/generic"
	"lockstep/rotators/rotatortest"
)

func rotator(t *testing.T) *generic.Rotator {
	t.Helper()
	r, err := generic.New(generic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var _ rotators.Planner = (*generic.Rotator)(nil)

func TestConformance(t *testing.T) {
	for name, target := range map[string]rotatortest.Target{
		"a text": {
			Current: lockstep.StringValue("first"), PlainText: true,
			Clear: func(_ *testing.T, v lockstep.Value) string { return string(v.Bytes()) },
		},
		"a field": {
			Current: lockstep.StringValue(`{"user":"bob","password":"first"}`), PlainText: true,
			Clear: func(t *testing.T, v lockstep.Value) string {
				var s struct{ Password string }
				if err := json.Unmarshal(v.Bytes(), &s); err != nil {
					t.Fatal(err)
				}
				return s.Password
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rotatortest.Run(t, rotatortest.Fixture{Rotator: rotator(t), New: func(*testing.T) rotatortest.Target {
				target.ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:plain-AbCdEf"
				return target
			}})
		})
	}
}

func TestWhichPartIsReplaced(t *testing.T) {
	const mark = "first-value-Qz7"
	for text, want := range map[string]string{
		mark:                                          "*",
		`"` + mark + `"`:                              "*",
		`{"password":"` + mark + `"}`:                 `{"password":"*"}`,
		`{"apiKey": "` + mark + `" , "n":1.0 }`:       `{"apiKey": "*" , "n":1.0 }`,
		`{"token":"` + mark + `","user":"key"}`:       `{"token":"*","user":"key"}`,
		`{"password":"` + mark + `","token":"stays"}`: `{"password":"*","token":"stays"}`,
		`{"rotate":"b","a":"stays","password":"x","b":"` + mark + `"}`: `{"rotate":"b","a":"stays","password":"x","b":"*"}`,
	} {
		r := &rotators.Request{Current: lockstep.StringValue(text)}
		v, err := rotator(t).Create(t.Context(), r)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		before, after, _ := strings.Cut(want, "*")
		got := string(v.Bytes())
		random := strings.TrimSuffix(strings.TrimPrefix(got, before), after)
		if got != before+random+after || len(random) != 32 {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func TestWhatCannotBeTold(t *testing.T) {
	for name, v := range map[string]lockstep.Value{
		"nothing":            {},
		"blank":              lockstep.StringValue("  \n"),
		"no known field":     lockstep.StringValue(`{"user":"first"}`),
		"two known fields":   lockstep.StringValue(`{"token":"a","apiKey":"b"}`),
		"a missing field":    lockstep.StringValue(`{"rotate":"none","password":"a"}`),
		"names itself":       lockstep.StringValue(`{"rotate":"rotate"}`),
		"a number":           lockstep.StringValue(`{"password":7}`),
		"a list":             lockstep.StringValue(`["first"]`),
		"bytes":              lockstep.BinaryValue([]byte{1, 2, 3}),
		"half of an object":  lockstep.StringValue(`{"password":"first"`),
		"the same one twice": lockstep.StringValue(`{"password":"first","password":"b"}`),
	} {
		r := &rotators.Request{Current: v}
		_, err := rotator(t).Create(t.Context(), r)
		if !errors.Is(err, lockstep.ErrInvalid) || strings.Contains(err.Error(), "first") {
			t.Errorf("%s: %v", name, err)
		}
		plan, err := rotator(t).Plan(t.Context(), r)
		if err != nil || len(plan.Problems) != 1 || plan.Problems[0].Hint == "" {
			t.Errorf("plan of %s: %+v, %v", name, plan, err)
		}
	}
}
