package oauth2_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/internal/oauthtest"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
	"lockstep/rotators/oauth2"
)

// config lets a rotator reach the test's server, and nothing else.
func config(s *oauthtest.Server) oauth2.Config {
	return oauth2.Config{Addresses: []string{egress.AllowLoopback}, Roots: s.Roots()}
}

const (
	theARN    = lockstep.ARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:orders-aBcDeF")
	theMarker = lockstep.Marker("lockstep-0123456789abcdef-0123456789abcdef-1")
)

// ask is a request about AWSCURRENT.
func ask(current lockstep.Value) *rotators.Request {
	return &rotators.Request{
		ARN: theARN, Name: "orders", Version: "00000000-0000-4000-8000-000000000000", Current: current, Marker: theMarker,
		Guard: rotators.Guard{Fence: 1, NotAfter: func(_ context.Context, now time.Time) (time.Time, error) {
			return now.Add(time.Minute), nil
		}},
	}
}

// with is a value with other texts in some fields; an empty text takes one out.
func with(t testing.TB, v lockstep.Value, pairs ...string) lockstep.Value {
	t.Helper()
	o, err := jsonvalue.Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	var fields []jsonvalue.Field
	for i := 0; i < len(pairs); i += 2 {
		f := jsonvalue.TextField(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			f.JSON = []byte("null")
		}
		fields = append(fields, f)
	}
	out, err := o.WithAll(fields...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// field is a text in a value; empty if there is none.
func field(t testing.TB, v lockstep.Value, name string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(v.Bytes(), &fields); err != nil {
		t.Fatalf("value: %v", err)
	}
	var text string
	_ = json.Unmarshal(fields[name], &text) // another type: none
	return text
}

// clientValue is the value of a new client's secret; by its issuer.
func clientValue(t testing.TB, s *oauthtest.Server) lockstep.Value {
	t.Helper()
	return with(t, lockstep.StringValue(s.NewClient(t)), "issuer", s.Issuer())
}

// refreshValue is the value of a secret with a refresh token.
func refreshValue(t testing.TB, s *oauthtest.Server) lockstep.Value {
	t.Helper()
	client := s.NewClient(t)
	given := s.Authorize(t, client)
	v := lockstep.StringValue(client)
	return with(t, lockstep.StringValue("{}"), "issuer", s.Issuer(),
		"client_id", field(t, v, "client_id"), "client_secret", field(t, v, "client_secret"), "refresh_token", given.Refresh)
}

// tokenValue is the value of a secret for access tokens of a client's own.
func tokenValue(t testing.TB, s *oauthtest.Server) lockstep.Value {
	t.Helper()
	v := lockstep.StringValue(s.NewClient(t))
	return with(t, lockstep.StringValue("{}"), "issuer", s.Issuer(),
		"client_id", field(t, v, "client_id"), "client_secret", field(t, v, "client_secret"), "scope", "orders")
}

// wantFault checks what an error says, and that it shows no secret of a value.
func wantFault(t testing.TB, err error, o lockstep.Outcome, f lockstep.Fault, secrets ...lockstep.Value) *lockstep.TargetError {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	te := lockstep.AsTargetError(err)
	if te.Outcome != o || te.Fault != f {
		t.Errorf("got outcome %v, fault %d; want %v, %d: %v", te.Outcome, te.Fault, o, f, err)
	}
	for _, v := range secrets {
		for _, name := range []string{"client_secret", "refresh_token", "access_token", "registration_access_token"} {
			if text := field(t, v, name); text != "" && strings.Contains(te.Error()+te.Hint, text) {
				t.Errorf("the error shows %s: %v", name, err)
			}
		}
	}
	return te
}

func issue(t testing.TB, r rotators.Issuer, current lockstep.Value) lockstep.Value {
	t.Helper()
	v, err := r.Issue(t.Context(), ask(current))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Test(t.Context(), ask(current), v); err != nil {
		t.Fatalf("test of what was issued: %v", err)
	}
	return v
}
