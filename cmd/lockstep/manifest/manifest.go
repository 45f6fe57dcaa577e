// Package manifest reads what `lockstep apply` applies: YAML documents, each
// of one kind, which say what a secret, a rotation, a user, a group, a role, a
// policy or a resource policy shall be like. It is pure: it reads no file and
// asks no server.
//
// Reading is strict. An unknown field, a wrong type, a repeated key and an
// alias are errors, each with file, line and column; a number is no text, so
// that "1.10" never becomes "1.1". A policy document is written as YAML and
// becomes JSON with its order kept.
//
// What a document does not mention is left as it is. Values never stand in a
// document: [ValueFrom] says where they come from.
package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"lockstep/internal/yamltree"
)

// Kind is what a document is about.
type Kind string

// The kinds.
const (
	KindPolicy         Kind = "Policy"
	KindGroup          Kind = "Group"
	KindRole           Kind = "Role"
	KindUser           Kind = "User"
	KindSecret         Kind = "Secret"
	KindResourcePolicy Kind = "ResourcePolicy"
	KindRotation       Kind = "Rotation"
)

// order is that in which kinds are applied: what others name comes first.
var order = []Kind{KindPolicy, KindGroup, KindRole, KindUser, KindSecret, KindResourcePolicy, KindRotation}

// Place is where something stands, Error something that is wrong there.
type (
	Place = yamltree.Place
	Error = yamltree.Error
)

// Document is one document of a file.
type Document struct {
	Place
	Kind Kind
	// Name of what it is about; for rotations and resource policies the
	// secret's.
	Name string
	// Exactly the one of these that Kind names is set.
	Secret         *Secret
	Rotation       *Rotation
	User           *User
	Group          *Group
	Role           *Role
	Policy         *Policy
	ResourcePolicy *ResourcePolicy
}

// File is one file to read.
type File struct {
	Name string
	Text []byte
}

// Read reads files and returns their documents in the order in which they are
// to be applied. Errors: all that was found, *Error each, joined.
func Read(files []File) ([]Document, error) {
	var docs []Document
	var errs []error
	for _, f := range files {
		found, err := readFile(f)
		docs, errs = append(docs, found...), append(errs, err)
	}
	errs = append(errs, repeated(docs))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(docs, func(a, b Document) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	return docs, nil
}

func readFile(f File) ([]Document, error) {
	var docs []Document
	var errs []error
	for _, c := range split(string(f.Text)) {
		doc, err := readChunk(c.text.String())
		switch {
		case err != nil:
			errs = append(errs, yamltree.Located(f.Name, c.line, err))
		case doc != nil:
			doc.File = f.Name
			doc.Line += c.line
			docs = append(docs, *doc)
		}
	}
	return docs, errors.Join(errs...)
}

// chunk is the text of one document; line is how many lines stand before it.
type chunk struct {
	text strings.Builder
	line int
}

// split parts a file at its document markers, which stand at the beginning of
// a line and nowhere else in YAML. The reader takes one document at a time
// from us, since it gives up silently at an empty one among several.
func split(text string) []*chunk {
	const marker = "---"
	chunks := []*chunk{{}}
	line := 0
	for l := range strings.Lines(text) {
		bare := strings.TrimRight(l, " \t\r\n")
		if bare == marker || bare == "..." || strings.HasPrefix(l, marker+" ") || strings.HasPrefix(l, marker+"\t") {
			chunks = append(chunks, &chunk{line: line})
			l = strings.Repeat(" ", len(marker)) + l[len(marker):]
		}
		chunks[len(chunks)-1].text.WriteString(l)
		line++
	}
	return chunks
}

// readChunk reads one document; nil if there is nothing but comments.
func readChunk(text string) (*Document, error) {
	body, err := yamltree.Parse(text)
	if body == nil || err != nil {
		return nil, err
	}
	doc, err := readDocument(body)
	return &doc, err
}

// repeated finds things that two documents are about.
func repeated(docs []Document) error {
	type thing struct {
		kind Kind
		name string
	}
	seen := map[thing]Place{}
	var errs []error
	for _, d := range docs {
		key := thing{d.Kind, d.Name}
		if first, twice := seen[key]; twice {
			errs = append(errs, &Error{Place: d.Place, Message: fmt.Sprintf("%s %q stands at %s already", d.Kind, d.Name, first)})
			continue
		}
		seen[key] = d.Place
	}
	return errors.Join(errs...)
}

func readDocument(body ast.Node) (Document, error) {
	doc := Document{Place: yamltree.PlaceOf(body)}
	m, err := yamltree.Mapping(body)
	if err != nil {
		return doc, err
	}
	kind := yamltree.ValueOf(m, "kind")
	if kind == nil {
		return doc, yamltree.Fail(body, "the field kind is missing; it is one of %s", kinds())
	}
	text, err := yamltree.Text(kind)
	if err != nil {
		return doc, err
	}
	doc.Kind = Kind(text)
	into, ok := doc.content()
	if !ok {
		return doc, yamltree.Fail(kind, "there is no kind %q; it is one of %s", text, kinds())
	}
	if err := decode(m, into); err != nil {
		return doc, err
	}
	doc.Name, err = into.check(m)
	return doc, err
}

func kinds() string {
	words := make([]string, 0, len(order))
	for _, k := range order {
		words = append(words, string(k))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// content is what a document holds.
type content interface {
	// check looks at what types cannot say, and gives the name.
	check(m *ast.MappingNode) (name string, err error)
}

func (d *Document) content() (content, bool) {
	switch d.Kind {
	case KindSecret:
		d.Secret = &Secret{}
		return d.Secret, true
	case KindRotation:
		d.Rotation = &Rotation{}
		return d.Rotation, true
	case KindUser:
		d.User = &User{}
		return d.User, true
	case KindGroup:
		d.Group = &Group{}
		return d.Group, true
	case KindRole:
		d.Role = &Role{}
		return d.Role, true
	case KindPolicy:
		d.Policy = &Policy{}
		return d.Policy, true
	case KindResourcePolicy:
		d.ResourcePolicy = &ResourcePolicy{}
		return d.ResourcePolicy, true
	}
	return nil, false
}
