package httptoken

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"

	"lockstep/internal/yamltree"
)

// request is one request of a recipe, ready to be filled in.
type request struct {
	name    string
	method  string
	url     address
	headers []filled
	form    []filled
	// body is what is sent as JSON; nil: nothing is.
	body *tree

	// expect lists the statuses of an answer that says yes, where each of holds
	// is true.
	expect  []statuses
	holds   []condition
	answers []answer
	gives   []given

	// The rest is of list alone.
	items  *path
	counts []condition
	marker *path
	pages  *pages
}

// filled is a header or a field of a form.
type filled struct {
	name  string
	value template
}

// given says which field of the value takes what stands where in an answer.
type given struct {
	field string
	from  path
}

// pages says how a list goes on: page by page, until one is not full.
type pages struct{ first, size int }

// statuses are one status, or all of a class ("4xx").
type statuses struct{ from, to int }

func (s statuses) has(code int) bool { return s.from <= code && code <= s.to }

// condition is a place in an answer and the JSON that stands there.
type condition struct {
	at   path
	want json.RawMessage
}

// answer gives answers a meaning that is not the usual one of their status.
type answer struct {
	status []statuses
	holds  []condition
	means  meaning
}

// names of headers that say how a message is read on its way.
var framing = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Te", "Upgrade", "Expect", "Proxy-Authorization", "Content-Type", "Accept-Encoding"}

var headerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

// request reads one request.
func (p *reader) request(name string, into **request) func(ast.Node) error {
	return func(n ast.Node) error {
		q := &request{name: name}
		p.within = name
		known := map[string]func(ast.Node) error{
			"method": choice(map[string]func(){
				"GET": q.by(http.MethodGet), "POST": q.by(http.MethodPost), "PUT": q.by(http.MethodPut),
				"PATCH": q.by(http.MethodPatch), "DELETE": q.by(http.MethodDelete),
			}),
			"url": p.url(q), "headers": p.filledInto(&q.headers, true), "form": p.filledInto(&q.form, false), "json": p.body(&q.body),
			"expect": statusesInto(&q.expect), "holds": conditionsInto(&q.holds), "answers": eachOf(q.answer),
		}
		if name == "issue" || name == "list" {
			known["gives"] = p.gives(q)
		}
		if name == "list" {
			known["items"], known["counts"], known["marker"], known["pages"] = pathInto(&q.items), conditionsInto(&q.counts), pathInto(&q.marker), q.paging
		}
		if err := all(n, known); err != nil {
			return err
		}
		*into = q
		return p.complete(q, n)
	}
}

func (q *request) by(m string) func() { return func() { q.method = m } }

// complete sees that a request lacks nothing.
func (p *reader) complete(q *request, n ast.Node) error {
	missing := map[string]bool{
		"method": q.method == "", "url": q.url.base == nil && q.url.fixed == "", "expect": len(q.expect) == 0,
		"gives": len(q.gives) == 0 && (q.name == "issue" || q.name == "list"),
		"items": q.items == nil && q.name == "list", "marker": q.marker == nil && q.name == "list",
	}
	for _, field := range []string{"method", "url", "expect", "gives", "items", "marker"} {
		if missing[field] {
			return yamltree.Fail(n, "the field %s of %s is missing", field, q.name)
		}
	}
	switch {
	case q.body != nil && q.form != nil:
		return yamltree.Fail(n, "%s has both json and form; a request has one body", q.name)
	case q.method == http.MethodGet && (q.body != nil || q.form != nil):
		return yamltree.Fail(n, "%s is a GET, which has no body", q.name)
	case (q.pages != nil) != q.uses(ofPage, ""):
		return yamltree.Fail(n, "a list of several pages needs both the field pages and ${page} in its request")
	case q.name == "list" && len(q.gives) != 1:
		return yamltree.Fail(n, "list gives one field: the id by which revoke names what is to be revoked")
	}
	if q.url.base == nil || !q.uses(ofAdmin, anyField) {
		return nil
	}
	fromSecret := false
	q.url.base.each(func(t term) { fromSecret = fromSecret || t.of == ofSecret })
	if fromSecret {
		return yamltree.Fail(n, "%s sends the admin's credential to a host that the secret's value names; take the host from admin, or write it out", q.name)
	}
	return nil
}

func (p *reader) url(q *request) func(ast.Node) error {
	return func(n ast.Node) error {
		text, err := yamltree.Text(n)
		if err != nil {
			return err
		}
		if q.url, err = parseAddress(text); err != nil {
			return yamltree.Fail(n, "%s", err)
		}
		q.url.each(func(t term) {
			if err == nil && (t.of == ofSecret && p.recipe.Secret.secret(t.field) || t.of == ofAdmin && p.recipe.Admin.secret(t.field)) {
				err = yamltree.Fail(n, "a URL must hold no credential (%s.%s): it is written down on its way", t.of, t.field)
			}
		})
		if err != nil {
			return err
		}
		return p.declared(n, q.url.each)
	}
}

// template reads a template at its node, and sees that what it names is there.
func (p *reader) template(n ast.Node) (template, error) {
	text, err := yamltree.Text(n)
	if err != nil {
		return template{}, err
	}
	t, err := parseTemplate(text)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return t, yamltree.Fail(n, "%s", err)
	}
	return t, p.declared(n, t.each)
}

