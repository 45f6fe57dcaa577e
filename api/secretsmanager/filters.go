package secretsmanager

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"lockstep"
	"lockstep/api/awsjson"
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
			c.values = append(c.values, wantedValue{text: plain, words: words(plain), negated: negated})
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

// namePrefix is a beginning that every matching name has, for the store to
// search by; empty if the filters do not say.
func namePrefix(all []condition) string {
	longest := ""
	for _, c := range all {
		if c.key != filterName || len(c.values) != 1 || c.values[0].negated {
			continue
		}
		if len(c.values[0].text) > len(longest) {
			longest = c.values[0].text
		}
	}
	return longest
}

// filterText spells the filters out, to bind page tokens to them.
func filterText(filters []filter) (string, error) {
	b, err := json.Marshal(filters)
	if err != nil {
		return "", fmt.Errorf("spell out the filters: %w", err)
	}
	return string(b), nil
}
