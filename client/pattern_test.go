package client

import (
	"errors"
	"strings"
	"testing"

	"lockstep"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct{ pattern, key, yes, no string }{
		{"", ">", "a prod/db/x /a a//b", ""},
		{"**", ">", "a prod/db/x", ""},
		{"prod/db/orders", "prod.db.orders", "prod/db/orders", ""},
		{"prod/db/*", "prod.db.*", "prod/db/x prod/db/a.b", ""},
		{"prod/**", "prod.>", "prod/x prod/db/x", ""},
		{"prod/*/main", "prod.*.main", "prod/x/main", ""},
		{"a.b/c", "a%2Eb.c", "a.b/c", ""},
		{"prod/db-*", "prod.*", "prod/db-1 prod/db-", "prod/x prod/xdb-1"},
		{"*-db", "*", "x-db -db a-db-db", "x-dbs db"},
		{"a*b*c", "*", "abc axbxc abbc", "ab acb axc"},
		{"*o*o*", "*", "oo foo-o", "o"},
		{"**/main", ">", "a/main a/b/main", "main a/main/b"},
		{"prod/**/main", "prod.>", "prod/a/main prod/a/b/main", "prod/main prod/a"},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil || p.key() != c.key {
			t.Errorf("%q: key %q, want %q, %v", c.pattern, p.key(), c.key, err)
		}
		for _, name := range strings.Fields(c.yes) {
			if !p.matches(name) {
				t.Errorf("%q does not match %q", c.pattern, name)
			}
		}
		for _, name := range strings.Fields(c.no) {
			if p.matches(name) {
				t.Errorf("%q matches %q", c.pattern, name)
			}
		}
	}
	for _, bad := range []string{"a b", "a/***", "a**", "arn:aws:x", ">", "a\nb", "ä", "%"} {
		if _, err := parsePattern(bad); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzPattern checks that the subject never selects less than the pattern.
func FuzzPattern(f *testing.F) {
	f.Add("prod/db-*/**", "prod/db-1/x")
	f.Add("**", "/")
	f.Add("*a*", "aa")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := parsePattern(pattern)
		if err != nil || name == "" || strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }) {
			return
		}
		p.literal = false
		if p.matches(name) && !subjectMatches(p.key(), lockstep.SecretKey(name)) {
			t.Errorf("%q matches %q, but %q does not match %q", pattern, name, p.key(), lockstep.SecretKey(name))
		}
		if !strings.Contains(pattern, "*") && pattern != "" && p.matches(name) != (pattern == name) {
			t.Errorf("%q and %q", pattern, name)
		}
	})
}

// subjectMatches is what NATS does.
func subjectMatches(pattern, subject string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, tok := range want {
		if tok == ">" {
			return len(have) > i
		}
		if i >= len(have) || (tok != "*" && tok != have[i]) {
			return false
		}
	}
	return len(want) == len(have)
}
