package policy

import (
	"errors"
	"slices"
	"strings"
)

// Validate reads a policy as ValidateResourcePolicy does: what Parse refuses is
// a Finding like the others. The Policy is nil then.
func Validate(text string, kind Kind) (*Policy, []Finding) {
	p, err := Parse(text, kind)
	if err == nil {
		return p, p.Findings()
	}
	f := Finding{Check: CheckSyntax, Severity: Fault, Message: err.Error()}
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		f.Line, f.Column = syntax.Line, syntax.Column
	}
	return nil, []Finding{f}
}

// Findings returns what is wrong or doubtful in a policy that parsed, public
// access not included: see [Policy.Public]. Empty means that nothing was found.
func (p *Policy) Findings() []Finding {
	var found []Finding
	for i := range p.statements {
		s := &p.statements[i]
		c := checker{policy: p, statement: s}
		c.actions()
		c.resources()
		c.conditions()
		c.webIdentity()
		found = append(found, c.found...)
	}
	return found
}

// LocksOut reports whether a resource policy would refuse its owner, for
// instance the putting of another policy, though nothing else stood against it.
// The request names owner, action and resource, and carries the context in
// which the owner acts now. The Decision tells by what.
func (p *Policy) LocksOut(owner Request, rule ResourceRule) (Decision, bool) {
	everything := &Policy{statements: []statement{{
		actions:   []pattern{{tokens: []token{{kind: anyRun}}}},
		resources: []arnPattern{{any: true}},
	}}}
	d := Evaluate(owner, Set{Identity: []*Policy{everything}, Resource: p, Rule: rule})
	return d, !d.Allowed()
}

// checker looks through one statement.
type checker struct {
	policy    *Policy
	statement *statement
	found     []Finding
}

func (c *checker) add(check Check, severity Severity, message string) {
	c.found = append(c.found, c.policy.finding(c.statement, check, severity, message))
}

// actions finds names that no action of a known service has.
func (c *checker) actions() {
	for i := range c.statement.actions {
		a := &c.statement.actions[i]
		service, _, found := strings.Cut(a.fixedPrefix(), ":")
		if !found {
			continue
		}
		known := actionsOf(service)
		fits := func(name string) bool { return a.match(service + ":" + name) }
		if known != nil && !slices.ContainsFunc(known, fits) {
			c.add(CheckUnknownAction, Fault, "No action of "+service+" is named "+quotePattern(*a)+".")
		}
	}
}

// resources finds ARNs of secrets that can match none.
func (c *checker) resources() {
	for i := range c.statement.resources {
		r := &c.statement.resources[i]
		if r.any || len(r.parts) < arnParts {
			continue
		}
		if problem := arnProblem(r.parts); problem != "" {
			c.add(CheckMalformedARN, Fault, problem)
		}
	}
	if c.policy.kind == ResourcePolicy && c.onlyOtherServices() {
		c.add(CheckNoEffect, Warning, "The actions and the resources are of different services, so the statement never applies.")
	}
}

func arnProblem(parts []pattern) string {
	if !parts[2].isFixed() {
		return "An ARN must name its service without wildcards."
	}
	if parts[4].isFixed() {
		if account := parts[4].fixedPrefix(); account != "" && account != "aws" && !isAccountID(account) {
			return "The account in an ARN must be 12 digits or \"*\": " + account + "."
		}
	}
	if parts[2].fixedPrefix() != "secretsmanager" || len(parts[5].tokens) == 0 {
		return ""
	}
	const start = "secret:"
	prefix := parts[5].fixedPrefix()
	if parts[5].isFixed() && (!strings.HasPrefix(prefix, start) || prefix == start) ||
		!strings.HasPrefix(prefix, start) && !strings.HasPrefix(start, prefix) {
		return "The resource in a secret's ARN must be secret:<name>-<6 characters>."
	}
	return ""
}

// onlyOtherServices reports whether all actions are of one set of services and
// all resources of another.
func (c *checker) onlyOtherServices() bool {
	if c.statement.notAction || c.statement.notRes {
		return false
	}
	for i := range c.statement.resources {
		r := &c.statement.resources[i]
		if r.any || len(r.parts) < 3 || !r.parts[2].isFixed() {
			return false
		}
		for j := range c.statement.actions {
			service, _, found := strings.Cut(c.statement.actions[j].fixedPrefix(), ":")
			if !found || service == r.parts[2].fixedPrefix() {
				return false
			}
		}
	}
	return len(c.statement.resources) > 0
}

func (c *checker) conditions() {
	for i := range c.statement.conditions {
		k := &c.statement.conditions[i]
		if strings.HasPrefix(k.key, "secretsmanager:") && !isSecretsKey(k.key) {
			c.add(CheckUnknownKey, Fault, "There is no condition key "+k.key+".")
		}
		if k.quantifier == forAllValues && !c.statement.deny && !c.demands(k.key) {
			c.add(CheckVacuousForAll, Warning, "ForAllValues also holds when "+k.key+" is absent. Add a Null condition, or use ForAnyValue.")
		}
		for j := range k.operands {
			c.operand(k, &k.operands[j])
		}
	}
}

// operand finds text that looks like a wildcard or variable and is none.
func (c *checker) operand(k *condition, v *operand) {
	if k.family != texts || !v.text.isFixed() {
		return
	}
	text := v.text.fixedPrefix()
	if k.relation != like && strings.ContainsAny(text, "*") {
		c.add(CheckWildcardNotLike, Warning, "The * in the value of "+k.key+" is taken literally. Use StringLike for wildcards.")
	}
	if strings.Contains(text, "${") {
		c.add(CheckDeadVariable, Warning, "Policy variables need \"Version\": \""+version2012+"\".")
	}
}

// demands reports whether a Null condition asks for the key to be there.
func (c *checker) demands(key string) bool {
	return slices.ContainsFunc(c.statement.conditions, func(k condition) bool {
		return k.family == nulls && k.key == key && !slices.ContainsFunc(k.operands, func(v operand) bool { return v.boolean })
	})
}

// webIdentity finds a trust in a public issuer without a condition on the
// subject: every user of that issuer would pass.
func (c *checker) webIdentity() {
	s := c.statement
	if s.deny || s.principals == nil {
		return
	}
	for _, provider := range s.principals.federated {
		host := provider
		if _, name, found := strings.Cut(provider, "oidc-provider/"); found {
			host = name
		} else if strings.HasPrefix(provider, "arn:") {
			continue // SAML providers are private
		}
		key := strings.ToLower(host) + ":sub"
		fixesSubject := func(k condition) bool {
			return k.key == key && k.family == texts && !k.negated && !k.ifExists && k.quantifier != forAllValues &&
				!slices.ContainsFunc(k.operands, func(v operand) bool { return v.text.fixedPrefix() == "" })
		}
		if !slices.ContainsFunc(s.conditions, fixesSubject) {
			c.add(CheckUnrestrictedIssuer, Fault, "Everyone whom "+host+" knows may assume the role. Add a StringEquals or StringLike condition on "+key+".")
		}
	}
}

// quotePattern writes an action pattern as it stood.
func quotePattern(p pattern) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, t := range p.tokens {
		switch t.kind {
		case anyRun:
			b.WriteByte('*')
		case anyOne:
			b.WriteByte('?')
		default:
			b.WriteString(t.text)
		}
	}
	b.WriteByte('"')
	return b.String()
}
