package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockstep/auth/policy"
)

// The naive evaluator: it reads the JSON anew for each request, matches by
// regular expression, and follows AWS's text step by step. It knows the subset
// of the language that the generator below writes.

type naiveStatement struct {
	Effect                                   string
	Action, NotAction, Resource, NotResource many
	Principal                                map[string]many
	Condition                                map[string]map[string]many
}

// many is a string or a list of strings.
type many []string

func (m *many) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*m = many{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(m))
}

type naive struct {
	request policy.Request
	keys    map[string][]string
}

func (n naive) substitute(s string) (string, bool) {
	ok := true
	out := regexp.MustCompile(`\$\{[^}]*\}`).ReplaceAllStringFunc(s, func(v string) string {
		name := strings.ToLower(v[2 : len(v)-1])
		if values := n.keys[name]; len(values) == 1 {
			// What is substituted is literal: hide it from the wildcards.
			return strings.NewReplacer("*", "\x01", "?", "\x02").Replace(values[0])
		}
		ok = false
		return ""
	})
	return out, ok
}

func wild(pattern, text string) bool {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, `.*`), `\?`, `.`)
	quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, "\x01", `\*`), "\x02", `\?`)
	return regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(text)
}

func wildARN(pattern, text string) bool {
	if pattern == "*" {
		return true
	}
	p := strings.SplitN(pattern, ":", 6)
	x := strings.SplitN(text, ":", len(p))
	if len(x) != len(p) {
		return false
	}
	for i := range p {
		if !wild(p[i], x[i]) {
			return false
		}
	}
	return true
}

func (n naive) anyARN(list many) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		s, ok := n.substitute(p)
		return ok && wildARN(s, n.request.Resource)
	})
}

func (n naive) resourceFits(s naiveStatement) bool {
	if s.NotResource == nil {
		return n.anyARN(s.Resource)
	}
	for _, p := range s.NotResource {
		if _, ok := n.substitute(p); !ok && s.Effect == "Allow" {
			return false
		}
	}
	return !n.anyARN(s.NotResource)
}

func (n naive) actionFits(s naiveStatement) bool {
	fits := func(p string) bool { return wild(strings.ToLower(p), strings.ToLower(n.request.Action)) }
	if s.NotAction != nil {
		return !slices.ContainsFunc(s.NotAction, fits)
	}
	return slices.ContainsFunc(s.Action, fits)
}

// compare tells whether one value of the request equals one of the policy.
func (n naive) compare(op, actual, want string) bool {
	want, ok := n.substitute(want)
	if !ok {
		return false
	}
	plain := strings.NewReplacer("\x01", "*", "\x02", "?").Replace(want)
	switch op {
	case "StringEquals", "StringNotEquals":
		return actual == plain
	case "StringLike", "StringNotLike":
		return wild(want, actual)
	case "NumericLessThan":
		a, err1 := strconv.ParseFloat(actual, 64)
		b, err2 := strconv.ParseFloat(want, 64)
		return err1 == nil && err2 == nil && a < b
	case "IpAddress", "NotIpAddress":
		addr, err := netip.ParseAddr(actual)
		return err == nil && netip.MustParsePrefix(want).Contains(addr)
	case "ArnLike", "ArnNotLike":
		return wildARN(want, actual)
	}
	panic("the generator wrote " + op)
}

func (n naive) conditionFits(effect, operator, key string, want many) bool {
	actual := n.keys[strings.ToLower(key)]
	if operator == "Null" {
		return (len(actual) == 0) == (want[0] == "true")
	}
	all, isAll := strings.CutPrefix(operator, "ForAllValues:")
	anyOf, isAny := strings.CutPrefix(all, "ForAnyValue:")
	op, ifExists := strings.CutSuffix(anyOf, "IfExists")
	negated := strings.Contains(op, "Not")
	if len(actual) == 0 {
		return ifExists || isAll || negated && !isAny
	}
	if negated && effect == "Allow" {
		for _, w := range want {
			if _, ok := n.substitute(w); !ok {
				return false
			}
		}
	}
	equals := 0
	for _, a := range actual {
		if slices.ContainsFunc(want, func(w string) bool { return n.compare(op, a, w) }) {
			equals++
		}
	}
	switch {
	case isAll && negated:
		return equals == 0
	case isAll:
		return equals == len(actual)
	case isAny && negated:
		return equals < len(actual)
	case negated:
		return equals == 0
	default:
		return equals > 0
	}
}

