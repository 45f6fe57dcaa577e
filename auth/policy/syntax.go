package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// SyntaxError tells where and why a policy is refused. It is what the APIs
// answer as MalformedPolicyDocumentException.
type SyntaxError struct {
	// Line and Column (in bytes) count from 1; they are 0 when the whole
	// document is meant.
	Line, Column int
	// Statement is the statement's Sid, or its number from 1; empty outside of
	// statements.
	Statement string
	// Element is the element's name, for example "Action"; may be empty.
	Element string
	// Message says what is wrong.
	Message string
}

// Error returns place and message in one line.
func (e *SyntaxError) Error() string {
	var b bytes.Buffer
	b.WriteString("malformed policy")
	if e.Line > 0 {
		fmt.Fprintf(&b, ", line %d column %d", e.Line, e.Column)
	}
	if e.Statement != "" {
		b.WriteString(", statement " + e.Statement)
	}
	if e.Element != "" {
		b.WriteString(", element " + e.Element)
	}
	b.WriteString(": " + e.Message)
	return b.String()
}

type nodeKind int

const (
	nodeString nodeKind = iota
	nodeNumber
	nodeBool
	nodeNull
	nodeArray
	nodeObject
)

// node is a JSON value that remembers where it stood.
type node struct {
	kind    nodeKind
	offset  int
	text    string // of strings, numbers and bools
	items   []node
	members []member
}

type member struct {
	name   string
	offset int
	value  node
}

// maxDepth is deeper than any policy goes.
const maxDepth = 8

// reader reads one JSON document into nodes. Unlike json.Unmarshal it keeps
// positions and refuses repeated names.
type reader struct {
	text    []byte
	decoder *json.Decoder
}

// readDocument returns the document's one value.
func readDocument(text []byte) (node, error) {
	if !utf8.Valid(text) {
		return node{}, &SyntaxError{Message: "the document is not valid UTF-8"}
	}
	r := reader{text: text, decoder: json.NewDecoder(bytes.NewReader(text))}
	r.decoder.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return node{}, err
	}
	end := r.next()
	if _, err := r.decoder.Token(); err != io.EOF {
		return node{}, r.fail(end, "something follows the document")
	}
	return n, nil
}

// next is the offset at which the next token begins.
func (r *reader) next() int {
	i := int(r.decoder.InputOffset())
	for i < len(r.text) && bytes.IndexByte([]byte(" \t\r\n,:"), r.text[i]) >= 0 {
		i++
	}
	return i
}

func (r *reader) fail(offset int, message string) error {
	line, column := position(r.text, offset)
	return &SyntaxError{Line: line, Column: column, Message: message}
}

func (r *reader) token() (json.Token, int, error) {
	offset := r.next()
	t, err := r.decoder.Token()
	if err == nil {
		return t, offset, nil
	}
	message := "the document ends too early"
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset, message = int(syntax.Offset)-1, "not JSON: "+syntax.Error()
	}
	return nil, 0, r.fail(offset, message)
}

func (r *reader) value(depth int) (node, error) {
	t, offset, err := r.token()
	if err != nil {
		return node{}, err
	}
	n := node{offset: offset}
	switch t := t.(type) {
	case string:
		n.kind, n.text = nodeString, t
	case json.Number:
		n.kind, n.text = nodeNumber, t.String()
	case bool:
		n.kind, n.text = nodeBool, strconv.FormatBool(t)
	case nil:
		n.kind = nodeNull
	case json.Delim:
		if depth == maxDepth {
			return node{}, r.fail(offset, "nested too deeply")
		}
		if t == '[' {
			return r.array(n, depth+1)
		}
		return r.object(n, depth+1)
	}
	return n, nil
}

func (r *reader) array(n node, depth int) (node, error) {
	n.kind = nodeArray
	for r.decoder.More() {
		item, err := r.value(depth)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.token()
	return n, err
}

func (r *reader) object(n node, depth int) (node, error) {
	n.kind = nodeObject
	seen := map[string]bool{}
	for r.decoder.More() {
		t, offset, err := r.token()
		if err != nil {
			return node{}, err
		}
		name, _ := t.(string)
		if seen[name] {
			return node{}, r.fail(offset, fmt.Sprintf("%q is repeated", name))
		}
		seen[name] = true
		v, err := r.value(depth)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name, offset, v})
	}
	_, _, err := r.token()
	return n, err
}

func position(text []byte, offset int) (line, column int) {
	offset = max(0, min(offset, len(text)))
	before := text[:offset]
	return bytes.Count(before, []byte("\n")) + 1, offset - bytes.LastIndexByte(before, '\n')
}
