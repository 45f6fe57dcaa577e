package policy_test

import (
	"errors"
	"strings"
	"testing"

	"lockstep/auth/policy"
)

func TestRefusedDocuments(t *testing.T) {
	const id, res, trust = policy.IdentityPolicy, policy.ResourcePolicy, policy.TrustPolicy
	stmt := func(members string) string { return document(`{` + members + `}`) }
	const allow = `"Effect":"Allow","Action":"*","Resource":"*"`
	condition := func(c string) string { return stmt(allow + `,"Condition":` + c) }
	who := func(p string) string { return stmt(allow + `,"Principal":` + p) }
	for _, tt := range []struct {
		name string
		kind policy.Kind
		text string
		want string // part of the error
	}{
		{"empty", id, ``, "ends too early"},
		{"not JSON", id, `{"Version":`, "ends too early"},
		{"not JSON either", id, `{"Version" "x"}`, "not JSON"},
		{"trailing comma", id, `{"Statement":[{},]}`, "not JSON"},
		{"comment", id, `{/* */}`, "not JSON"},
		{"something after", id, document(`{`+allow+`}`) + `{}`, "something follows"},
		{"not UTF-8", id, "{\"Id\":\"\xff\"}", "UTF-8"},
		{"a list", id, `[]`, "a policy is a JSON object"},
		{"a string", id, `"x"`, "a policy is a JSON object"},
		{"nested deeply", id, strings.Repeat(`[`, 50) + strings.Repeat(`]`, 50), "nested too deeply"},
		{"too large", id, document(`{`+allow+`}`) + strings.Repeat(" ", 20480), "larger than 20480"},
		{"unknown element", id, `{"Versions":"2012-10-17"}`, `unknown element "Versions"`},
		{"wrong version", id, `{"Version":"2024-01-01","Statement":[]}`, "element Version"},
		{"version as number", id, `{"Version":2012,"Statement":[]}`, "element Version"},
		{"Id as number", id, `{"Id":1}`, "element Id"},
		{"repeated name", id, `{"Version":"2012-10-17","Version":"2008-10-17"}`, `"Version" is repeated`},
		{"no statement", id, `{"Version":"2012-10-17"}`, "Statement is missing"},
		{"empty statement list", id, `{"Statement":[]}`, "Statement is empty"},
		{"statement as string", id, `{"Statement":"x"}`, "object or a list"},
		{"statement null", id, `{"Statement":null}`, "object or a list"},
		{"statement in list as string", id, `{"Statement":["x"]}`, "a statement is an object"},
		{"empty statement", id, stmt(``), "statement 1: the element Effect is missing"},
		{"no effect", id, stmt(`"Action":"*","Resource":"*"`), "Effect is missing"},
		{"effect in lower case", id, stmt(`"Effect":"allow","Action":"*","Resource":"*"`), `element Effect: must be "Allow" or "Deny"`},
		{"effect as list", id, stmt(`"Effect":["Allow"]`), "element Effect"},
		{"element in lower case", id, stmt(`"effect":"Allow"`), "element effect: unknown"},
		{"repeated in statement", id, stmt(`"Effect":"Allow","Effect":"Deny"`), `"Effect" is repeated`},
		{"no action", id, stmt(`"Effect":"Allow","Resource":"*"`), "Action is missing"},
		{"action and not", id, stmt(allow + `,"NotAction":"*"`), "exclude each other"},
		{"empty action list", id, stmt(`"Effect":"Allow","Action":[],"Resource":"*"`), "element Action: the list is empty"},
		{"empty action", id, stmt(`"Effect":"Allow","Action":"","Resource":"*"`), "element Action"},
		{"action as number", id, stmt(`"Effect":"Allow","Action":1,"Resource":"*"`), "element Action"},
		{"number among actions", id, stmt(`"Effect":"Allow","Action":["*",1],"Resource":"*"`), "must be a string"},
		{"action without service", id, stmt(`"Effect":"Allow","Action":"GetSecretValue","Resource":"*"`), "service:Action"},
		{"wildcard in service", id, stmt(`"Effect":"Allow","Action":"secrets*:Get","Resource":"*"`), "service:Action"},
		{"action with space", id, stmt(`"Effect":"Allow","Action":"kms:De crypt","Resource":"*"`), "service:Action"},
		{"action without name", id, stmt(`"Effect":"Allow","Action":"kms:","Resource":"*"`), "service:Action"},
		{"action with variable", id, stmt(`"Effect":"Allow","Action":"kms:${aws:username}","Resource":"*"`), "service:Action"},
		{"no resource", id, stmt(`"Effect":"Allow","Action":"*"`), "Resource is missing"},
		{"no resource in a resource policy", res, stmt(`"Effect":"Allow","Action":"*","Principal":"*"`), "Resource is missing"},
		{"resource in a trust policy", trust, who(`"*"`), "Resource is not allowed"},
		{"resource and not", id, stmt(allow + `,"NotResource":"*"`), "exclude each other"},
		{"resource is a name", id, stmt(`"Effect":"Allow","Action":"*","Resource":"prod/db"`), `must be an ARN or "*"`},
		{"resource ARN too short", id, stmt(`"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager"`), `must be an ARN`},
		{"resource begins with wildcard", id, stmt(`"Effect":"Allow","Action":"*","Resource":"*:prod"`), `must be an ARN`},
		{"resource is a variable", id, stmt(`"Effect":"Allow","Action":"*","Resource":"${aws:PrincipalTag/r}"`), `must be an ARN`},
		{"open variable", id, stmt(`"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:::${aws:username"`), "policy variable"},
		{"empty variable", id, stmt(`"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:::${}"`), "policy variable"},
		{"variable without prefix", id, stmt(`"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:::${user}"`), "policy variable"},
		{"default without quotes", id, stmt(`"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:::${aws:username, x}"`), "policy variable"},
		{"nested variable", id, stmt(`"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:::${aws:${x}}"`), "policy variable"},
		{"principal in an identity policy", id, who(`"*"`), "Principal is not allowed"},
		{"NotPrincipal in an identity policy", id, stmt(`"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":"*"`), "Principal is not allowed"},
		{"no principal", res, stmt(allow), "Principal is missing"},
		{"no principal in a trust policy", trust, stmt(`"Effect":"Allow","Action":"sts:AssumeRole"`), "Principal is missing"},
		{"principal and not", res, stmt(allow + `,"Principal":"*","NotPrincipal":"*"`), "exclude each other"},
		{"NotPrincipal with Allow", res, stmt(allow + `,"NotPrincipal":{"AWS":"111122223333"}`), "NotPrincipal goes with Deny only"},
		{"principal is an ARN", res, who(`"` + alice + `"`), "element Principal"},
		{"principal names nobody", res, who(`{}`), "names nobody"},
		{"principal list empty", res, who(`{"AWS":[]}`), "the list is empty"},
		{"principal of unknown kind", res, who(`{"User":"alice"}`), "not a valid principal"},
		{"principal in lower case", res, who(`{"aws":"*"}`), "not a valid principal"},
		{"principal with wildcard", res, who(`{"AWS":"arn:aws:iam::111122223333:user/*"}`), "not a valid principal"},
		{"principal is a group", res, who(`{"AWS":"arn:aws:iam::111122223333:group/dev"}`), "not a valid principal"},
		{"principal is a secret", res, who(`{"AWS":"` + secret + `"}`), "not a valid principal"},
		{"principal without name", res, who(`{"AWS":"arn:aws:iam::111122223333:user/"}`), "not a valid principal"},
		{"principal of short account", res, who(`{"AWS":"11112222333"}`), "not a valid principal"},
		{"principal account with letters", res, who(`{"AWS":"arn:aws:iam::11112222333x:root"}`), "not a valid principal"},
		{"session without name", res, who(`{"AWS":"arn:aws:sts::111122223333:assumed-role/api"}`), "not a valid principal"},
		{"service with wildcard", res, who(`{"Service":"*"}`), "not a valid principal"},
		{"service without domain", res, who(`{"Service":"secretsmanager"}`), "not a valid principal"},
		{"everyone federated", res, who(`{"Federated":"*"}`), "not a valid principal"},
		{"Sid with space", id, stmt(`"Sid":"a b",` + allow), "element Sid"},
		{"Sid as number", id, stmt(`"Sid":1,` + allow), "element Sid"},
		{"Sid twice", id, document(`{"Sid":"a",`+allow+`}`, `{"Sid":"a",`+allow+`}`), `statement "a", element Sid: "a" is used twice`},
		{"condition as list", id, condition(`[]`), "element Condition: must be an object"},
		{"unknown operator", id, condition(`{"StringMatches":{"aws:k":"x"}}`), `"StringMatches": unknown condition operator`},
		{"operator in lower case", id, condition(`{"stringequals":{"aws:k":"x"}}`), "unknown condition operator"},
		{"unknown prefix", id, condition(`{"ForSomeValues:StringEquals":{"aws:k":"x"}}`), "unknown condition operator"},
		{"NullIfExists", id, condition(`{"NullIfExists":{"aws:k":"true"}}`), "unknown condition operator"},
		{"ForAnyValue:Null", id, condition(`{"ForAnyValue:Null":{"aws:k":"true"}}`), "unknown condition operator"},
		{"repeated operator", id, condition(`{"Bool":{"aws:k":"true"},"Bool":{"aws:l":"true"}}`), `"Bool" is repeated`},
		{"operator without keys", id, condition(`{"StringEquals":{}}`), "keys and values"},
		{"operator with string", id, condition(`{"StringEquals":"x"}`), "keys and values"},
		{"key without prefix", id, condition(`{"StringEquals":{"user":"x"}}`), "prefix:name"},
		{"key twice in other case", id, condition(`{"StringEquals":{"aws:k":"x","AWS:K":"y"}}`), "repeated"},
		{"key without values", id, condition(`{"StringEquals":{"aws:k":[]}}`), "no values"},
		{"null value", id, condition(`{"StringEquals":{"aws:k":null}}`), "string, number or boolean"},
		{"object as value", id, condition(`{"StringEquals":{"aws:k":{}}}`), "string, number or boolean"},
		{"not a number", id, condition(`{"NumericEquals":{"aws:k":"ten"}}`), "must be a number"},
		{"infinite number", id, condition(`{"NumericEquals":{"aws:k":"inf"}}`), "must be a number"},
		{"not a date", id, condition(`{"DateEquals":{"aws:k":"tomorrow"}}`), "must be a date"},
		{"not a boolean", id, condition(`{"Bool":{"aws:k":"yes"}}`), "true or false"},
		{"Null with a word", id, condition(`{"Null":{"aws:k":"x"}}`), "true or false"},
		{"not an address", id, condition(`{"IpAddress":{"aws:SourceIp":"10.0.0"}}`), "IP address"},
		{"prefix too long", id, condition(`{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`), "IP address"},
		{"not base64", id, condition(`{"BinaryEquals":{"aws:k":"%"}}`), "base64"},
		{"not an ARN", id, condition(`{"ArnLike":{"aws:SourceArn":"topic"}}`), "ARN"},
		{"variable in a condition", id, condition(`{"StringEquals":{"aws:k":"${aws:username"}}`), "policy variable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse(tt.text, tt.kind)
			var syntax *policy.SyntaxError
			if !errors.As(err, &syntax) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a syntax error with %q", err, tt.want)
			}
		})
	}
}

