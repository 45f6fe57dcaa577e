package httptoken

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// template is a text with expressions in it. How a value is written into it is
// decided by where the template stands, never by the recipe: a quote, a slash or
// a line break in a value stays a part of that value.
type template struct{ parts []part }

// part is a text, or an expression where expr is set.
type part struct {
	text string
	expr *expr
}

// maxTemplate bounds a template's text, in bytes.
const maxTemplate = 8192

// parseTemplate reads a template: "${" begins an expression, "$${" stands for
// "${".
func parseTemplate(text string) (template, error) {
	var t template
	if len(text) > maxTemplate {
		return t, fmt.Errorf("a text has more than %d bytes", maxTemplate)
	}
	literal := ""
	for text != "" {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			literal, text = literal+text, ""
			continue
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			literal, text = literal+escaped+"${", rest
			continue
		}
		e, rest, err := parseExpr(rest)
		if err != nil {
			return t, err
		}
		if literal += before; literal != "" {
			t.parts = append(t.parts, part{text: literal})
		}
		t.parts, literal, text = append(t.parts, part{expr: &e}), "", rest
	}
	if literal != "" {
		t.parts = append(t.parts, part{text: literal})
	}
	return t, nil
}

// lone is the expression of a template that is nothing else; nil otherwise.
func (t template) lone() *expr {
	if len(t.parts) == 1 {
		return t.parts[0].expr
	}
	return nil
}

// check refuses nothing where a text is wanted.
func (t template) check() error {
	for _, p := range t.parts {
		if p.expr != nil && p.expr.optional() && t.lone() == nil {
			return fmt.Errorf("an expression that may be nothing stands alone")
		}
	}
	return nil
}

func (t template) each(do func(term)) {
	for _, p := range t.parts {
		if p.expr != nil {
			p.expr.each(do)
		}
	}
}

// write joins the parts, each value in the form that escape gives it.
func (t template) write(s *scope, escape func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		text, err := p.expr.text(s)
		if err != nil {
			return "", err
		}
		b.WriteString(escape(text))
	}
	return b.String(), nil
}

func asItIs(text string) string { return text }

// optionalText is the template's text; false where it is nothing.
func (t template) optionalText(s *scope) (string, bool, error) {
	if e := t.lone(); e != nil && e.optional() {
		raw, err := e.eval(s)
		if raw == nil || err != nil {
			return "", false, err
		}
	}
	text, err := t.write(s, asItIs)
	return text, err == nil, err
}

// header is the text of a header; false where it is nothing. Errors: a control
// character, which would end it.
func (t template) header(s *scope) (string, bool, error) {
	text, there, err := t.optionalText(s)
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false, unusable("a header would have a line break or another control character")
	}
	return text, there, err
}

// json is the template as JSON: a value that stands alone keeps its type;
// nothing is nil.
func (t template) json(s *scope) (json.RawMessage, error) {
	if e := t.lone(); e != nil {
		return e.eval(s)
	}
	text, err := t.write(s, asItIs)
	if err != nil {
		return nil, err
	}
	return quote(text)
}

// address is the template of a URL. Its scheme and host are written out, or come
// whole from one expression at the front: a value elsewhere can neither change
// them nor end its part of the path or the query.
type address struct {
	base  *expr
	fixed string
	// path and query hold what follows; asks tells whether there is a query.
	path, query template
	asks        bool
}

// parseAddress reads the template of a URL.
func parseAddress(text string) (address, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return address{}, err
	}
	if err := t.check(); err != nil || len(t.parts) == 0 {
		return address{}, fmt.Errorf("want a URL such as https://api.example.com/keys")
	}
	var a address
	if first := t.parts[0]; first.expr != nil {
		if first.expr.optional() {
			return a, fmt.Errorf("the beginning of a URL cannot be nothing")
		}
		a.base, t.parts = first.expr, t.parts[1:]
		if len(t.parts) > 0 && !strings.HasPrefix(t.parts[0].text, "/") && !strings.HasPrefix(t.parts[0].text, "?") {
			return a, fmt.Errorf(`want "/" after the expression that the URL begins with`)
		}
	} else if err := a.takeFixed(&t); err != nil {
		return a, err
	}
	return a, a.split(t)
}

