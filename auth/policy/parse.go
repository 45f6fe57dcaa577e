package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	version2012 = "2012-10-17"
	version2008 = "2008-10-17"
)

// Parse reads a policy of the given kind. Errors are *SyntaxError.
func Parse(text string, kind Kind) (*Policy, error) {
	if len(text) > MaxBytes {
		return nil, &SyntaxError{Message: fmt.Sprintf("the document is larger than %d bytes", MaxBytes)}
	}
	root, err := readDocument([]byte(text))
	if err != nil {
		return nil, err
	}
	p := parser{text: text, kind: kind}
	policy, err := p.document(root)
	if err != nil {
		return nil, err
	}
	return policy, nil
}

// parser turns nodes into a Policy. It knows where it is, for errors.
type parser struct {
	text      string
	kind      Kind
	variables bool // the version has policy variables
	statement string
	element   string
}

func (p *parser) fail(offset int, format string, args ...any) error {
	line, column := position([]byte(p.text), offset)
	return &SyntaxError{
		Line: line, Column: column, Statement: p.statement, Element: p.element,
		Message: fmt.Sprintf(format, args...),
	}
}

func (p *parser) document(root node) (*Policy, error) {
	if root.kind != nodeObject {
		return nil, p.fail(root.offset, "a policy is a JSON object")
	}
	var statements *node
	for i := range root.members {
		m := &root.members[i]
		p.element = m.name
		switch m.name {
		case "Version":
			if m.value.kind != nodeString || m.value.text != version2012 && m.value.text != version2008 {
				return nil, p.fail(m.value.offset, "must be %q or %q", version2012, version2008)
			}
			p.variables = m.value.text == version2012
		case "Id":
			if m.value.kind != nodeString {
				return nil, p.fail(m.value.offset, "must be a string")
			}
		case "Statement":
			statements = &m.value
		default:
			p.element = ""
			return nil, p.fail(m.offset, "unknown element %q", m.name)
		}
	}
	p.element = ""
	if statements == nil {
		return nil, p.fail(root.offset, "the element Statement is missing")
	}
	return p.statements(*statements)
}

func (p *parser) statements(n node) (*Policy, error) {
	items := n.items
	if n.kind == nodeObject {
		items = []node{n}
	} else if n.kind != nodeArray {
		return nil, p.fail(n.offset, "Statement must be an object or a list of objects")
	}
	if len(items) == 0 {
		return nil, p.fail(n.offset, "Statement is empty")
	}
	policy := &Policy{kind: p.kind, source: p.text}
	sids := map[string]bool{}
	for i, item := range items {
		s, err := p.one(item, i+1)
		if err != nil {
			return nil, err
		}
		if s.ref.Sid != "" && sids[s.ref.Sid] {
			p.element = "Sid"
			return nil, p.fail(item.offset, "%q is used twice", s.ref.Sid)
		}
		sids[s.ref.Sid] = true
		policy.statements = append(policy.statements, s)
	}
	return policy, nil
}

func (p *parser) one(n node, number int) (statement, error) {
	p.statement, p.element = strconv.Itoa(number), ""
	s := statement{ref: StatementRef{Number: number}, offset: n.offset}
	if n.kind != nodeObject {
		return s, p.fail(n.offset, "a statement is an object")
	}
	// The Sid first, so that errors can name it.
	for _, m := range n.members {
		if m.name != "Sid" {
			continue
		}
		p.element = "Sid"
		if m.value.kind != nodeString || !p.isSid(m.value.text) {
			return s, p.fail(m.value.offset, "must be a string of letters and digits")
		}
		if s.ref.Sid = m.value.text; s.ref.Sid != "" {
			p.statement = strconv.Quote(s.ref.Sid)
		}
	}
	present := map[string]bool{}
	for _, m := range n.members {
		p.element = m.name
		present[m.name] = true
		if err := p.member(&s, m); err != nil {
			return s, err
		}
	}
	p.element = ""
	if err := p.checkElements(n.offset, present); err != nil {
		return s, err
	}
	if s.notPrinc && !s.deny {
		return s, p.fail(n.offset, "NotPrincipal goes with Deny only")
	}
	for i := range s.conditions {
		s.conditions[i].inDeny = s.deny
	}
	return s, nil
}

