package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"lockstep/internal/yamltree"
)

// JSON is a policy document: JSON text, made of YAML or taken as it is.
type JSON string

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
	return yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
		field, known := fields[name]
		if !known {
			return yamltree.Fail(v.Key, "there is no field %q here; there are %s", name, strings.Join(names, ", "))
		}
		return decodeValue(v.Value, field)
	})
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
		m, err := yamltree.Mapping(n)
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
			return yamltree.Fail(n, "want true or false, found %s", yamltree.WordFor(n))
		}
		into.SetBool(b.Value)
	case reflect.Int64:
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			return yamltree.Fail(n, "want a whole number, found %s", yamltree.WordFor(n))
		}
		v, err := strconv.ParseInt(fmt.Sprint(i.Value), 10, 64)
		if err != nil {
			return yamltree.Fail(n, "the number is too large")
		}
		into.SetInt(v)
	default:
		text, err := yamltree.Text(n)
		if err != nil {
			return err
		}
		into.SetString(text)
	}
	return nil
}

func decodeMap(n ast.Node, into reflect.Value) error {
	m, err := yamltree.Mapping(n)
	if err != nil {
		return err
	}
	out := map[string]string{}
	err = yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
		text, err := yamltree.Text(v.Value)
		out[name] = text
		return err
	})
	into.Set(reflect.ValueOf(out))
	return err
}

func decodeList(n ast.Node, into reflect.Value) error {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return yamltree.Fail(n, "want a list, found %s", yamltree.WordFor(n))
	}
	out, seen := []string{}, map[string]bool{}
	for _, item := range list.Values {
		text, err := yamltree.Text(item)
		if err != nil {
			return err
		}
		if seen[text] {
			return yamltree.Fail(item, "%q is repeated", text)
		}
		seen[text] = true
		out = append(out, text)
	}
	into.Set(reflect.ValueOf(out))
	return nil
}

// decodeJSON takes JSON as a text, or YAML, whose order is kept.
func decodeJSON(n ast.Node, into reflect.Value) error {
	if text, err := yamltree.Text(n); err == nil {
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
		m, err := yamltree.Mapping(n)
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
			return yamltree.Fail(n, "%s is no JSON number", number)
		}
		b.Write(text)
	case *ast.BoolNode:
		b.WriteString(strconv.FormatBool(v.Value))
	case *ast.NullNode:
		b.WriteString("null")
	default:
		text, err := yamltree.Text(n)
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
	err := yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
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
		return yamltree.Fail(at, "%v", err)
	}
	b.WriteString(strings.TrimSuffix(line.String(), "\n"))
	return nil
}
