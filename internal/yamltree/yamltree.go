// Package yamltree reads YAML strictly, node by node, and says of everything
// that is wrong where it stands: file, line and column. Manifests and recipes
// are read with it.
//
// It takes what people write in such files and nothing else: fields, lists,
// texts, numbers, true and false. An alias, an anchor, a tag and a repeated
// field are errors; a number is no text, so that "1.10" never becomes "1.1".
// Since no alias is ever followed, what is read is no larger than the file.
package yamltree

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Place is where something stands.
type Place struct {
	File string
	// Line and Column count from 1; 0: the whole file.
	Line, Column int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is something that is wrong with a file.
type Error struct {
	Place
	Message string
}

func (e *Error) Error() string { return e.Place.String() + ": " + e.Message }

// Parse reads the first document of a text; nil if there is nothing but
// comments. Errors: the YAML reader's, which Located turns into an *Error.
func Parse(text string) (ast.Node, error) {
	parsed, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		return nil, err
	}
	for _, d := range parsed.Docs {
		if d.Body == nil || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.CommentGroupType {
			continue
		}
		return d.Body, nil
	}
	return nil, nil
}

// Located makes an *Error of what Parse, or a function of this package, found
// in a document before which so many lines stand in its file.
func Located(file string, before int, err error) error {
	out := &Error{Message: err.Error()}
	var raw yaml.Error
	if !errors.As(err, &out) && errors.As(err, &raw) {
		out.Message = raw.GetMessage()
		if tok := raw.GetToken(); tok != nil && tok.Position != nil {
			out.Line, out.Column = tok.Position.Line, tok.Position.Column
		}
	}
	out.File = file
	if out.Line > 0 {
		out.Line += before
	}
	return out
}

// PlaceOf is where a node stands in its document.
func PlaceOf(n ast.Node) Place {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key // a block's own token is its first colon
	}
	tok := n.GetToken()
	if tok == nil || tok.Position == nil {
		return Place{}
	}
	return Place{Line: tok.Position.Line, Column: tok.Position.Column}
}

// Fail makes an *Error about a node.
func Fail(at ast.Node, format string, args ...any) error {
	return &Error{PlaceOf(at), fmt.Sprintf(format, args...)}
}

// Mapping takes a node that must be a mapping; of one entry, the reader gives
// the entry alone.
func Mapping(n ast.Node) (*ast.MappingNode, error) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m, nil
	case *ast.MappingValueNode:
		return &ast.MappingNode{BaseNode: m.BaseNode, Start: m.Start, Values: []*ast.MappingValueNode{m}}, nil
	}
	return nil, Fail(n, "want fields (name: value), found %s", WordFor(n))
}

// WordFor names what a node is to the person who wrote it.
func WordFor(n ast.Node) string {
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

// Text takes a node that must be a text.
func Text(n ast.Node) (string, error) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, nil
	case *ast.LiteralNode:
		return s.Value.Value, nil
	}
	return "", Fail(n, "want a text, found %s", WordFor(n))
}

// keyOf is the name of an entry.
func keyOf(v *ast.MappingValueNode) (string, error) {
	s, ok := v.Key.(*ast.StringNode)
	if !ok {
		return "", Fail(v.Key, "a field's name must be a text")
	}
	return s.Value, nil
}

// ValueOf finds an entry of a mapping by its name; nil if there is none.
func ValueOf(m *ast.MappingNode, name string) ast.Node {
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

// Entries calls do for each entry of a mapping, and refuses repeated names.
func Entries(m *ast.MappingNode, do func(name string, v *ast.MappingValueNode) error) error {
	seen := map[string]bool{}
	for _, v := range m.Values {
		name, err := keyOf(v)
		if err != nil {
			return err
		}
		if seen[name] {
			return Fail(v.Key, "the field %q is repeated", name)
		}
		seen[name] = true
		if err := do(name, v); err != nil {
			return err
		}
	}
	return nil
}
