package httptoken

import (
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"lockstep"
	"lockstep/internal/yamltree"
)

// The bounds of recipes and of what they do.
const (
	// MaxRecipe bounds a recipe's text, in bytes.
	MaxRecipe = 64 << 10
	// DefaultTimeout and MaxTimeout bound one request.
	DefaultTimeout = 20 * time.Second
	MaxTimeout     = 2 * time.Minute
	// MaxPropagation bounds how long test takes a refusal for a new value that
	// the provider has not made known everywhere yet.
	MaxPropagation = 10 * time.Minute
	// DefaultAnswer and MaxAnswer bound what is read of an answer, in bytes.
	DefaultAnswer = 1 << 20
	MaxAnswer     = 16 << 20
)

// formVersion is the version of the form that recipes have.
const formVersion = 1

// Recipe says how one kind of credential is rotated over HTTP. It holds no
// secret, and is not changed once it is read.
type Recipe struct {
	// Title names the provider and the credential, in words.
	Title string
	// Traits are what the engine goes by.
	Traits lockstep.Traits
	// Secret and Admin say what the two values hold.
	Secret, Admin Fields
	// Expires names the field that says until when a value works; empty: none.
	Expires string
	// Timeout bounds one request.
	Timeout time.Duration

	expiryForm  string
	propagation time.Duration
	answer      int
	words       []path

	issue, test, revoke, list *request
}

// Fields are those of a value: what may be shown, and what may not. Each name
// has a description for people.
type Fields struct {
	Open        []Field
	Credentials []Field
}

// Field is one.
type Field struct{ Name, Description string }

func (f Fields) has(name string) bool { return named(f.Open, name) || f.secret(name) }

func (f Fields) secret(name string) bool { return named(f.Credentials, name) }

func named(fields []Field, name string) bool {
	for _, f := range fields {
		if f.Name == name {
			return true
		}
	}
	return false
}

// names lists the fields, for an error.
func (f Fields) names() string {
	var all []string
	for _, one := range append(append([]Field(nil), f.Open...), f.Credentials...) {
		all = append(all, one.Name)
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// Parse reads a recipe. The name of the file is for errors alone. Errors: a
// *yamltree.Error with line and column, for the first thing that is wrong:
// syntax, an unknown or missing field, a name or a function that there is not,
// a template that cannot stand where it stands, or an ability that the traits
// ask for.
func Parse(file, text string) (*Recipe, error) {
	if len(text) > MaxRecipe {
		return nil, &yamltree.Error{Place: yamltree.Place{File: file}, Message: fmt.Sprintf("the recipe has %d bytes, more than %d", len(text), MaxRecipe)}
	}
	r, err := parse(text)
	if err != nil {
		return nil, yamltree.Located(file, 0, err)
	}
	return r, nil
}

func parse(text string) (*Recipe, error) {
	body, err := yamltree.Parse(text)
	if err != nil {
		return nil, err
	}
	if body == nil {
		return nil, &yamltree.Error{Message: "the recipe is empty"}
	}
	m, err := yamltree.Mapping(body)
	if err != nil {
		return nil, err
	}
	p := &reader{recipe: &Recipe{Timeout: DefaultTimeout, answer: DefaultAnswer}}
	// What requests may name stands before them, wherever it stands in the file.
	for _, round := range []map[string]func(ast.Node) error{p.declarations(), p.requests()} {
		if err := p.fields(m, round); err != nil {
			return nil, err
		}
	}
	return p.recipe, p.whole(m)
}

// reader fills a Recipe.
type reader struct {
	recipe *Recipe
	form   int
	// within names the request that is being read.
	within string
}

// declarations are the fields that say what is there.
func (p *reader) declarations() map[string]func(ast.Node) error {
	r := p.recipe
	return map[string]func(ast.Node) error{
		"recipe":       intInto(&p.form, formVersion, formVersion),
		"title":        textInto(&r.Title),
		"chooser":      choice(map[string]func(){"issued": func() { r.Traits.Chooser = lockstep.Issued }}),
		"valid":        choice(map[string]func(){"one": func() { r.Traits.Overlap = lockstep.OneValue }, "several": func() { r.Traits.Overlap = lockstep.TwoValues }}),
		"secret":       fieldsInto(&r.Secret),
		"admin":        fieldsInto(&r.Admin),
		"expires":      p.expires,
		"propagation":  durationInto(&r.propagation, MaxPropagation),
		"timeout":      durationInto(&r.Timeout, MaxTimeout),
		"answer-bytes": intInto(&r.answer, 1, MaxAnswer),
		"words":        pathsInto(&r.words),
	}
}

// requests are those that a recipe makes.
func (p *reader) requests() map[string]func(ast.Node) error {
	r := p.recipe
	return map[string]func(ast.Node) error{
		"issue": p.request("issue", &r.issue), "test": p.request("test", &r.test),
		"revoke": p.request("revoke", &r.revoke), "list": p.request("list", &r.list),
	}
}

// fields reads those entries of the recipe that the round knows, and refuses
// those that no round knows.
func (p *reader) fields(m *ast.MappingNode, round map[string]func(ast.Node) error) error {
	declared, requests := p.declarations(), p.requests()
	return yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
		if read := round[name]; read != nil {
			return read(v.Value)
		}
		if declared[name] == nil && requests[name] == nil {
			return unknown(v.Key, name, keysOf(declared, requests))
		}
		return nil
	})
}

