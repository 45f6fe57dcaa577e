package rotators

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"lockstep"
)

const (
	// maxTold bounds what is repeated of somebody else's words, in bytes.
	maxTold = 600
	// shortest is the length below which a part of a value is no secret: "5432"
	// would be cut out of everything.
	shortest = 4
	redacted = "[redacted]"
)

// Redact makes a text that somebody else's code wrote fit for a log: the given
// values, and each field of those that are JSON, are cut out in every form in
// which they usually appear (as they are, escaped for JSON or a URL); control
// characters become spaces, and what is too long is cut off. It cannot know a
// value that is in none of them.
func Redact(text string, values ...lockstep.Value) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, secretParts(v)...)
	}
	// The longest first: one may be part of another.
	slices.SortFunc(parts, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, p := range slices.Compact(parts) {
		text = strings.ReplaceAll(text, p, redacted)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) <= maxTold {
		return text
	}
	cut := text[:maxTold]
	for !utf8.ValidString(cut) {
		cut = cut[:len(cut)-1]
	}
	return cut + "…"
}

// secretParts are the texts that must not be shown of a value.
func secretParts(v lockstep.Value) []string {
	clear := v.Reveal()
	parts := forms(clear)
	var fields map[string]json.RawMessage
	if json.Unmarshal(v.Bytes(), &fields) != nil {
		return parts
	}
	for name, raw := range fields {
		var field string
		if !openField(name) && json.Unmarshal(raw, &field) == nil {
			parts = append(parts, forms(field)...)
		}
	}
	return parts
}

// openField tells whether a field of a value says where and as whom to log in,
// without which an error could not be understood.
func openField(name string) bool {
	switch strings.ToLower(name) {
	case "engine", "host", "port", "dbname", "database", "username", "user", "masterarn", "dbclusteridentifier",
		"dbinstanceidentifier", "ssl", "sslmode", "url", "endpoint":
		return true
	}
	return false
}

func forms(s string) []string {
	if len(s) < shortest {
		return nil
	}
	out := []string{s, url.QueryEscape(s), url.PathEscape(s)}
	if quoted, err := json.Marshal(s); err == nil {
		out = append(out, string(quoted[1:len(quoted)-1]))
	}
	return out
}
