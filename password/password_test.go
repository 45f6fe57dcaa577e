package password_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"lockstep"
	"lockstep/password"
)

const (
	upper       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lower       = "abcdefghijklmnopqrstuvwxyz"
	numbers     = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

func TestPolicies(t *testing.T) {
	for name, c := range map[string]struct {
		policy  password.Policy
		length  int
		only    string   // every character is one of these
		each    []string // one of each is there
		refused bool
	}{
		"zero":                    {policy: password.Policy{}, length: 32, only: upper + lower + numbers + punctuation},
		"aws":                     {policy: password.ForAWS(), length: 32, only: upper + lower + numbers + punctuation, each: []string{upper, lower, numbers, punctuation}},
		"shortest of four kinds":  {policy: password.Policy{Length: 4, RequireEachIncludedType: true}, length: 4, each: []string{upper, lower, numbers, punctuation}},
		"too short":               {policy: password.Policy{Length: 3, RequireEachIncludedType: true}, refused: true},
		"three of three kinds":    {policy: password.Policy{Length: 3, ExcludeUpper: true, RequireEachIncludedType: true}, length: 3, each: []string{lower, numbers, punctuation}},
		"one character":           {policy: password.Policy{Length: 1}, length: 1},
		"longest":                 {policy: password.Policy{Length: 4096}, length: 4096},
		"too long":                {policy: password.Policy{Length: 4097}, refused: true},
		"negative":                {policy: password.Policy{Length: -1}, refused: true},
		"digits":                  {policy: password.Policy{ExcludeUpper: true, ExcludeLower: true, ExcludePunctuation: true}, length: 32, only: numbers},
		"space alone":             {policy: password.Policy{ExcludeUpper: true, ExcludeLower: true, ExcludePunctuation: true, ExcludeNumbers: true, IncludeSpace: true}, length: 32, only: " "},
		"nothing left":            {policy: password.Policy{ExcludeUpper: true, ExcludeLower: true, ExcludePunctuation: true, ExcludeNumbers: true}, refused: true},
		"all characters excluded": {policy: password.Policy{ExcludePunctuation: true, Exclude: upper + lower + numbers}, refused: true},
		"a kind excluded by name": {policy: password.Policy{Length: 3, Exclude: numbers, RequireEachIncludedType: true}, length: 3, each: []string{upper, lower, punctuation}},
		"one digit is left":       {policy: password.Policy{Length: 4, Exclude: "012345678", RequireEachIncludedType: true}, length: 4, each: []string{"9"}},
		"too much to exclude":     {policy: password.Policy{Exclude: strings.Repeat("x", 4097)}, refused: true},
		"nothing to begin with":   {policy: password.Policy{NotFirst: numbers, ExcludeUpper: true, ExcludeLower: true, ExcludePunctuation: true}, refused: true},
		"for rotation":            {policy: password.ForRotation(), length: 32, only: upper + lower + numbers + "-._~", each: []string{upper, lower, numbers, punctuation}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.refused {
				if _, err := c.policy.Generate(); !errors.Is(err, lockstep.ErrInvalid) {
					t.Fatalf("got %v, want ErrInvalid", err)
				}
				return
			}
			for range 200 {
				check(t, c.policy, c.length, c.only, c.each)
			}
		})
	}
}

func check(t *testing.T, p password.Policy, length int, only string, each []string) {
	t.Helper()
	got, err := p.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != length {
		t.Fatalf("%d characters, want %d", len(got), length)
	}
	if only != "" && strings.Trim(got, only) != "" {
		t.Fatalf("%q has a character that is not allowed", got)
	}
	for _, kind := range each {
		if !strings.ContainsAny(got, kind) {
			t.Fatalf("%q lacks one of %q", got, kind)
		}
	}
	if p.NotFirst != "" && strings.ContainsRune(p.NotFirst, rune(got[0])) {
		t.Fatalf("%q begins with a forbidden character", got)
	}
}

// TestEveryCharacterIsEquallyLikely: chi-squared over all characters; the
// limit is passed by chance less than once in a billion.
func TestEveryCharacterIsEquallyLikely(t *testing.T) {
	count := make(map[rune]int)
	const draws = 50
	for range draws {
		s, err := password.Policy{Length: 4096}.Generate()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range s {
			count[r]++
		}
	}
	const kinds = 94
	expected := float64(draws*4096) / kinds
	var chi float64
	for _, r := range upper + lower + numbers + punctuation {
		d := float64(count[r]) - expected
		chi += d * d / expected
	}
	if limit := 93 + 6.5*math.Sqrt(2*93); chi > limit {
		t.Errorf("chi-squared %.1f over %.1f", chi, limit)
	}
}

// TestAdmittedPasswordsAreEquallyLikely counts all passwords of two characters
// of two small kinds: a draw that was mended would prefer some.
func TestAdmittedPasswordsAreEquallyLikely(t *testing.T) {
	p := password.Policy{
		Length: 2, Exclude: upper[2:] + numbers[1:], ExcludeLower: true, ExcludePunctuation: true,
		RequireEachIncludedType: true,
	}
	count := make(map[string]int)
	const draws = 40000
	for range draws {
		s, err := p.Generate()
		if err != nil {
			t.Fatal(err)
		}
		count[s]++
	}
	for _, want := range []string{"A0", "B0", "0A", "0B"} {
		// 8 standard deviations of a binomial with p = 1/4.
		if d := math.Abs(float64(count[want]) - draws/4); d > 8*math.Sqrt(draws*3.0/16) {
			t.Errorf("%s came %d times of %d", want, count[want], draws)
		}
	}
	if len(count) != 4 {
		t.Errorf("passwords seen: %v", count)
	}
}

func FuzzGenerate(f *testing.F) {
	f.Add(32, "", "", uint8(0))
	f.Add(4, "0123456789", "-", uint8(0x20))
	f.Add(1, "ABC", "a", uint8(0x1f))
	f.Fuzz(func(t *testing.T, length int, exclude, notFirst string, flags uint8) {
		if length > 64 {
			length %= 64
		}
		p := password.Policy{
			Length: length, Exclude: exclude, NotFirst: notFirst,
			ExcludeUpper: flags&1 != 0, ExcludeLower: flags&2 != 0, ExcludeNumbers: flags&4 != 0,
			ExcludePunctuation: flags&8 != 0, IncludeSpace: flags&16 != 0, RequireEachIncludedType: flags&32 != 0,
		}
		got, err := p.Generate()
		if err != nil {
			if !errors.Is(err, lockstep.ErrInvalid) || p.Validate() == nil {
				t.Fatal(err)
			}
			return
		}
		if strings.ContainsAny(got, exclude) || strings.ContainsAny(got[:1], notFirst) {
			t.Fatalf("%q breaks the policy %+v", got, p)
		}
	})
}

func BenchmarkGenerate(b *testing.B) {
	p := password.ForRotation()
	for b.Loop() {
		if _, err := p.Generate(); err != nil {
			b.Fatal(err)
		}
	}
}