// isSid: identity policies allow letters and digits; the others spaces and
// some more.
func (p *parser) isSid(sid string) bool {
	for _, c := range sid {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (p.kind == IdentityPolicy || !strings.ContainsRune(" -_.:/", c)) {
			return false
		}
	}
	return len(sid) <= 255
}

// checkElements demands what each kind of policy must have, and no more.
func (p *parser) checkElements(offset int, present map[string]bool) error {
	if !present["Effect"] {
		return p.fail(offset, "the element Effect is missing")
	}
	for _, pair := range []struct {
		name, not string
		need      need
	}{
		{"Action", "NotAction", required},
		{"Resource", "NotResource", p.needs(required, required, forbidden)},
		{"Principal", "NotPrincipal", p.needs(forbidden, required, required)},
	} {
		has, hasNot := present[pair.name], present[pair.not]
		switch {
		case has && hasNot:
			return p.fail(offset, "%s and %s exclude each other", pair.name, pair.not)
		case pair.need == required && !has && !hasNot:
			return p.fail(offset, "the element %s is missing", pair.name)
		case pair.need == forbidden && (has || hasNot):
			return p.fail(offset, "the element %s is not allowed in this kind of policy", pair.name)
		}
	}
	return nil
}

type need int

const (
	required need = iota
	forbidden
)

func (p *parser) needs(identity, resource, trust need) need {
	return [...]need{identity, resource, trust}[p.kind]
}

func (p *parser) member(s *statement, m member) (err error) {
	switch m.name {
	case "Sid":
	case "Effect":
		if m.value.kind != nodeString || m.value.text != "Allow" && m.value.text != "Deny" {
			return p.fail(m.value.offset, `must be "Allow" or "Deny"`)
		}
		s.deny = m.value.text == "Deny"
	case "Action", "NotAction":
		s.notAction = m.name == "NotAction"
		s.actions, err = p.actions(m.value)
	case "Resource", "NotResource":
		s.notRes = m.name == "NotResource"
		s.resources, err = p.resources(m.value)
	case "Principal", "NotPrincipal":
		s.notPrinc = m.name == "NotPrincipal"
		s.principals, err = p.principals(m.value)
	case "Condition":
		s.conditions, err = p.conditions(m.value)
	default:
		return p.fail(m.offset, "unknown element")
	}
	return err
}

// list takes a string or a list of strings, but not an empty list.
func (p *parser) list(n node) ([]node, error) {
	switch n.kind {
	case nodeString:
		return []node{n}, nil
	case nodeArray:
		for _, item := range n.items {
			if item.kind != nodeString {
				return nil, p.fail(item.offset, "must be a string")
			}
		}
		if len(n.items) == 0 {
			return nil, p.fail(n.offset, "the list is empty")
		}
		return n.items, nil
	default:
		return nil, p.fail(n.offset, "must be a string or a list of strings")
	}
}

func (p *parser) actions(n node) ([]pattern, error) {
	items, err := p.list(n)
	if err != nil {
		return nil, err
	}
	var out []pattern
	for _, item := range items {
		if !isActionPattern(item.text) {
			return nil, p.fail(item.offset, `%q must be "*" or "service:Action"`, item.text)
		}
		compiled, err := parsePattern(strings.ToLower(item.text), syntaxSet{wildcards: true})
		if err != nil {
			return nil, p.fail(item.offset, "%v", err)
		}
		out = append(out, compiled)
	}
	return out, nil
}

