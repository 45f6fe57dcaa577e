package secretsmanager

import (
	"slices"
	"strings"
	"testing"

	"lockstep"
	"lockstep/store"
)

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                    nil,
		"a secret":            {"a", "secret"},
		"  two   spaces ":     {"two", "spaces"},
		"AppBeta":             {"app", "beta"},
		"COMPANYthings":       {"compan", "ythings"},
		"COMPANY":             {"company"},
		"my-app-one":          {"my", "app", "one"},
		"prod/DbMain":         {"prod", "db", "main"},
		"my-app/one":          {"my-app/one"},
		"MyApp-one/two":       {"myapp-one/two"},
		"/":                   nil,
		"//":                  nil,
		"/lead":               {"lead"},
		"user@host":           {"user", "host"},
		"Über ÄpfelBaum":      {"über", "äpfel", "baum"},
		"a.b c-d":             {"a", "b", "c", "d"},
		"lowerUPPERlowerCase": {"loweruppe", "rlower", "case"},
	} {
		if got := store.Words(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWordwise(t *testing.T) {
	for _, c := range []struct {
		text, value string
		want        bool
	}{
		{"a secret", "a secret", true},
		{"an secret", "a secret", true},
		{"asecret", "a secret", false},
		{"thesecret", "a secret", false},
		{"AppBeta", "beta", true},
		{"AppBeta", "eta", false},
		{"anything", "/", false},
		{"anything", "", false},
	} {
		if got := wordwise(c.text, store.Words(c.value)); got != c.want {
			t.Errorf("%q in %q: %v", c.value, c.text, got)
		}
	}
}

func TestNamePrefixIsSafe(t *testing.T) {
	key := func(k string) *string { return &k }
	for _, c := range []struct {
		filters []filter
		want    string
	}{
		{nil, ""},
		{[]filter{{key("name"), []string{"a"}}}, "a"},
		{[]filter{{key("name"), []string{"a"}}, {key("name"), []string{"ab"}}}, "ab"},
		{[]filter{{key("name"), []string{"a", "b"}}}, ""},
		{[]filter{{key("name"), []string{"!a"}}}, ""},
		{[]filter{{key("all"), []string{"a"}}}, ""},
	} {
		if got := namePrefix(conditions(c.filters)); got != c.want {
			t.Errorf("%v: %q, want %q", c.filters, got, c.want)
		}
	}
}

// indexed tells whether the store would find a Secret by the terms of these
// conditions.
func indexed(s *lockstep.Secret, all []condition) bool {
	for _, ranges := range termsOf(all) {
		met := slices.ContainsFunc(store.Terms(s), func(term string) bool {
			return slices.ContainsFunc(ranges, func(r store.TermRange) bool { return term >= r.From && term < r.To })
		})
		if !met {
			return false
		}
	}
	return true
}

// FuzzFilters: a filter and its negation never both match the same one value,
// and exactly one does where the attribute exists.
func FuzzFilters(f *testing.F) {
	f.Add("name", "prod/", "prod/db", "a description", "k", "v")
	f.Add("all", "a secret", "x", "AppBeta", "k", "COMPANYthings")
	f.Add("description", "!x", "x", "", "", "")
	f.Add("tag-value", strings.Repeat("long", 30), "x", "", "k", strings.Repeat("long", 30)+"er")
	f.Add("name", strings.Repeat("n", 101), strings.Repeat("n", 102), "", "k", "v")
	f.Fuzz(func(t *testing.T, key, value, name, description, tagKey, tagValue string) {
		value = strings.TrimLeft(value, "!")
		s := &lockstep.Secret{Name: name, Description: description, Tags: []lockstep.Tag{{Key: tagKey, Value: tagValue}}}
		plain := conditions([]filter{{&key, []string{value}}})
		negated := conditions([]filter{{&key, []string{"!" + value}}})
		a, b := matches(s, plain), matches(s, negated)
		if a && b {
			t.Fatal("a value and its negation both match")
		}
		if !a && !b && plain[0].applies(s) {
			t.Fatal("neither a value nor its negation matches")
		}
		if a && !strings.HasPrefix(s.Name, namePrefix(plain)) {
			t.Fatal("the store would not have found what matches")
		}
		for _, c := range [][]condition{plain, negated} {
			if matches(s, c) && !indexed(s, c) {
				t.Fatalf("the store's index would not have found what %v matches", c)
			}
		}
		for _, w := range store.Words(description) {
			if w == "" || strings.ContainsAny(w, " ") {
				t.Fatalf("word %q", w)
			}
		}
	})
}
