package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// JSON is a policy document: JSON text, made of YAML or taken as it is.
type JSON string

func placeOf(n ast.Node) Place {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key // a block's own token is its first colon
	}
	tok := n.GetToken()
	if tok == nil || tok.Position == nil {
		return Place{}
	}
	return Place{Line: tok.Position.Line, Column: tok.Position.Column}
}

func fail(at ast.Node, format string, args ...any) error {
	return &Error{placeOf(at), fmt.Sprintf(format, args...)}
}

// mappingOf takes a node that must be a mapping; of one entry, the reader
// gives the entry alone.
func mappingOf(n ast.Node) (*ast.MappingNode, error) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m, nil
	case *ast.MappingValueNode:
		return &ast.MappingNode{BaseNode: m.BaseNode, Start: m.Start, Values: []*ast.MappingValueNode{m}}, nil
	}
	return nil, fail(n, "want fields (name: value), found %s", wordFor(n))
}

func wordFor(n ast.Node) string {
	switch n.Type() {
	case ast.StringType, ast.LiteralType:
		return "a text"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number; put it in quotes if it is a text"
	case ast.BoolType:
		return "true or false; put it in quotes if it is a text"
	case ast.NullType:
		return "nothing"
	case ast.SequenceType:
		return "a list"
	case ast.MappingType, ast.MappingValueType:
		return "fields"
	default:
		return "something that cannot stand here (anchors, aliases and tags are not taken)"
	}
}

func textOf(n ast.Node) (string, error) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, nil
	case *ast.LiteralNode:
		return s.Value.Value, nil
	}
	return "", fail(n, "want a text, found %s", wordFor(n))
}

// keyOf is the name of an entry.
func keyOf(v *ast.MappingValueNode) (string, error) {
	s, ok := v.Key.(*ast.StringNode)
	if !ok {
		return "", fail(v.Key, "a field's name must be a text")
	}
	return s.Value, nil
}

// valueOf finds an entry of a mapping by its name; nil if there is none.
func valueOf(m *ast.MappingNode, name string) ast.Node {
	if m == nil {
		return nil
	}
	for _, v := range m.Values {
		if s, ok := v.Key.(*ast.StringNode); ok && s.Value == name {
			return v.Value
		}
	}
	return nil
}

// decode fills the struct that into points to. Its fields may be texts,
// integers, booleans, JSON, structs, pointers to these, lists of texts, and
// mappings of texts.
func decode(m *ast.MappingNode, into any) error {
	return decodeStruct(m, reflect.ValueOf(into).Elem())
}

func decodeStruct(m *ast.MappingNode, into reflect.Value) error {
	fields, names := map[string]reflect.Value{}, []string{}
	for i := range into.NumField() {
		name := into.Type().Field(i).Tag.Get("yaml")
		fields[name], names = into.Field(i), append(names, name)
	}
	return entries(m, func(name string, v *ast.MappingValueNode) error {
		field, known := fields[name]
		if !known {
			return fail(v.Key, "there is no field %q here; there are %s", name, strings.Join(names, ", "))
		}
		return decodeValue(v.Value, field)
	})
}

// entries calls do for each entry of a mapping, and refuses repeated names.
func entries(m *ast.MappingNode, do func(name string, v *ast.MappingValueNode) error) error {
	seen := map[string]bool{}
	for _, v := range m.Values {
		name, err := keyOf(v)
		if err != nil {
			return err
		}
		if seen[name] {
			return fail(v.Key, "the field %q is repeated", name)
		}
		seen[name] = true
		if err := do(name, v); err != nil {
			return err
		}
	}
	return nil
}

func decodeValue(n ast.Node, into reflect.Value) error {
	if into.Type() == reflect.TypeFor[JSON]() {
		return decodeJSON(n, into)
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		return decodeValue(n, into.Elem())
	case reflect.Struct:
		m, err := mappingOf(n)
		if err != nil {
			return err
		}
		return decodeStruct(m, into)
	case reflect.Map:
		return decodeMap(n, into)
	case reflect.Slice:
		return decodeList(n, into)
	default:
		return decodeScalar(n, into)
	}
}

func decodeScalar(n ast.Node, into reflect.Value) error {
	switch into.Kind() {
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return fail(n, "want true or false, found %s", wordFor(n))
		}
		into.SetBool(b.Value)
	case reflect.Int64:
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			return fail(n, "want a whole number, found %s", wordFor(n))
		}
		v, err := strconv.ParseInt(fmt.Sprint(i.Value), 10, 64)
		if err != nil {
			return fail(n, "the number is too large")
		}
		into.SetInt(v)
	default:
		text, err := textOf(n)
		if err != nil {
			return err
		}
		into.SetString(text)
	}
	return nil
}

func decodeMap(n ast.Node, into reflect.Value) error {
	m, err := mappingOf(n)
	if err != nil {
		return err
	}
	out := map[string]string{}
	err = entries(m, func(name string, v *ast.MappingValueNode) error {
		text, err := textOf(v.Value)
		out[name] = text
		return err
	})
	into.Set(reflect.ValueOf(out))
	return err
}

func decodeList(n ast.Node, into reflect.Value) error {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return fail(n, "want a list, found %s", wordFor(n))
	}
	out, seen := []string{}, map[string]bool{}
	for _, item := range list.Values {
		text, err := textOf(item)
		if err != nil {
			return err
		}
		if seen[text] {
			return fail(item, "%q is repeated", text)
		}
		seen[text] = true
		out = append(out, text)
	}
	into.Set(reflect.ValueOf(out))
	return nil
}

// decodeJSON takes JSON as a text, or YAML, whose order is kept.
func decodeJSON(n ast.Node, into reflect.Value) error {
	if text, err := textOf(n); err == nil {
		into.SetString(text)
		return nil
	}
	var b strings.Builder
	if err := writeJSON(&b, n); err != nil {
		return err
	}
	into.SetString(b.String())
	return nil
}

func writeJSON(b *strings.Builder, n ast.Node) error {
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		m, err := mappingOf(n)
		if err != nil {
			return err
		}
		return writeObject(b, m)
	case *ast.SequenceNode:
		b.WriteByte('[')
		for i, item := range v.Values {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case *ast.IntegerNode, *ast.FloatNode:
		number := json.Number(n.GetToken().Value)
		text, err := json.Marshal(number)
		if err != nil {
			return fail(n, "%s is no JSON number", number)
		}
		b.Write(text)
	case *ast.BoolNode:
		b.WriteString(strconv.FormatBool(v.Value))
	case *ast.NullNode:
		b.WriteString("null")
	default:
		text, err := textOf(n)
		if err != nil {
			return err
		}
		return writeText(b, n, text)
	}
	return nil
}

func writeObject(b *strings.Builder, m *ast.MappingNode) error {
	b.WriteByte('{')
	first := true
	err := entries(m, func(name string, v *ast.MappingValueNode) error {
		if !first {
			b.WriteByte(',')
		}
		first = false
		if err := writeText(b, v.Key, name); err != nil {
			return err
		}
		b.WriteByte(':')
		return writeJSON(b, v.Value)
	})
	b.WriteByte('}')
	return err
}

// writeText writes a JSON string without the escapes that JSON needs in HTML
// alone: policies are read by people.
func writeText(b *strings.Builder, at ast.Node, text string) error {
	var line strings.Builder
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return fail(at, "%v", err)
	}
	b.WriteString(strings.TrimSuffix(line.String(), "\n"))
	return nil
}