func isActionPattern(s string) bool {
	if s == "*" {
		return true
	}
	service, name, found := strings.Cut(s, ":")
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
	}
	odd := func(c rune) bool { return !plain(c) }
	oddName := func(c rune) bool { return !plain(c) && c != '*' && c != '?' }
	return found && service != "" && name != "" && !strings.ContainsFunc(service, odd) && !strings.ContainsFunc(name, oddName)
}

func (p *parser) resources(n node) ([]arnPattern, error) {
	items, err := p.list(n)
	if err != nil {
		return nil, err
	}
	var out []arnPattern
	for _, item := range items {
		compiled, err := parseARNPattern(item.text, syntaxSet{wildcards: true, variables: p.variables})
		if err != nil {
			return nil, p.fail(item.offset, "%q: %v", item.text, err)
		}
		out = append(out, compiled)
	}
	return out, nil
}

func (p *parser) principals(n node) (*principalSet, error) {
	if n.kind == nodeString && n.text == "*" {
		return &principalSet{anyone: true}, nil
	}
	if n.kind != nodeObject {
		return nil, p.fail(n.offset, `must be "*" or an object such as {"AWS": "arn:…"}`)
	}
	if len(n.members) == 0 {
		return nil, p.fail(n.offset, "names nobody")
	}
	set := &principalSet{}
	for _, m := range n.members {
		items, err := p.list(m.value)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if !set.addEntry(m.name, item.text) {
				return nil, p.fail(item.offset, "%s: %q is not a valid principal", m.name, item.text)
			}
		}
	}
	return set, nil
}

// addEntry compiles one entry of a Principal element.
func (s *principalSet) addEntry(kind, entry string) bool {
	switch kind {
	case "AWS":
		return s.addAWS(entry)
	case "Service":
		s.services = append(s.services, entry)
		return strings.Contains(entry, ".") && !strings.ContainsAny(entry, "*?: /")
	case "Federated":
		s.federated = append(s.federated, entry)
		return entry != "" && !strings.ContainsAny(entry, "*? ")
	default:
		return false
	}
}

func (p *parser) conditions(n node) ([]condition, error) {
	if n.kind != nodeObject {
		return nil, p.fail(n.offset, "must be an object")
	}
	var out []condition
	for _, byOperator := range n.members {
		prototype, err := parseOperator(byOperator.name)
		if err != nil {
			return nil, p.fail(byOperator.offset, "%q: %v", byOperator.name, err)
		}
		if byOperator.value.kind != nodeObject || len(byOperator.value.members) == 0 {
			return nil, p.fail(byOperator.value.offset, "%s must be an object of keys and values", byOperator.name)
		}
		keys := []string{}
		for _, byKey := range byOperator.value.members {
			c := prototype
			c.key = strings.ToLower(byKey.name)
			if slices.Contains(keys, c.key) {
				return nil, p.fail(byKey.offset, "the key %q is repeated", byKey.name)
			}
			keys = append(keys, c.key)
			if err := p.condition(&c, byKey); err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

var errKey = errors.New("a condition key has the form prefix:name")

func (p *parser) condition(c *condition, m member) error {
	if prefix, name, _ := strings.Cut(m.name, ":"); prefix == "" || name == "" {
		return p.fail(m.offset, "%q: %v", m.name, errKey)
	}
	items := []node{m.value}
	if m.value.kind == nodeArray {
		items = m.value.items
	}
	if len(items) == 0 {
		return p.fail(m.value.offset, "%s has no values", m.name)
	}
	for _, item := range items {
		if item.kind != nodeString && item.kind != nodeNumber && item.kind != nodeBool {
			return p.fail(item.offset, "%s: a value must be a string, number or boolean", m.name)
		}
		v, err := c.compile(item.text, p.variables)
		if err != nil {
			return p.fail(item.offset, "%s: %q %v", m.name, item.text, err)
		}
		c.operands = append(c.operands, v)
	}
	return nil
}
