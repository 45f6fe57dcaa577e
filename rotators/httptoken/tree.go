package httptoken

import (
	"bytes"
	"encoding/json"

	"github.com/goccy/go-yaml/ast"

	"lockstep/internal/yamltree"
)

// tree is a body of JSON with templates as its leaves. What a value holds is
// written by the JSON encoder, so it can never end the place that it stands in.
type tree struct {
	// Exactly one is set.
	leaf   *template
	fixed  json.RawMessage
	list   []*tree
	fields []branch

	kind treeKind
}

type branch struct {
	name string
	tree *tree
}

type treeKind int

const (
	treeLeaf treeKind = iota
	treeFixed
	treeList
	treeFields
)

// body reads the JSON of a request.
func (p *reader) body(into **tree) func(ast.Node) error {
	return func(n ast.Node) error {
		t, err := p.tree(n)
		*into = t
		return err
	}
}

func (p *reader) tree(n ast.Node) (*tree, error) {
	switch v := n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		leaf, err := p.template(n)
		return &tree{kind: treeLeaf, leaf: &leaf}, err
	case *ast.NullNode:
		return &tree{kind: treeFixed, fixed: json.RawMessage("null")}, nil
	case *ast.SequenceNode:
		t := &tree{kind: treeList}
		for _, item := range v.Values {
			one, err := p.tree(item)
			if err != nil {
				return nil, err
			}
			t.list = append(t.list, one)
		}
		return t, nil
	case *ast.MappingNode, *ast.MappingValueNode:
		return p.branches(n)
	}
	fixed, err := scalarOf(n)
	return &tree{kind: treeFixed, fixed: fixed}, err
}

func (p *reader) branches(n ast.Node) (*tree, error) {
	m, err := yamltree.Mapping(n)
	if err != nil {
		return nil, err
	}
	t := &tree{kind: treeFields}
	err = yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
		one, err := p.tree(v.Value)
		t.fields = append(t.fields, branch{name, one})
		return err
	})
	return t, err
}

func (t *tree) each(do func(term)) {
	if t.leaf != nil {
		t.leaf.each(do)
	}
	for _, one := range t.list {
		one.each(do)
	}
	for _, b := range t.fields {
		b.tree.each(do)
	}
}

// json fills the templates in; nil where that is nothing.
func (t *tree) json(s *scope) (json.RawMessage, error) {
	switch t.kind {
	case treeLeaf:
		return t.leaf.json(s)
	case treeFixed:
		return t.fixed, nil
	case treeList:
		return t.listJSON(s)
	}
	return t.fieldsJSON(s)
}

func (t *tree) listJSON(s *scope) (json.RawMessage, error) {
	items := []json.RawMessage{}
	for _, one := range t.list {
		raw, err := one.json(s)
		if err != nil {
			return nil, err
		}
		if raw != nil {
			items = append(items, raw)
		}
	}
	return compact(items)
}

// fieldsJSON keeps the order in which the recipe has the fields.
func (t *tree) fieldsJSON(s *scope) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range t.fields {
		raw, err := f.tree.json(s)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			continue
		}
		name, err := quote(f.name)
		if err != nil {
			return nil, err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(raw)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func compact(items []json.RawMessage) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, raw := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(raw)
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}