// expires reads which field says until when a value works, and how.
func (p *reader) expires(n ast.Node) error {
	r := p.recipe
	forms := map[string]func(){}
	for _, form := range []string{expiryRFC3339, expiryDate, expiryUnix} {
		forms[form] = func() { r.expiryForm = form }
	}
	if err := all(n, map[string]func(ast.Node) error{"field": textInto(&r.Expires), "form": choice(forms)}); err != nil {
		return err
	}
	if r.Expires == "" || r.expiryForm == "" {
		return yamltree.Fail(n, "expires needs field and form")
	}
	return nil
}

// whole sees that nothing is missing, as far as fields alone cannot tell.
func (p *reader) whole(m *ast.MappingNode) error {
	for _, name := range []string{"recipe", "title", "chooser", "valid", "secret", "issue", "test"} {
		if yamltree.ValueOf(m, name) == nil {
			return yamltree.Fail(m, "the field %s is missing", name)
		}
	}
	r := p.recipe
	r.Traits.Ephemeral = r.revoke == nil
	if !r.test.sendsCredential(r) {
		return yamltree.Fail(yamltree.ValueOf(m, "test"), "test sends none of the secret's credentials: it would accept any value")
	}
	if r.Expires != "" && !r.issue.givesField(r.Expires) {
		return yamltree.Fail(yamltree.ValueOf(m, "expires"), "issue gives no field %q", r.Expires)
	}
	several := r.Traits.Overlap == lockstep.TwoValues
	switch {
	case r.list != nil && r.revoke == nil:
		return yamltree.Fail(yamltree.ValueOf(m, "list"), "what list finds has to be revoked: the request revoke is missing")
	case r.list != nil && !several, r.revoke != nil && !several:
		return yamltree.Fail(yamltree.ValueOf(m, "valid"), "where one value is valid, issuing ends the old one: there is nothing to list or revoke; say several")
	case several && r.Expires == "" && r.list == nil:
		return yamltree.Fail(m, "orphans would live for ever: either list and revoke find and end them, or values expire (expires)")
	}
	if r.list == nil {
		return nil
	}
	return p.orphans(m)
}

// orphans sees that what revoke needs of an orphan is what list gives, and that
// the marker gets there.
func (p *reader) orphans(m *ast.MappingNode) error {
	r := p.recipe
	for _, g := range r.issue.gives {
		if r.revoke.uses(ofSecret, g.field) && !r.list.givesField(g.field) {
			return yamltree.Fail(yamltree.ValueOf(m, "revoke"), "revoke uses secret.%s, which list does not give: an orphan could not be revoked", g.field)
		}
	}
	if !r.revoke.uses(ofSecret, r.list.gives[0].field) {
		return yamltree.Fail(yamltree.ValueOf(m, "revoke"), "revoke does not use secret.%s, by which list names an orphan", r.list.gives[0].field)
	}
	if !r.issue.uses(ofMarker, "") {
		return yamltree.Fail(yamltree.ValueOf(m, "issue"), "issue does not send the marker (${marker}), by which list finds orphans")
	}
	return nil
}
