package httptoken

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

func scopeOf(t testing.TB, secret, admin string) *scope {
	t.Helper()
	s := &scope{now: time.Unix(1_700_000_000, 0), marker: "lockstep-0-0-1", page: 3, size: 50}
	var err error
	if s.secret, err = jsonvalue.Parse(lockstep.StringValue(secret)); err != nil {
		t.Fatal(err)
	}
	if admin != "" {
		if s.admin, err = jsonvalue.Parse(lockstep.StringValue(admin)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestTemplatesAsJSON(t *testing.T) {
	s := scopeOf(t, `{"a":"x \"y\"","n":7,"l":["p",1],"no":null,"empty":"","t":true}`, `{"b":"<&>"}`)
	for _, row := range []struct{ template, want string }{
		{"", `""`},
		{"plain", `"plain"`},
		{"${secret.a}", `"x \"y\""`},
		{"is ${secret.a}!", `"is x \"y\"!"`},
		{"${secret.n}", `7`},
		{"n${secret.n}", `"n7"`},
		{"${text(secret.n)}", `"7"`},
		{`${number("12.5")}`, `12.5`},
		{"${secret.l}", `["p",1]`},
		{"${secret.t}${secret.n}", `"true7"`},
		{"${admin.b}", `"<&>"`},
		{"${secret.no or admin.b}", `"<&>"`},
		{`${secret.empty or secret.gone or "d}e"}`, `"d}e"`},
		{"${secret.gone or nothing}", ``},
		{"${ marker }", `"lockstep-0-0-1"`},
		{"${page}/${size}", `"3/50"`},
		{"${now}", `"2023-11-14T22:13:20Z"`},
		{"${unix}", `1700000000`},
		{`${unix-in("10m")}`, `1700000600`},
		{`${date-in("48h")}`, `"2023-11-16"`},
		{`${time-in("1h")}`, `"2023-11-14T23:13:20Z"`},
		{"$${secret.a} costs $5", `"${secret.a} costs $5"`},
		{"${base64(secret.a)}", `"eCAieSI="`},
		{`${base64url("??>")}`, `"Pz8-"`},
		{`${basic("u", admin.b)}`, `"Basic dTo8Jj4="`},
		{"${json-escape(secret.a)}", `"x \\\"y\\\""`},
		{"${url-escape(secret.a)}", `"x+%22y%22"`},
	} {
		tpl, err := parseTemplate(row.template)
		if err != nil {
			t.Errorf("%s: %v", row.template, err)
			continue
		}
		got, err := tpl.json(s)
		if err != nil || string(got) != row.want {
			t.Errorf("%s: %s, %v; want %s", row.template, got, err, row.want)
		}
	}
}

func TestTemplatesThatCannotBeFilledIn(t *testing.T) {
	s := scopeOf(t, `{"l":["planted-marker"],"o":{},"a":"planted-marker","colon":"a:b"}`, "")
	for template, says := range map[string]string{
		"${secret.gone}":                    `the secret's value lacks the field "gone"`,
		"${admin.token}":                    "names no admin secret",
		"x${secret.l}":                      "a list, fields or nothing",
		"x${secret.o}":                      "a list, fields or nothing",
		"${base64(secret.l)}":               "a list, fields or nothing",
		"${number(secret.a)}":               "no number",
		`${basic(secret.colon, secret.a)}`:  "colon",
		`${jwt-rs256("1", secret.a, "9m")}`: "not in PEM form",
	} {
		tpl, err := parseTemplate(template)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpl.json(s)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "planted-marker") {
			t.Errorf("%s: %v; want …%s…", template, err, says)
		}
	}
}

// TestValuesStayInTheirPlace writes values that want to be more than values.
func TestValuesStayInTheirPlace(t *testing.T) {
	const base = "https://api.example.com"
	for _, row := range []struct{ url, value, want string }{
		{base + "/keys/${secret.v}", "a/../../admin", base + "/keys/a%2F..%2F..%2Fadmin"},
		{base + "/keys/${secret.v}?x=1", "a?x=2&y=3#z", base + "/keys/a%3Fx=2&y=3%23z?x=1"},
		{base + "/keys?k=${secret.v}&z=1", "1&admin=true#x", base + "/keys?k=1%26admin%3Dtrue%23x&z=1"},
		{base + "/keys/${secret.v}", "@evil.example", base + "/keys/@evil.example"},
		{base + "/keys/${secret.v}", "a\r\nHost: evil", base + "/keys/a%0D%0AHost:%20evil"},
		{base + "/${secret.v}/x", "//evil.example", base + "/%2F%2Fevil.example/x"},
		{base + "/keys/${secret.v}", "..", ""},
		{base + "/keys/.${secret.v}", ".", ""},
		{base + "/keys/${secret.v}/x", "", ""},
		{"${secret.v}/keys", "https://gitlab.example.com/sub/", "https://gitlab.example.com/sub/keys"},
		{"${secret.v}/keys", "https://gitlab.example.com?x=", ""},
		{"${secret.v}/keys", "https://gitlab.example.com/#", ""},
		{"${secret.v}/keys", "https://u:p@gitlab.example.com", ""},
		{"${secret.v}/keys", "file:///etc/passwd", ""},
		{"${secret.v}/keys", "gitlab.example.com", ""},
		{"${secret.v}/keys", "https://", ""},
		{"${secret.v}/keys", "https://a b", ""},
	} {
		a, err := parseAddress(row.url)
		if err != nil {
			t.Fatalf("%s: %v", row.url, err)
		}
		raw, err := quote(row.value)
		if err != nil {
			t.Fatal(err)
		}
		u, err := a.write(scopeOf(t, `{"v":`+string(raw)+`}`, ""))
		switch {
		case row.want == "" && err == nil:
			t.Errorf("%s with %q: %s; want an error", row.url, row.value, u)
		case row.want != "" && (err != nil || u.String() != row.want):
			t.Errorf("%s with %q: %v, %v; want %s", row.url, row.value, u, err, row.want)
		}
	}
	tpl, err := parseTemplate("Bearer ${secret.v}")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{`a\r\nX-Admin: 1`, `a\u0000`, `a\n`, `\u007f`} {
		if got, _, err := tpl.header(scopeOf(t, `{"v":"`+v+`"}`, "")); err == nil {
			t.Errorf("header %q", got)
		}
	}
}

// FuzzTemplate writes any value by any template: JSON stays JSON with the value
// whole, and a URL keeps its host and the number of its parts.
func FuzzTemplate(f *testing.F) {
	f.Add("a ${secret.v} b", `"}, "admin": true`)
	f.Add("${secret.v or base64(secret.v)}", "\x00/../?#@")
	f.Fuzz(func(t *testing.T, template, value string) {
		raw, err := quote(value)
		if err != nil {
			t.Fatal(err)
		}
		s := scopeOf(t, `{"v":`+string(raw)+`}`, "")
		if tpl, err := parseTemplate(template); err == nil {
			if got, err := tpl.json(s); err == nil && got != nil && !json.Valid(got) {
				t.Errorf("%q with %q: %s is no JSON", template, value, got)
			}
		}
		var back string
		if tpl, _ := parseTemplate("<${secret.v}>"); value != "" {
			if got, err := tpl.json(s); err != nil || json.Unmarshal(got, &back) != nil || back != "<"+string([]rune(value))+">" {
				t.Errorf("%q came back as %q, %v", value, back, err)
			}
		}
		a, err := parseAddress("https://api.example.com/a/${secret.v}/b?c=${secret.v}&d=e")
		if err != nil {
			t.Fatal(err)
		}
		u, err := a.write(s)
		if err != nil {
			return
		}
		q, qerr := url.ParseQuery(u.RawQuery)
		if u.Host != "api.example.com" || strings.Count(u.EscapedPath(), "/") != 3 || qerr != nil || len(q) != 2 || q.Get("d") != "e" || u.Fragment != "" {
			t.Errorf("%q leads to %s", value, u)
		}
	})
}

func TestPaths(t *testing.T) {
	const doc = `{"a":{"b":[{"c":"x"},{"c":7}],"d.e":true,"null":null},"l":[[1,2]]}`
	for path, want := range map[string]string{
		"$": doc, "a.b[0].c": `"x"`, "$.a.b[1].c": "7", `a."d.e"`: "true", "a.null": "", "a.gone.b": "", "a.b[2]": "",
		"a.b.c": "", "l[0][1]": "2", "a[0]": "", "a.b[0].c.d": "",
	} {
		p, err := parsePath(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := p.find(json.RawMessage(doc)); string(got) != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if p, err := parsePath("$[1]"); err != nil || string(p.find(json.RawMessage(`[1,2]`))) != "2" {
		t.Errorf("a position in the whole: %v", err)
	}
	for _, path := range []string{"", ".", "a.", ".a", "a[", "a[x]", "a[-1]", "a[99999]", "a b", "$a", `a."b`, "a..b", "a.*", "a" + strings.Repeat("[0]", 40)} {
		if _, err := parsePath(path); err == nil {
			t.Errorf("%q is a path", path)
		}
	}
}

func FuzzPath(f *testing.F) {
	f.Add("a.b[0].c", `{"a":{"b":[{"c":1}]}}`)
	f.Add(`$."x.y"`, `{"x.y":null}`)
	f.Fuzz(func(t *testing.T, path, doc string) {
		p, err := parsePath(path)
		if err != nil {
			return
		}
		got := p.find(json.RawMessage(doc))
		if got != nil && json.Valid([]byte(doc)) && !json.Valid(got) {
			t.Errorf("%q in %q: %q", path, doc, got)
		}
	})
}
