package policy

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzPattern compares matching with a regular expression of the same meaning.
func FuzzPattern(f *testing.F) {
	for _, pair := range [][2]string{
		{"*", ""}, {"a*b?c", "axxbyc"}, {"*aab", "aaaab"}, {"??", "é"}, {"*é?", "aéb"}, {"**", "x"}, {"a*a*a", "aa"}, {"", ""}, {"?", "\n"}, {"*.x", "a.x"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, text, s string) {
		if !utf8.ValidString(text) || !utf8.ValidString(s) || len(text) > 100 {
			return
		}
		p, err := parsePattern(text, syntaxSet{wildcards: true})
		if err != nil {
			t.Fatal(err)
		}
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(text))
		want := regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(s)
		if got := p.match(s); got != want {
			t.Errorf("%q against %q: got %v, want %v", text, s, got, want)
		}
	})
}
