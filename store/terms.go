package store

import (
	"slices"
	"unicode/utf8"

	"lockstep"
)

// TermKind is what an index term of a Secret was made of.
type TermKind byte

// The kinds of term.
const (
	// TermName is the name; TermTagKey and TermTagValue are those of each tag.
	TermName     TermKind = 'n'
	TermTagKey   TermKind = 'k'
	TermTagValue TermKind = 'v'
	// TermWord is each word (Words) of name, description, tag keys and tag
	// values.
	TermWord TermKind = 'w'
	// TermPrimary is the primary region of a primary or replica.
	TermPrimary TermKind = 'r'
)

// termRunes bounds the length of a term. Longer ones are cut, so a range can
// only promise that what it leaves out does not match.
const termRunes = 100

// afterAny sorts behind whatever may follow in a term.
const afterAny = "\U0010ffff"

// TermRange selects the terms from From up to, not including, To.
type TermRange struct{ From, To string }

// TermsWith selects the terms of a kind that begin with a prefix. It is a
// necessary condition: a prefix longer than a hundred characters selects more.
func TermsWith(kind TermKind, prefix string) TermRange {
	term := termOf(kind, prefix)
	return TermRange{term, term + afterAny}
}

// TermsWithout selects the terms of a kind that do not begin with a prefix. For
// one longer than a hundred characters it returns nil: that cannot be told.
func TermsWithout(kind TermKind, prefix string) []TermRange {
	if utf8.RuneCountInString(prefix) > termRunes {
		return nil
	}
	with := TermsWith(kind, prefix)
	return []TermRange{{string(kind), with.From}, {with.To, string(kind) + afterAny + afterAny}}
}

func termOf(kind TermKind, text string) string {
	count := 0
	for i := range text {
		if count == termRunes {
			return string(kind) + text[:i]
		}
		count++
	}
	return string(kind) + text
}

// Terms lists the index terms of a Secret, each once. A store writes them
// whenever it writes the Secret.
func Terms(s *lockstep.Secret) []string {
	out := []string{termOf(TermName, s.Name)}
	words := append(Words(s.Name), Words(s.Description)...)
	for _, t := range s.Tags {
		out = append(out, termOf(TermTagKey, t.Key), termOf(TermTagValue, t.Value))
		words = append(append(words, Words(t.Key)...), Words(t.Value)...)
	}
	for _, w := range words {
		out = append(out, termOf(TermWord, w))
	}
	if s.PrimaryRegion != "" {
		out = append(out, termOf(TermPrimary, string(s.PrimaryRegion)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