// principalFits: 0 no, 1 by account, 2 by role or everyone, 3 by itself.
func (n naive) principalFits(s naiveStatement) int {
	if s.Principal == nil {
		return 3
	}
	p, best := n.request.Principal, 0
	for _, entry := range s.Principal["AWS"] {
		level := 0
		switch entry {
		case p.ARN:
			level = 3
		case p.RoleARN, "*":
			level = 2
		case p.Account:
			level = 1
		}
		best = max(best, level)
	}
	return best
}

// judge returns whether a policy denies, and how closely it allows.
func (n naive) judge(text string) (denies bool, allows int) {
	var doc struct{ Statement []naiveStatement }
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		panic(err)
	}
	for _, s := range doc.Statement {
		level := n.principalFits(s)
		if level == 0 || !n.actionFits(s) || !n.resourceFits(s) {
			continue
		}
		holds := true
		for operator, byKey := range s.Condition {
			for key, want := range byKey {
				holds = holds && n.conditionFits(s.Effect, operator, key, want)
			}
		}
		switch {
		case holds && s.Effect == "Deny":
			denies = true
		case holds:
			allows = max(allows, level)
		}
	}
	return denies, allows
}

// texts is a Set as text.
type texts struct {
	identity, session  []string
	boundary, resource string
	rule               policy.ResourceRule
}

func (n naive) decide(t texts) string {
	denied, identity, session, boundary, resource := false, 0, 0, 0, 0
	ask := func(text string, level *int) {
		if text == "" {
			return
		}
		d, a := n.judge(text)
		denied, *level = denied || d, max(*level, a)
	}
	for _, text := range t.identity {
		ask(text, &identity)
	}
	for _, text := range t.session {
		ask(text, &session)
	}
	ask(t.boundary, &boundary)
	ask(t.resource, &resource)
	if denied {
		return "deny"
	}
	narrowed := t.boundary != "" && boundary == 0 || len(t.session) > 0 && session == 0
	allowed := false
	if n.request.Principal.Account == home { // the resource is at home
		allowed = resource == 3 ||
			(identity > 0 || resource == 2) && !narrowed && (t.rule == policy.ResourceAdds || resource > 0)
	} else {
		allowed = identity > 0 && resource > 0 && !narrowed
	}
	if allowed {
		return "allow"
	}
	return "none"
}

// generator writes random policies out of few words, so that they often fit.
type generator struct{ *rand.Rand }

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) list(word func() string) string {
	var out []string
	for range 1 + g.IntN(2) {
		out = append(out, strconv.Quote(word()))
	}
	if len(out) == 1 && g.IntN(2) == 0 {
		return out[0]
	}
	return "[" + strings.Join(out, ",") + "]"
}

func (g generator) action() string {
	return g.pick("*", "secretsmanager:*", "secretsmanager:Get*", "secretsmanager:GetSecretValue", "secretsmanager:getsecret?alue", "secretsmanager:Put*", "kms:*")
}

func (g generator) resource() string {
	return g.pick("*", "arn:aws:secretsmanager:*", "arn:aws:secretsmanager:*:*:secret:prod/*", "arn:aws:secretsmanager:eu-*:111122223333:secret:*-??????",
		"arn:aws:secretsmanager:*:*:secret:dev/*", "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/env}/*", "arn:aws:kms:*:*:key/*", secret)
}

func (g generator) condition() string {
	prefix := g.pick("", "", "", "ForAllValues:", "ForAnyValue:")
	suffix := g.pick("", "", "IfExists")
	switch g.IntN(5) {
	case 0:
		return fmt.Sprintf(`"%s%s%s":{"aws:SourceIp":%s}`, prefix, g.pick("IpAddress", "NotIpAddress"), suffix, g.list(func() string { return g.pick("10.0.0.0/8", "203.0.113.0/24") }))
	case 1:
		return fmt.Sprintf(`"%sNumericLessThan%s":{"aws:n":%s}`, prefix, suffix, g.list(func() string { return g.pick("5", "10") }))
	case 2:
		return fmt.Sprintf(`"Null":{"%s":"%s"}`, g.pick("aws:PrincipalTag/env", "aws:TagKeys", "aws:n"), g.pick("true", "false"))
	case 3:
		return fmt.Sprintf(`"%s%s%s":{"aws:PrincipalArn":%s}`, prefix, g.pick("ArnLike", "ArnNotLike"), suffix,
			g.list(func() string {
				return g.pick("*", "arn:aws:iam::*:user/*", "arn:aws:iam::*:role/*", "arn:aws:iam::444455556666:*")
			}))
	default:
		return fmt.Sprintf(`"%s%s%s":{"%s":%s}`, prefix, g.pick("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"), suffix,
			g.pick("aws:PrincipalTag/env", "AWS:TagKeys"), g.list(func() string { return g.pick("prod", "dev", "p*", "*", "${aws:PrincipalTag/env}", "${aws:username}") }))
	}
}

