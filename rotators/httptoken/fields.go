package httptoken

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"lockstep/internal/yamltree"
)

// all reads each entry of a mapping, and refuses one that is not known.
func all(n ast.Node, known map[string]func(ast.Node) error) error {
	m, err := yamltree.Mapping(n)
	if err != nil {
		return err
	}
	return yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
		read := known[name]
		if read == nil {
			return unknown(v.Key, name, keysOf(known))
		}
		return read(v.Value)
	})
}

func unknown(at ast.Node, name string, known []string) error {
	return yamltree.Fail(at, "there is no field %q here; there are %s", name, strings.Join(known, ", "))
}

func keysOf(known ...map[string]func(ast.Node) error) []string {
	var names []string
	for _, k := range known {
		names = append(names, slices.Collect(maps.Keys(k))...)
	}
	slices.Sort(names)
	return names
}

func textInto(into *string) func(ast.Node) error {
	return func(n ast.Node) error {
		text, err := yamltree.Text(n)
		if err == nil && text == "" {
			err = yamltree.Fail(n, "the text is empty")
		}
		*into = text
		return err
	}
}

func choice(words map[string]func()) func(ast.Node) error {
	return func(n ast.Node) error {
		text, err := yamltree.Text(n)
		if err != nil {
			return err
		}
		chosen := words[text]
		if chosen == nil {
			return yamltree.Fail(n, "%q is none of %s", text, strings.Join(slices.Sorted(maps.Keys(words)), ", "))
		}
		chosen()
		return nil
	}
}

func intOf(n ast.Node) (int, error) {
	number, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, yamltree.Fail(n, "want a whole number, found %s", yamltree.WordFor(n))
	}
	v, err := strconv.Atoi(fmt.Sprint(number.Value))
	if err != nil {
		return 0, yamltree.Fail(n, "the number is too large")
	}
	return v, nil
}

func intInto(into *int, from, to int) func(ast.Node) error {
	return func(n ast.Node) error {
		v, err := intOf(n)
		switch {
		case err != nil:
			return err
		case v != from && from == to:
			return yamltree.Fail(n, "want %d, found %d", from, v)
		case v < from || v > to:
			return yamltree.Fail(n, "%d is not from %d to %d", v, from, to)
		}
		*into = v
		return nil
	}
}

func durationInto(into *time.Duration, most time.Duration) func(ast.Node) error {
	return func(n ast.Node) error {
		text, err := yamltree.Text(n)
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > most {
			return yamltree.Fail(n, "%q is no duration above zero and up to %s, such as 30s or 2m", text, most)
		}
		*into = d
		return nil
	}
}

// fieldsInto reads what a value holds: names with descriptions, apart by whether
// they may be shown.
func fieldsInto(into *Fields) func(ast.Node) error {
	return func(n ast.Node) error {
		err := all(n, map[string]func(ast.Node) error{
			"fields": describedInto(&into.Open), "credentials": describedInto(&into.Credentials),
		})
		if err != nil {
			return err
		}
		for _, f := range into.Credentials {
			if named(into.Open, f.Name) {
				return yamltree.Fail(n, "%q is among fields and credentials", f.Name)
			}
		}
		return nil
	}
}

func describedInto(into *[]Field) func(ast.Node) error {
	return func(n ast.Node) error {
		m, err := yamltree.Mapping(n)
		if err != nil {
			return err
		}
		return yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
			if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
				return yamltree.Fail(v.Key, "a field's name has letters, digits, - and _ alone")
			}
			text, err := yamltree.Text(v.Value)
			*into = append(*into, Field{name, text})
			return err
		})
	}
}

// pathOf reads a path at its node.
func pathOf(n ast.Node) (path, error) {
	text, err := yamltree.Text(n)
	if err != nil {
		return path{}, err
	}
	p, err := parsePath(text)
	if err != nil {
		return p, yamltree.Fail(n, "%s", err)
	}
	return p, nil
}

func pathInto(into **path) func(ast.Node) error {
	return func(n ast.Node) error {
		p, err := pathOf(n)
		*into = &p
		return err
	}
}

func pathsInto(into *[]path) func(ast.Node) error {
	return eachOf(func(n ast.Node) error {
		p, err := pathOf(n)
		*into = append(*into, p)
		return err
	})
}

// eachOf reads each item of a list.
func eachOf(read func(ast.Node) error) func(ast.Node) error {
	return func(n ast.Node) error {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			return yamltree.Fail(n, "want a list, found %s", yamltree.WordFor(n))
		}
		for _, item := range list.Values {
			if err := read(item); err != nil {
				return err
			}
		}
		return nil
	}
}