func TestAcceptedDocuments(t *testing.T) {
	for name, tt := range map[string]struct {
		kind policy.Kind
		text string
	}{
		"one statement without list": {policy.IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`},
		"statement before version":   {policy.IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/${aws:username}"},"Version":"2012-10-17"}`},
		"with Id":                    {policy.IdentityPolicy, `{"Id":"x","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`},
		"empty Sids":                 {policy.IdentityPolicy, document(`{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"}`, `{"Sid":"","Effect":"Deny","Action":"*","Resource":"*"}`)},
		"Sid with spaces":            {policy.ResourcePolicy, document(`{"Sid":"let them in","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`)},
		"key policy":                 {policy.ResourcePolicy, document(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}`)},
		"trust policy":               {policy.TrustPolicy, document(`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`)},
		"largest": {policy.IdentityPolicy, func() string {
			d := document(`{"Effect":"Allow","Action":"*","Resource":"*"}`)
			return d + strings.Repeat(" ", 20480-len(d))
		}()},
	} {
		p, err := policy.Parse(tt.text, tt.kind)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.String() != tt.text || p.Kind() != tt.kind {
			t.Errorf("%s: the policy does not give back its text or kind", name)
		}
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	_, err := policy.Parse("{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\n    \"Sid\": \"read\",\n    \"Effect\": \"Allow\",\n    \"Action\": [\"secretsmanager:Get*\",\n      \"Get\"],\n    \"Resource\": \"*\"\n  }]\n}", policy.IdentityPolicy)
	var syntax *policy.SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatal(err)
	}
	if syntax.Line != 7 || syntax.Column != 7 || syntax.Statement != `"read"` || syntax.Element != "Action" {
		t.Errorf("got %+v", syntax)
	}
	if want := `malformed policy, line 7 column 7, statement "read", element Action: "Get" must be "*" or "service:Action"`; err.Error() != want {
		t.Errorf("got %s", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range parts {
		f.Add(document(text), 0)
		f.Add(document(text), 1)
	}
	f.Add(document(`{"Effect":"Allow","Principal":"*","Action":"a:*b?c*","NotResource":["arn:aws:x:*:${aws:a, 'b'}:c:${*}"],"Condition":{"ForAllValues:StringLikeIfExists":{"aws:a":["*?","${aws:b}"]},"IpAddress":{"aws:c":"::/0"}}}`), 1)
	f.Add("{\"a\":[{}", 2)
	f.Fuzz(func(t *testing.T, text string, kind int) {
		k := policy.Kind(uint(kind) % 3)
		p, err := policy.Parse(text, k)
		if err != nil {
			var syntax *policy.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("an error of another type: %v", err)
			}
			return
		}
		again, err := policy.Parse(p.String(), k)
		if err != nil {
			t.Fatalf("the text of a parsed policy does not parse: %v", err)
		}
		request := policy.Request{Principal: policy.Principal{Kind: policy.User, ARN: alice, Account: home, Name: "alice"}, Action: get, Resource: secret, Context: context("aws:a=x,y;aws:c=10.0.0.1")}
		for _, set := range []policy.Set{{Identity: []*policy.Policy{p}}, {Resource: p}} {
			if set.Resource != nil {
				p.Findings()
				policy.IsPublic(p)
			}
			one := policy.Evaluate(request, set)
			if set.Resource != nil {
				set.Resource = again
			} else {
				set.Identity = []*policy.Policy{again}
			}
			if two := policy.Evaluate(request, set); one != two {
				t.Fatalf("one policy, two decisions: %+v and %+v", one, two)
			}
		}
	})
}
