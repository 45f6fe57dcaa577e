package jsonvalue_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

// read reads a value as a rotator with these words would.
func read(v lockstep.Value) (*jsonvalue.Login, error) {
	return jsonvalue.ReadLogin(v, jsonvalue.LoginForm{
		Engine: "kind", Engines: []string{"postgres", "postgresql"}, Port: 5432, Database: "first",
	})
}

func TestLogin(t *testing.T) {
	const rest = `"username":"u","password":"p"`
	for text, want := range map[string]string{
		`{"host":"db",` + rest + `}`:                                           "db:5432 first prefer",
		`{"engine":"postgresql","host":"db","port":5433,` + rest + `}`:         "db:5433 first prefer",
		`{"host":"db","port":"5433",` + rest + `}`:                             "db:5433 first prefer",
		`{"host":"db","port":"","ssl":"",` + rest + `}`:                        "db:5432 first prefer",
		`{"host":"db","port":null,"dbname":null,"ssl":null,` + rest + `}`:      "db:5432 first prefer",
		`{"host":"db","dbname":"x",` + rest + `}`:                              "db:5432 x prefer",
		`{"host":"[fe80::1%eth0]",` + rest + `}`:                               "[fe80::1%eth0]:5432 first prefer",
		`{"host":"db","ssl":true,` + rest + `}`:                                "db:5432 first verify-full",
		`{"host":"db","ssl":"false",` + rest + `}`:                             "db:5432 first disable",
		`{"ssl":false,"host":"db",` + rest + `,"sslmode":"require","x":[1]}`:   "db:5432 first require",
		`{"host":"db","masterarn":"arn:x","probes":["SELECT 1"],` + rest + `}`: "db:5432 first prefer arn:x SELECT 1",
	} {
		l, err := read(lockstep.StringValue(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", l.Address(), l.Database, l.SSLMode, l.MasterARN, strings.Join(l.Probes, "; ")))
		if got != want || l.User != "u" || l.Password != "p" {
			t.Errorf("%s: got %q", text, got)
		}
	}
}

func TestLoginEndpoints(t *testing.T) {
	const rest = `"host":"db","username":"u","password":"p","endpoints":`
	l, err := read(lockstep.StringValue(`{` + rest + `[{"host":"r1","kind":"replica"},{"host":"[::1]","port":6432,"kind":"pooler"}]}`))
	if err != nil || len(l.Endpoints) != 2 || l.Endpoints[0].Address() != "r1:5432" || l.Endpoints[1].Address() != "[::1]:6432" {
		t.Fatalf("%+v, %v", l, err)
	}
	if at := l.At(l.Endpoints[1]); at.Address() != "[::1]:6432" || at.Password != "p" || l.Host != "db" {
		t.Errorf("%+v", at)
	}
	for _, text := range []string{
		`"planted"`, `["planted:1"]`, `{}`, `[{"host":"planted"}]`, `[{"host":"a,planted","kind":"pooler"}]`, `[{"kind":"pooler"}]`,
		`[{"host":"a","port":70000,"kind":"pooler"}]`, `[{"host":"a","kind":"planted"}]`,
		"[" + strings.Repeat(`{"host":"a","kind":"pooler"},`, 100) + `{"host":"a","kind":"pooler"}]`,
	} {
		_, err := read(lockstep.StringValue(`{` + rest + text + `}`))
		if !errors.Is(err, lockstep.ErrInvalid) || !strings.Contains(err.Error(), "endpoints") || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestLoginServer: case and a final dot are no other server, another name is.
func TestLoginServer(t *testing.T) {
	named := func(host string) *jsonvalue.Login {
		l, err := read(lockstep.StringValue(`{"host":"` + host + `","username":"u","password":"p"}`))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a := named("DB.example.")
	if !a.SameServer(named("db.EXAMPLE")) || a.SameServer(named("10.0.0.1")) {
		t.Error("servers are told apart wrongly")
	}
	if got := a.Account("x").String(); got != "kind|db.example|5432|x" {
		t.Errorf("account %q", got)
	}
}

func TestLoginRefuses(t *testing.T) {
	for text, names := range map[string]string{
		``:                                  "JSON",
		`null`:                              "JSON",
		`"planted"`:                         "JSON",
		`{"host":"planted"`:                 "JSON",
		`{"host":"db"} planted`:             "JSON",
		`{"host":"db"}{}`:                   "JSON",
		"{\"host\":\"db\xff\"}":             "JSON",
		`{}`:                                "host",
		`{"host":"planted","password":"p"}`: "username",
		`{"host":"planted","username":"u"}`: "password",
		`{"host":"db","username":"u","password":""}`:                                       "password",
		`{"host":"db","username":7,"password":"p"}`:                                        "username",
		`{"host":"db","username":"u","password":["planted"]}`:                              "password",
		`{"host":"db","username":"u","password":"p","password":"planted"}`:                 "password",
		`{"host":"db","username":"u","password":"plan\u0000ted"}`:                          "password",
		`{"host":"a,b","username":"u","password":"p"}`:                                     "host",
		`{"host":"/planted","username":"u","password":"p"}`:                                "host",
		`{"host":"db' user='x","username":"u","password":"p"}`:                             "host",
		`{"host":"db","username":"u","password":"p","port":0}`:                             "port",
		`{"host":"db","username":"u","password":"p","port":70000}`:                         "port",
		`{"host":"db","username":"u","password":"p","port":54.5}`:                          "port",
		`{"host":"db","username":"u","password":"p","port":{}}`:                            "port",
		`{"host":"db","username":"u","password":"p","sslmode":"planted"}`:                  "sslmode",
		`{"host":"db","username":"u","password":"p","ssl":"planted"}`:                      "ssl",
		`{"host":"db","username":"u","password":"p","probes":"planted"}`:                   "probes",
		`{"engine":"planted","host":"db","username":"u","password":"p"}`:                   "engine",
		`{"host":"db","username":"u","password":"p","port":"planted","unknown":"planted"}`: "port",
	} {
		_, err := read(lockstep.StringValue(text))
		if !errors.Is(err, lockstep.ErrInvalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: got %v, want ErrInvalid naming %q", text, err, names)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: the error shows the value: %v", text, err)
		}
	}
}

// TestLoginWithKeepsTheRest: all but the two fields keeps bytes and place.
func TestLoginWithKeepsTheRest(t *testing.T) {
	const form = `{ "z": 1.50,
	"password" : %P, "x":{"b":[1,2 ],"a":"<&é\u00e9"},"username":%U ,"big":12345678901234567890 }` + "\n"
	fill := func(user, password string) string {
		return strings.NewReplacer("%U", user, "%P", password).Replace(form)
	}
	text := strings.Replace(fill(`"old"`, `"o\u006cd"`), `"z"`, `"host":"db","z"`, 1)
	v, err := read(lockstep.BinaryValue([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.With("new\"<user", `pass\word&`)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(fill(`"new\"<user"`, `"pass\\word&"`), `"z"`, `"host":"db","z"`, 1)
	if got.Reveal() != want || !got.IsBinary() {
		t.Errorf("got\n%s\nwant\n%s", got.Reveal(), want)
	}
}

func FuzzLogin(f *testing.F) {
	f.Add(`{"engine":"postgres","host":"db","port":"5432","username":"u","password":"p","x":[{}]}`, "u_clone", "new")
	f.Add(`{"password":"p", "host":"::1","ssl":"true","username":"u"}`, "", "\"\\")
	f.Add(`{"host":"a","host":"b"}`, "a", "b")
	f.Fuzz(func(t *testing.T, text, user, password string) {
		v, err := read(lockstep.StringValue(text))
		if err != nil {
			if !errors.Is(err, lockstep.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		next, err := v.With(user, password)
		if err != nil {
			t.Fatal(err)
		}
		var before, after map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal([]byte(text), &before), json.Unmarshal(next.Bytes(), &after)); err != nil {
			t.Fatal(err)
		}
		for name, raw := range before {
			if name != "username" && name != "password" && string(after[name]) != string(raw) {
				t.Errorf("field %q changed", name)
			}
		}
		again, err := read(next)
		// What is no UTF-8 comes back as JSON writes it; an empty name is refused.
		if utf8.ValidString(user) && utf8.ValidString(password) && user != "" && password != "" &&
			!strings.ContainsRune(user+password, 0) && (err != nil || again.User != user || again.Password != password) {
			t.Fatalf("got %s from %s: %v", next.Reveal(), text, err)
		}
	})
}