// declared sees that the names in a template are declared.
func (p *reader) declared(n ast.Node, each func(func(term))) (err error) {
	each(func(t term) {
		fields := map[string]Fields{ofSecret: p.recipe.Secret, ofAdmin: p.recipe.Admin}
		declared, ofValue := fields[t.of]
		switch {
		case err != nil:
		case ofValue && !declared.has(t.field):
			err = yamltree.Fail(n, "there is no %s.%s; the fields declared under %s are %s", t.of, t.field, t.of, declared.names())
		case t.of == ofMarker && p.within != "issue":
			err = yamltree.Fail(n, "there is a marker in issue alone")
		case (t.of == ofPage || t.of == ofSize) && p.within != "list":
			err = yamltree.Fail(n, "there is a page in list alone")
		}
	})
	return err
}

func (p *reader) filledInto(into *[]filled, header bool) func(ast.Node) error {
	return func(n ast.Node) error {
		m, err := yamltree.Mapping(n)
		if err != nil {
			return err
		}
		*into = []filled{}
		return yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
			if header {
				canonical := http.CanonicalHeaderKey(name)
				if !headerName.MatchString(name) || slices.Contains(framing, canonical) {
					return yamltree.Fail(v.Key, "%q is no header that a recipe can set", name)
				}
			}
			t, err := p.template(v.Value)
			*into = append(*into, filled{name, t})
			return err
		})
	}
}

func (p *reader) gives(q *request) func(ast.Node) error {
	return func(n ast.Node) error {
		m, err := yamltree.Mapping(n)
		if err != nil {
			return err
		}
		return yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
			if !p.recipe.Secret.has(name) {
				return yamltree.Fail(v.Key, "there is no secret.%s; the fields declared under secret are %s", name, p.recipe.Secret.names())
			}
			from, err := pathOf(v.Value)
			q.gives = append(q.gives, given{name, from})
			return err
		})
	}
}

func statusesOf(n ast.Node) (statuses, error) {
	if text, err := yamltree.Text(n); err == nil {
		if len(text) == 3 && text[0] >= '1' && text[0] <= '5' && text[1:] == "xx" {
			from := int(text[0]-'0') * 100
			return statuses{from, from + 99}, nil
		}
		return statuses{}, yamltree.Fail(n, "%q is neither a status nor a class such as 5xx", text)
	}
	code, err := intOf(n)
	if err == nil && (code < 200 || code > 599) {
		err = yamltree.Fail(n, "%d is no status from 200 to 599", code)
	}
	return statuses{code, code}, err
}

func statusesInto(into *[]statuses) func(ast.Node) error {
	return eachOf(func(n ast.Node) error {
		s, err := statusesOf(n)
		*into = append(*into, s)
		return err
	})
}

func conditionsInto(into *[]condition) func(ast.Node) error {
	return func(n ast.Node) error {
		m, err := yamltree.Mapping(n)
		if err != nil {
			return err
		}
		return yamltree.Entries(m, func(name string, v *ast.MappingValueNode) error {
			at, err := parsePath(name)
			if err != nil {
				return yamltree.Fail(v.Key, "%s", err)
			}
			want, err := scalarOf(v.Value)
			*into = append(*into, condition{at, want})
			return err
		})
	}
}

// scalarOf is a text, number or truth as JSON.
func scalarOf(n ast.Node) (json.RawMessage, error) {
	switch v := n.(type) {
	case *ast.BoolNode:
		return json.RawMessage(strconv.FormatBool(v.Value)), nil
	case *ast.IntegerNode, *ast.FloatNode:
		text := n.GetToken().Value
		if json.Valid([]byte(text)) {
			return json.RawMessage(text), nil
		}
		return nil, yamltree.Fail(n, "%s is no number as JSON has it", text)
	case *ast.StringNode, *ast.LiteralNode:
		text, err := yamltree.Text(n)
		if err != nil {
			return nil, err
		}
		return quote(text)
	}
	return nil, yamltree.Fail(n, "want a text, a number, true or false, found %s", yamltree.WordFor(n))
}

func (q *request) answer(n ast.Node) error {
	var a answer
	means := map[string]func(){}
	for word, m := range meaningWords() {
		means[word] = func() { a.means = m }
	}
	err := all(n, map[string]func(ast.Node) error{
		"status": statusesInto(&a.status), "holds": conditionsInto(&a.holds), "means": choice(means),
	})
	if err != nil {
		return err
	}
	if len(a.status) == 0 || a.means == meansNothing {
		return yamltree.Fail(n, "an answer needs status and means")
	}
	q.answers = append(q.answers, a)
	return nil
}

func (q *request) paging(n ast.Node) error {
	p := &pages{}
	err := all(n, map[string]func(ast.Node) error{"first": intInto(&p.first, 0, 1), "size": intInto(&p.size, 1, 1000)})
	if err == nil && p.size == 0 {
		err = yamltree.Fail(n, "pages needs size: how many items a full page has")
	}
	q.pages = p
	return err
}

// anyField stands for all fields in uses.
const anyField = "*"

// each calls do for every term of the request.
func (q *request) each(do func(term)) {
	q.url.each(do)
	for _, f := range append(append([]filled(nil), q.headers...), q.form...) {
		f.value.each(do)
	}
	if q.body != nil {
		q.body.each(do)
	}
}

// uses tells whether a request uses a name.
func (q *request) uses(of, field string) bool {
	found := false
	q.each(func(t term) { found = found || t.of == of && (t.field == field || field == anyField) })
	return found
}

// sendsCredential tells whether a request sends one of the secret's credentials.
func (q *request) sendsCredential(r *Recipe) bool {
	return slices.ContainsFunc(r.Secret.Credentials, func(f Field) bool { return q.uses(ofSecret, f.Name) })
}

func (q *request) givesField(name string) bool {
	return slices.ContainsFunc(q.gives, func(g given) bool { return g.field == name })
}
