package secretsmanager

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/store"
)

// filter is one condition of a list, as the client writes it. Several filters
// must all hold; of the values of one, any.
type filter struct {
	Key    *string  `json:"Key"`
	Values []string `json:"Values"`
}

// The limits and keys of filters.
var (
	countFilters      = awsjson.Length{Min: 0, Max: 10}
	countFilterValues = awsjson.Length{Min: 1, Max: 10}
	lengthFilterValue = awsjson.Length{Min: 0, Max: 512}
	filterValueForm   = regexp.MustCompile(`^\!?[a-zA-Z0-9 :_@/+=.\-!]*$`)
)

const (
	filterAll           = "all"
	filterName          = "name"
	filterTagKey        = "tag-key"
	filterDescription   = "description"
	filterTagValue      = "tag-value"
	filterPrimaryRegion = "primary-region"
	filterOwningService = "owning-service"
)

func checkFilters(c *checks, filters []filter) {
	c.Count("filters", len(filters), countFilters)
	for i, f := range filters {
		path := fmt.Sprintf("filters.%d.member.", i+1)
		c.Enum(awsjson.Field{Path: path + "key", Value: f.Key}, filterAll, filterName, filterTagKey,
			filterDescription, filterTagValue, filterPrimaryRegion, filterOwningService)
		if len(f.Values) > countFilterValues.Max {
			c.Count(path+"values", len(f.Values), countFilterValues)
		}
		for j := range f.Values {
			value := awsjson.Field{Path: fmt.Sprintf("%svalues.%d.member", path, j+1), Value: &f.Values[j]}
			c.Length(value, lengthFilterValue)
			c.Pattern(value, filterValueForm)
		}
	}
}

// completeFilters refuses filters without key or values; it comes after the
// limits, as in AWS.
func completeFilters(filters []filter) error {
	for _, f := range filters {
		if text(f.Key) == "" {
			return invalidParameter("Invalid filter key")
		}
		if len(f.Values) == 0 {
			return invalidParameter("Invalid filter values for key: %s", *f.Key)
		}
	}
	return nil
}

// condition is one filter, prepared.
type condition struct {
	key    string
	values []wantedValue
}

type wantedValue struct {
	text    string
	words   []string
	negated bool
}

func conditions(filters []filter) []condition {
	var out []condition
	for _, f := range filters {
		c := condition{key: *f.Key}
		for _, v := range f.Values {
			plain, negated := strings.CutPrefix(v, "!")
			c.values = append(c.values, wantedValue{text: plain, words: store.Words(plain), negated: negated})
		}
		out = append(out, c)
	}
	return out
}

// matches tells whether a Secret meets all the conditions.
func matches(s *lockstep.Secret, all []condition) bool {
	for _, c := range all {
		if !c.holds(s) {
			return false
		}
	}
	return true
}

func (c condition) holds(s *lockstep.Secret) bool {
	if !c.applies(s) {
		return false
	}
	for _, v := range c.values {
		if c.meets(s, v) != v.negated {
			return true
		}
	}
	return false
}

// applies tells whether the attribute exists at all: where it does not,
// neither a value nor its negation matches.
func (c condition) applies(s *lockstep.Secret) bool {
	switch c.key {
	case filterDescription:
		return s.Description != ""
	case filterPrimaryRegion:
		return s.PrimaryRegion != ""
	case filterOwningService:
		return false // Lockstep has no secrets that belong to a service
	default:
		return true
	}
}

func (c condition) meets(s *lockstep.Secret, v wantedValue) bool {
	switch c.key {
	case filterName:
		return strings.HasPrefix(s.Name, v.text)
	case filterTagKey:
		return anyTag(s, func(t lockstep.Tag) bool { return strings.HasPrefix(t.Key, v.text) })
	case filterTagValue:
		return anyTag(s, func(t lockstep.Tag) bool { return strings.HasPrefix(t.Value, v.text) })
	case filterDescription:
		return wordwise(s.Description, v.words)
	case filterPrimaryRegion:
		return strings.HasPrefix(string(s.PrimaryRegion), v.text)
	case filterAll:
		return wordwise(s.Name, v.words) || wordwise(s.Description, v.words) ||
			anyTag(s, func(t lockstep.Tag) bool { return wordwise(t.Key, v.words) || wordwise(t.Value, v.words) })
	default:
		return false
	}
}

func anyTag(s *lockstep.Secret, meets func(lockstep.Tag) bool) bool {
	for _, t := range s.Tags {
		if meets(t) {
			return true
		}
	}
	return false
}

// wordwise tells whether every one of the wanted words begins some word of
// the text. Nothing wanted matches nothing.
func wordwise(text string, wanted []string) bool {
	if len(wanted) == 0 {
		return false
	}
	have := store.Words(text)
	for _, w := range wanted {
		if !anyPrefix(have, w) {
			return false
		}
	}
	return true
}

func anyPrefix(have []string, prefix string) bool {
	for _, h := range have {
		if strings.HasPrefix(h, prefix) {
			return true
		}
	}
	return false
}

// hopeless tells whether nothing can meet the conditions, whatever there is.
func hopeless(all []condition) bool {
	return slices.ContainsFunc(all, func(c condition) bool { return c.key == filterOwningService })
}

// namePrefix is a beginning that every matching name has, for a list in the
// order of names; empty if the filters do not say.
func namePrefix(all []condition) string {
	longest := ""
	for _, c := range all {
		if c.key == filterName && len(c.values) == 1 && !c.values[0].negated && len(c.values[0].text) > len(longest) {
			longest = c.values[0].text
		}
	}
	return longest
}

// termsOf are the conditions as far as the store's index can tell: what it
// leaves out does not match. A filter that a negated value takes part in says
// nothing, but for name and primary region, of which a Secret has one.
func termsOf(all []condition) [][]store.TermRange {
	var out [][]store.TermRange
	for _, c := range all {
		ranges := []store.TermRange{}
		for _, v := range c.values {
			some := rangesOf(c.key, v)
			if some == nil {
				ranges = nil
				break
			}
			ranges = append(ranges, some...)
		}
		if ranges != nil {
			out = append(out, ranges)
		}
	}
	return out
}

// rangesOf is nil for what the index cannot tell.
func rangesOf(key string, v wantedValue) []store.TermRange {
	kind, single := store.TermKind(0), false
	switch key {
	case filterName:
		kind, single = store.TermName, true
	case filterPrimaryRegion:
		kind, single = store.TermPrimary, true
	case filterTagKey:
		kind = store.TermTagKey
	case filterTagValue:
		kind = store.TermTagValue
	case filterDescription, filterAll:
		return rangesOfWords(v)
	}
	if v.negated && single {
		return store.TermsWithout(kind, v.text)
	}
	if v.negated {
		return nil
	}
	return []store.TermRange{store.TermsWith(kind, v.text)}
}

// rangesOfWords takes the longest word, which is likely met by the fewest.
func rangesOfWords(v wantedValue) []store.TermRange {
	switch {
	case v.negated:
		return nil
	case len(v.words) == 0:
		return []store.TermRange{} // it matches nothing
	}
	longest := slices.MaxFunc(v.words, func(a, b string) int { return len(a) - len(b) })
	return []store.TermRange{store.TermsWith(store.TermWord, longest)}
}

// filterText spells the filters out, to bind page tokens to them.
func filterText(filters []filter) (string, error) {
	b, err := json.Marshal(filters)
	if err != nil {
		return "", fmt.Errorf("spell out the filters: %w", err)
	}
	return string(b), nil
}
