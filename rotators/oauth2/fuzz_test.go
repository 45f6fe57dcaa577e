package oauth2

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

// FuzzTokens reads answers of token endpoints: what is taken can be kept, and is
// read back.
func FuzzTokens(f *testing.F) {
	for _, s := range []string{
		`{"access_token":"a","token_type":"bearer","expires_in":3600,"refresh_token":"r"}`,
		`{"access_token":"a","expires_in":"60"}`, `{"access_token":"a","expires_in":1e99}`, `{"access_token":"a","expires_in":-1}`,
		`{"access_token":"\u0000"}`, `{"access_token":1}`, `[]`, ``, `{"access_token":"a","token_type":"mac"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := readTokens(body)
		if err != nil {
			if !errors.Is(err, errNoToken) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		got.asked = time.Now()
		g, err := readGrant(lockstep.StringValue(`{"refresh_token":"old"}`))
		if err != nil {
			t.Fatal(err)
		}
		v, err := g.with(got)
		if err != nil {
			return // too long
		}
		back, err := readGrant(v)
		if err != nil || back.access != strings.ToValidUTF8(got.Access, "\ufffd") {
			t.Fatalf("%v: not what was read", err)
		}
		if !back.expires.IsZero() && !back.expires.After(got.asked.Add(-time.Second)) {
			t.Fatalf("expires at %s", back.expires)
		}
	})
}

// FuzzRegistered reads values that are registrations; a request made of one says
// nothing that is ours, or the server's alone.
func FuzzRegistered(f *testing.F) {
	for _, s := range []string{
		`{"issuer":"https://as","client_id":"a","client_secret":"b","registration_client_uri":"https://as/r","registration_access_token":"c","client_secret_expires_at":0}`,
		`{"token_endpoint":"https://as","client_id":"a","client_secret":"b","client_name":"x (lockstep-0-0-0)","client_secret_expires_at":1.5}`,
		`{"client_id":[]}`, `{`, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := readRegistered(lockstep.StringValue(string(text)))
		if err != nil {
			if !errors.Is(err, lockstep.ErrInvalid) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		body, err := r.renamed("lockstep-0123456789abcdef-0123456789abcdef-1")
		if err != nil {
			return
		}
		sent, err := jsonvalue.Parse(lockstep.StringValue(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Concat([]string{"client_id", "client_secret"}, ours, given) {
			if sent.Has(name) {
				t.Fatalf("it tells %s", name)
			}
		}
		if !strings.Contains(string(body), "lockstep-0123456789abcdef-0123456789abcdef-1)") {
			t.Fatal("no marker")
		}
	})
}
