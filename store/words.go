package store

import (
	"strings"
	"unicode"
)

// separators are the characters of names that may part words.
const separators = "/-_+=.@"

// Words splits a text as AWS's word-wise filters do: at spaces; at one kind of
// separator (a text in which two kinds stand is left whole); and before an
// upper-case letter that a lower-case one follows. "AppBeta" is App and Beta,
// "COMPANY" one word. The words are in lower case, since case does not count.
func Words(text string) []string {
	var out []string
	for chunk := range strings.FieldsSeq(text) {
		parts, split := bySeparator(chunk)
		for _, p := range parts {
			if !split {
				out = append(out, strings.ToLower(p))
				continue
			}
			for _, w := range byCase(p) {
				out = append(out, strings.ToLower(w))
			}
		}
	}
	return out
}

// bySeparator parts a chunk without spaces. It returns false if two kinds of
// separator stand in it: then it is one word, whatever its case.
func bySeparator(chunk string) ([]string, bool) {
	kind := rune(0)
	for _, c := range chunk {
		if !strings.ContainsRune(separators, c) {
			continue
		}
		if kind != 0 && c != kind {
			return []string{chunk}, false
		}
		kind = c
	}
	if kind == 0 {
		return []string{chunk}, true
	}
	return strings.FieldsFunc(chunk, func(c rune) bool { return c == kind }), true
}

func byCase(s string) []string {
	var out []string
	runes := []rune(s)
	start := 0
	for i := 1; i < len(runes)-1; i++ {
		if unicode.IsUpper(runes[i]) && unicode.IsLower(runes[i+1]) {
			out = append(out, string(runes[start:i]))
			start = i
		}
	}
	if start < len(runes) {
		out = append(out, string(runes[start:]))
	}
	return out
}
