package kms

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/keys"
)

// The limits of AWS's model.
var (
	lengthKeyID       = awsjson.Length{Min: 1, Max: 2048}
	lengthDescription = awsjson.Length{Min: 0, Max: 8192}
	lengthPolicy      = awsjson.Length{Min: 1, Max: 131072}
	lengthAlias       = awsjson.Length{Min: 1, Max: 256}
	lengthPlaintext   = awsjson.Length{Min: 1, Max: 4096}
	lengthCiphertext  = awsjson.Length{Min: 1, Max: 6144}
	lengthTagKey      = awsjson.Length{Min: 1, Max: 128}
	lengthTagValue    = awsjson.Length{Min: 0, Max: 256}
	lengthMarker      = awsjson.Length{Min: 1, Max: 1024}
)

// maxContext bounds an encryption context, in bytes of names and values.
const maxContext = 8192

// checks collects what is wrong with an input. Its methods name the fields.
type checks struct{ awsjson.Constraints }

// id is a required reference to a key.
func (c *checks) id(id *string) {
	f := awsjson.Field{Path: "keyId", Value: id}
	c.Required(f)
	c.Length(f, lengthKeyID)
}

func (c *checks) optionalID(path string, id *string) {
	c.Length(awsjson.Field{Path: path, Value: id}, lengthKeyID)
}

func (c *checks) alias(name *string) {
	f := awsjson.Field{Path: "aliasName", Value: name}
	c.Required(f)
	c.Length(f, lengthAlias)
}

// blob is a required blob; its content is never repeated.
func (c *checks) blob(path string, b []byte, allowed awsjson.Length) {
	if b == nil {
		c.Required(awsjson.Field{Path: path})
		return
	}
	c.Count(path, len(b), allowed)
}

func (c *checks) context(path string, given map[string]string) {
	n := 0
	for k, v := range given {
		n += len(k) + len(v)
	}
	if n > maxContext {
		c.Count(path, n, awsjson.Length{Max: maxContext})
	}
}

func (c *checks) page(limit *int64, marker *string) {
	c.Range("limit", limit, 1, 1000)
	c.Length(awsjson.Field{Path: "marker", Value: marker}, lengthMarker)
}

func (c *checks) tags(tags []tag) {
	for i, t := range tags {
		path := "tags." + strconv.Itoa(i+1) + ".member."
		key, value := awsjson.Field{Path: path + "tagKey", Value: t.Key}, awsjson.Field{Path: path + "tagValue", Value: t.Value}
		c.Required(key)
		c.Length(key, lengthTagKey)
		c.Required(value)
		c.Length(value, lengthTagValue)
	}
}

// tag is a tag on the wire.
type tag struct {
	Key   *string `json:"TagKey"`
	Value *string `json:"TagValue"`
}

func tagsOf(in []tag) ([]lockstep.Tag, error) {
	var out []lockstep.Tag
	for _, t := range in {
		if slices.ContainsFunc(out, func(o lockstep.Tag) bool { return o.Key == *t.Key }) {
			return nil, awsjson.Errorf(codeTag, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if strings.HasPrefix(strings.ToLower(*t.Key), "aws:") {
			return nil, awsjson.Errorf(codeTag, "aws: prefixed tag key names are not allowed for external use.")
		}
		out = append(out, lockstep.Tag{Key: *t.Key, Value: *t.Value})
	}
	return out, nil
}

// onlyKey refuses an alias where AWS takes a key's id or ARN alone: what is
// done to a key for good should not depend on where a name points.
func onlyKey(id string) error {
	if strings.HasPrefix(id, "alias/") || strings.HasPrefix(id, "arn:") && strings.Contains(id, ":alias/") {
		return awsjson.Errorf(codeNotFound, "Invalid keyId '%s'", id)
	}
	return nil
}

// arnFor is the ARN that a reference stands for.
func arnFor(c auth.Caller, id string) string {
	switch {
	case strings.HasPrefix(id, "arn:"):
		return id
	case strings.HasPrefix(id, "alias/"):
		return keys.AliasARN(c.Owner(), id)
	}
	return fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", c.Region, c.Account, id)
}

// contextKeys are the condition keys of an encryption context.
func contextKeys(c map[string]string) []auth.Key {
	if len(c) == 0 {
		return nil
	}
	out := make([]auth.Key, 0, len(c)+1)
	names := make([]string, 0, len(c))
	for k, v := range c {
		out = append(out, auth.Key{Name: "kms:EncryptionContext:" + k, Values: []string{v}})
		names = append(names, k)
	}
	slices.Sort(names)
	return append(out, auth.Key{Name: "kms:EncryptionContextKeys", Values: names})
}

// page is one page of a list: from after the marker, one more than asked for,
// which tells whether there is a next page.
type page struct {
	after string
	limit int
}

func pageOf(limit *int64, marker *string, max int) (page, error) {
	p := page{limit: max}
	if limit != nil {
		p.limit = int(*limit)
	}
	if marker == nil {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(*marker)
	if err != nil {
		return p, awsjson.Errorf(codeInvalidMarker, "Could not deserialize marker '%s'", *marker)
	}
	p.after = string(raw)
	return p, nil
}

// cut shortens a list to its page, and gives the marker of the next one.
func cut[T any](list []T, p page, name func(T) string) ([]T, listed) {
	if len(list) <= p.limit {
		return list, listed{}
	}
	list = list[:p.limit]
	return list, listed{Truncated: true, NextMarker: base64.RawURLEncoding.EncodeToString([]byte(name(list[len(list)-1])))}
}

// listed is the end of every list.
type listed struct {
	NextMarker string `json:"NextMarker,omitempty"`
	Truncated  bool   `json:"Truncated"`
}

func is(b *bool) bool { return b != nil && *b }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func wire(t time.Time) awsjson.Time { return awsjson.Time{Time: t} }