func (g generator) policy(principal string) string {
	var statements []string
	for range 1 + g.IntN(2) {
		s := fmt.Sprintf(`{"Effect":"%s","%s":%s,"%s":%s`, g.pick("Allow", "Allow", "Allow", "Deny"),
			g.pick("Action", "Action", "Action", "NotAction"), g.list(g.action), g.pick("Resource", "Resource", "Resource", "NotResource"), g.list(g.resource))
		if principal != "" {
			s += `,"Principal":{"AWS":` + g.list(func() string { return g.pick("*", principal, role, home, other, alice, sessArn) }) + `}`
		}
		if g.IntN(2) == 0 {
			s += `,"Condition":{` + g.condition() + `}`
		}
		statements = append(statements, s+"}")
	}
	return document(statements...)
}

func (g generator) texts(principal string) texts {
	t := texts{rule: policy.ResourceRule(g.IntN(2))}
	for range g.IntN(3) {
		t.identity = append(t.identity, g.policy(""))
	}
	if g.IntN(4) == 0 {
		t.session = append(t.session, g.policy(""))
	}
	if g.IntN(4) == 0 {
		t.boundary = g.policy("")
	}
	if g.IntN(2) == 0 {
		t.resource = g.policy(principal)
	}
	return t
}

func (g generator) request(t *testing.T) (policy.Request, map[string][]string) {
	p := principal(t, g.pick("alice", "bob", "session", "carol"))
	r := policy.Request{Principal: p, Action: g.pick(get, "secretsmanager:PutSecretValue", "kms:Decrypt"), Resource: g.pick(secret, strings.Replace(secret, "prod", "dev", 1))}
	keys := map[string][]string{}
	set := func(key string, values ...string) {
		if g.IntN(3) > 0 {
			keys[strings.ToLower(key)] = values
			r.Context.Set(key, values...)
		}
	}
	set("aws:PrincipalTag/env", g.pick("prod", "dev", "*"))
	set("aws:TagKeys", g.pick("prod", "x"), g.pick("dev", "prod"))
	set("aws:n", g.pick("3", "7", "x"))
	set("aws:SourceIp", g.pick("10.1.1.1", "203.0.113.9", "198.51.100.1"))
	keys["aws:principalarn"] = []string{p.ARN}
	if p.RoleARN != "" {
		keys["aws:principalarn"] = []string{p.RoleARN}
	}
	if p.Name != "" {
		keys["aws:username"] = []string{p.Name}
	}
	return r, keys
}

func TestAgreesWithTheNaiveEvaluator(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	count := map[string]int{}
	for i := range 8000 {
		request, keys := g.request(t)
		text := g.texts(request.Principal.ARN)
		set := policy.Set{Rule: text.rule}
		for _, s := range text.identity {
			set.Identity = append(set.Identity, mustParse(t, s, policy.IdentityPolicy))
		}
		for _, s := range text.session {
			set.Session = append(set.Session, mustParse(t, s, policy.IdentityPolicy))
		}
		if text.boundary != "" {
			set.Boundary = mustParse(t, text.boundary, policy.IdentityPolicy)
		}
		if text.resource != "" {
			set.Resource = mustParse(t, text.resource, policy.ResourcePolicy)
		}
		want := naive{request, keys}.decide(text)
		if got := verdict(policy.Evaluate(request, set)); got != want {
			t.Fatalf("case %d: got %s, the naive evaluator says %s\nrequest %+v\nset %+v", i, got, want, request, text)
		}
		count[want]++
	}
	// The comparison is worth something only if all answers come up.
	for _, outcome := range []string{"allow", "deny", "none"} {
		if count[outcome] < 500 {
			t.Errorf("only %d cases end in %s: %v", count[outcome], outcome, count)
		}
	}
}
