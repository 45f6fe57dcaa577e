// Package jsonvalue reads a secret value that is a JSON object, and writes one
// of its fields anew with every other byte in its place: what is not a
// rotator's business (order, spacing, unknown fields, long numbers) comes back
// as the user wrote it. No error shows what stands in a value.
package jsonvalue

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lockstep"
)

// Object is a parsed value. It is not changed once it is made.
type Object struct {
	text   []byte
	binary bool
	fields map[string]span
}

// span is where a field's JSON text stands.
type span struct{ from, to int }

// Parse reads a value. Errors: ErrInvalid if it is no JSON object, or has a
// field twice (readers differ on which of the two counts).
func Parse(v lockstep.Value) (*Object, error) {
	o := &Object{text: v.Bytes(), binary: v.IsBinary(), fields: make(map[string]span)}
	if !utf8.Valid(o.text) {
		return nil, notObject()
	}
	dec := json.NewDecoder(bytes.NewReader(o.text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, notObject()
	}
	for dec.More() {
		if err := o.field(dec); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil || len(bytes.TrimSpace(o.text[dec.InputOffset():])) > 0 {
		return nil, notObject()
	}
	return o, nil
}

// field reads the next name and notes where its text stands.
func (o *Object) field(dec *json.Decoder) error {
	tok, err := dec.Token()
	name, isName := tok.(string)
	if err != nil || !isName {
		return notObject()
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return notObject()
	}
	if _, twice := o.fields[name]; twice {
		return invalid("the secret value has the field %q twice", name)
	}
	end := int(dec.InputOffset())
	o.fields[name] = span{end - len(raw), end}
	return nil
}

func notObject() error { return invalid("the secret value is not a JSON object") }

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, lockstep.ErrInvalid)...)
}

// Has tells whether the field is there and not null.
func (o *Object) Has(name string) bool { return string(o.raw(name)) != "null" }

// raw is the field's JSON text; "null" for one that is not there.
func (o *Object) raw(name string) []byte {
	at, ok := o.fields[name]
	if !ok {
		return []byte("null")
	}
	return o.text[at.from:at.to]
}

// Text reads a string. One that is not there, is null or empty is absent.
// Errors: ErrInvalid for another type, or with a zero character.
func (o *Object) Text(name, absent string) (string, error) {
	var s string
	if json.Unmarshal(o.raw(name), &s) != nil {
		return "", invalid("the field %q is not a string", name)
	}
	if strings.ContainsRune(s, 0) {
		return "", invalid("the field %q has a zero character", name)
	}
	if s == "" {
		return absent, nil
	}
	return s, nil
}

// Port reads a port: a number or, as some tools write it, a string. Errors:
// ErrInvalid if it is not from 1 to 65535.
func (o *Object) Port(name string, absent int) (int, error) {
	s := strings.Trim(string(o.raw(name)), `"`)
	if s == "" || s == "null" {
		return absent, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, invalid("the field %q is not a number from 1 to 65535", name)
	}
	return n, nil
}

// Truth reads a switch: true, false, or either as a string. Errors: ErrInvalid.
func (o *Object) Truth(name string) (bool, error) {
	switch strings.ToLower(strings.Trim(string(o.raw(name)), `"`)) {
	case "true":
		return true, nil
	case "false", "null", "":
		return false, nil
	}
	return false, invalid("the field %q is neither true nor false", name)
}

// List reads a list of strings. Errors: ErrInvalid.
func (o *Object) List(name string) ([]string, error) {
	var list []string
	if json.Unmarshal(o.raw(name), &list) != nil {
		return nil, invalid("the field %q is not a list of strings", name)
	}
	return list, nil
}

// Lists reads a list of lists of strings. Errors: ErrInvalid.
func (o *Object) Lists(name string) ([][]string, error) {
	var lists [][]string
	if json.Unmarshal(o.raw(name), &lists) != nil {
		return nil, invalid("the field %q is not a list of lists of strings", name)
	}
	return lists, nil
}

// With is the value with another text in a field that is there; everything
// else keeps its bytes and its place. Errors: ErrInvalid if there is no such
// field, or the new value is longer than lockstep.MaxValueBytes.
func (o *Object) With(name, text string) (lockstep.Value, error) {
	at, ok := o.fields[name]
	if !ok {
		return lockstep.Value{}, invalid("the secret value lacks the field %q", name)
	}
	return o.value(slices.Concat(o.text[:at.from], quote(text), o.text[at.to:]))
}

// Field is one field to be written: its name and its JSON text.
type Field struct {
	Name string
	JSON []byte
}

// TextField is a Field that is a string.
func TextField(name, text string) Field { return Field{Name: name, JSON: quote(text)} }

// Names lists the fields that are there, in order.
func (o *Object) Names() []string {
	return slices.SortedFunc(maps.Keys(o.fields), func(a, b string) int { return cmp.Compare(o.fields[a].from, o.fields[b].from) })
}

// JSON is a field's JSON text; "null" for one that is not there. The caller does
// not change it.
func (o *Object) JSON(name string) []byte { return o.raw(name) }

// WithAll is the value with other contents in the given fields; those that are
// not there yet come last, in the order given. Everything else keeps its bytes and
// its place. Errors: ErrInvalid if a field is no JSON, or the new value is longer
// than lockstep.MaxValueBytes.
func (o *Object) WithAll(fields ...Field) (lockstep.Value, error) {
	written := make(map[string][]byte, len(fields))
	var added []byte
	for _, f := range fields {
		if !json.Valid(f.JSON) {
			return lockstep.Value{}, invalid("the field %q would be no JSON", f.Name)
		}
		if _, there := o.fields[f.Name]; !there && written[f.Name] == nil {
			added = slices.Concat(added, []byte(","), quote(f.Name), []byte(":"), f.JSON)
		}
		written[f.Name] = f.JSON
	}
	var out []byte
	at := 0
	for _, name := range o.Names() {
		if text, ok := written[name]; ok {
			out = slices.Concat(out, o.text[at:o.fields[name].from], text)
			at = o.fields[name].to
		}
	}
	end := bytes.LastIndexByte(o.text, '}')
	out = append(out, o.text[at:end]...)
	if len(o.fields) == 0 {
		added = bytes.TrimPrefix(added, []byte(","))
	}
	return o.value(slices.Concat(out, added, o.text[end:]))
}

// value is a new text as a Value of the same kind.
func (o *Object) value(text []byte) (lockstep.Value, error) {
	if len(text) > lockstep.MaxValueBytes {
		return lockstep.Value{}, invalid("the new value would have %d bytes, more than %d", len(text), lockstep.MaxValueBytes)
	}
	if o.binary {
		return lockstep.BinaryValue(text), nil
	}
	return lockstep.StringValue(string(text)), nil
}

// quote is a text as JSON writes it.
func quote(text string) []byte {
	var quoted bytes.Buffer
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string and a buffer: neither fails
	return bytes.TrimSpace(quoted.Bytes())
}