// takeFixed takes scheme and host off the first literal.
func (a *address) takeFixed(t *template) error {
	text := t.parts[0].text
	end := strings.Index(text, "://")
	if end >= 0 {
		rest := strings.IndexAny(text[end+3:], "/?")
		switch {
		case rest >= 0:
			end += 3 + rest
		case len(t.parts) == 1:
			end = len(text)
		default:
			end = -1 // an expression within the host
		}
	}
	if end < 0 {
		return fmt.Errorf("scheme and host are written out (https://api.example.com/…), or come whole from one expression at the front")
	}
	a.fixed = text[:end]
	if _, err := readBase(a.fixed); err != nil {
		return err
	}
	// A copy: the parts are the template's own.
	t.parts = slices.Clone(t.parts)
	t.parts[0].text = text[end:]
	return nil
}

// split parts what follows the host into path and query.
func (a *address) split(t template) error {
	for _, p := range t.parts {
		if p.expr != nil {
			a.add(p)
			continue
		}
		if strings.ContainsAny(p.text, "#\\") || strings.ContainsFunc(p.text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return fmt.Errorf("a URL has neither # nor \\ nor a space, and other characters than ASCII's as %%XX")
		}
		before, after, found := strings.Cut(p.text, "?")
		if a.asks {
			a.add(p)
			continue
		}
		a.add(part{text: before})
		if a.asks = found; found {
			a.add(part{text: after})
		}
	}
	return nil
}

func (a *address) add(p part) {
	if a.asks {
		a.query.parts = append(a.query.parts, p)
		return
	}
	a.path.parts = append(a.path.parts, p)
}

func (a *address) each(do func(term)) {
	if a.base != nil {
		a.base.each(do)
	}
	a.path.each(do)
	a.query.each(do)
}

// readBase reads the beginning of a URL.
func readBase(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	switch {
	case err != nil, u.Hostname() == "", u.Opaque != "":
		return nil, unusable("a URL can't be read; it is https://HOST, with a path where the API has one")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, unusable("a URL does not begin with https://")
	case u.User != nil, strings.ContainsAny(text, "?#"):
		return nil, unusable("a URL has a login, a query or a fragment where https://HOST/PATH is wanted")
	}
	return u, nil
}

// write makes the URL. Errors: ErrInvalid, without what stands in the values.
func (a *address) write(s *scope) (*url.URL, error) {
	start := a.fixed
	if a.base != nil {
		var err error
		if start, err = a.base.text(s); err != nil {
			return nil, err
		}
	}
	base, err := readBase(start)
	if err != nil {
		return nil, err
	}
	path, err := a.path.write(s, url.PathEscape)
	if err != nil {
		return nil, err
	}
	query, err := a.query.write(s, url.QueryEscape)
	if err != nil {
		return nil, err
	}
	for i, one := range strings.Split(path, "/") {
		if one == "." || one == ".." || one == "" && i > 0 && !a.written(i) {
			return nil, unusable("a part of the URL's path would be empty, \".\" or \"..\"")
		}
	}
	text := strings.TrimRight(start, "/") + path
	if a.asks {
		text += "?" + query
	}
	u, err := url.Parse(text)
	if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || u.User != nil {
		return nil, unusable("the URL can't be put together")
	}
	return u, nil
}

// written tells whether the recipe itself leaves part i of the path empty, as in
// a URL that ends with a slash.
func (a *address) written(i int) bool {
	blank := ""
	for _, p := range a.path.parts {
		if p.expr != nil {
			blank += "x"
			continue
		}
		blank += p.text
	}
	parts := strings.Split(blank, "/")
	return i < len(parts) && parts[i] == ""
}
