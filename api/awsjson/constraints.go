package awsjson

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Constraints collects what is wrong with the fields of one request, in the
// words and the form of AWS's own validation. The zero value is ready.
type Constraints struct {
	broken []string
}

// Field is one field as a constraint sees it.
type Field struct {
	// Path is the name as AWS spells it in messages: "secretId",
	// "filters.1.member.key".
	Path string
	// Value is nil if the field is absent.
	Value *string
	// Sensitive keeps the value out of the message.
	Sensitive bool
}

// Length is a range of lengths in characters, both ends included.
type Length struct{ Min, Max int }

// Required notes a field that is absent.
func (c *Constraints) Required(f Field) {
	if f.Value == nil {
		c.add(f, "Member must not be null")
	}
}

// Length notes a field that is present and too short or too long.
func (c *Constraints) Length(f Field, allowed Length) {
	if f.Value == nil {
		return
	}
	n := utf8.RuneCountInString(*f.Value)
	if n < allowed.Min {
		c.add(f, fmt.Sprintf("Member must have length greater than or equal to %d", allowed.Min))
	}
	if n > allowed.Max {
		c.add(f, fmt.Sprintf("Member must have length less than or equal to %d", allowed.Max))
	}
}

// Count notes a list that is present (not nil) and too short or too long.
func (c *Constraints) Count(path string, count int, allowed Length) {
	f := Field{Path: path, Sensitive: true}
	if count < allowed.Min {
		c.add(f, fmt.Sprintf("Member must have length greater than or equal to %d", allowed.Min))
	}
	if count > allowed.Max {
		c.add(f, fmt.Sprintf("Member must have length less than or equal to %d", allowed.Max))
	}
}

// Pattern notes a field that is present and does not match. The expression is
// shown to the client.
func (c *Constraints) Pattern(f Field, allowed *regexp.Regexp) {
	if f.Value != nil && !allowed.MatchString(*f.Value) {
		c.add(f, "Member must satisfy regular expression pattern: "+strings.TrimSuffix(strings.TrimPrefix(allowed.String(), "^"), "$"))
	}
}

// Enum notes a field that is present and none of the words.
func (c *Constraints) Enum(f Field, words ...string) {
	if f.Value == nil {
		return
	}
	for _, w := range words {
		if *f.Value == w {
			return
		}
	}
	c.add(f, "Member must satisfy enum value set: ["+strings.Join(words, ", ")+"]")
}

// Range notes a number that is present and outside the bounds.
func (c *Constraints) Range(path string, n *int64, min, max int64) {
	if n == nil {
		return
	}
	text := fmt.Sprint(*n)
	f := Field{Path: path, Value: &text}
	if *n < min {
		c.add(f, fmt.Sprintf("Member must have value greater than or equal to %d", min))
	}
	if *n > max {
		c.add(f, fmt.Sprintf("Member must have value less than or equal to %d", max))
	}
}

// shownValue bounds what of a value is repeated in a message.
const shownValue = 256

func (c *Constraints) add(f Field, rule string) {
	value := ""
	switch {
	case f.Sensitive:
	case f.Value == nil:
		value = " null"
	default:
		value = " '" + shorten(*f.Value) + "'"
	}
	c.broken = append(c.broken, fmt.Sprintf("Value%s at '%s' failed to satisfy constraint: %s", value, f.Path, rule))
}

func shorten(s string) string {
	if len(s) <= shownValue {
		return s
	}
	cut := shownValue
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// Err is the ValidationException that lists what was noted; nil if nothing
// was.
func (c *Constraints) Err() error {
	switch len(c.broken) {
	case 0:
		return nil
	case 1:
		return Errorf(CodeValidation, "1 validation error detected: %s", c.broken[0])
	default:
		return Errorf(CodeValidation, "%d validation errors detected: %s", len(c.broken), strings.Join(c.broken, "; "))
	}
}
