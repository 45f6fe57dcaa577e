package rotators

import (
	"strings"
	"testing"
	"unicode/utf8"

	"lockstep"
)

func TestRedact(t *testing.T) {
	value := lockstep.StringValue(`{"host":"db.example","username":"orders","password":"pa ss\"w0rd/é","port":5432,"apikey":"abc"}`)
	token := lockstep.StringValue("session-token")
	for _, row := range []struct{ in, want string }{
		{"login of orders at db.example failed", "login of orders at db.example failed"},
		{`password pa ss"w0rd/é is wrong`, "password [redacted] is wrong"},
		{`{"password": "pa ss\"w0rd/é"}`, `{"password": "[redacted]"}`},
		{"postgres://orders:pa+ss%22w0rd%2F%C3%A9@db", "postgres://orders:[redacted]@db"},
		{"whole: " + value.Reveal(), "whole: [redacted]"},
		{"with session-token in it", "with [redacted] in it"},
		{"line\nline\x00\x1b[31m", "line line  [31m"},
		{"abc stays", "abc stays"},
		{"", ""},
	} {
		if got := Redact(row.in, value, token); got != row.want {
			t.Errorf("Redact(%q) = %q, want %q", row.in, got, row.want)
		}
	}
	if got := Redact(strings.Repeat("é", 5000)); len(got) > maxTold+len("…") || !utf8.ValidString(got) {
		t.Errorf("a long text became %d bytes", len(got))
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("text with hunter22 in it", "hunter22")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < shortest || strings.Contains(redacted, secret) || strings.ContainsAny(secret, "[] \n\t…") {
			return
		}
		if strings.Contains(Redact(text, lockstep.StringValue(secret)), secret) && strings.Contains(text, secret) {
			t.Fatalf("%q is still in there", secret)
		}
	})
}
