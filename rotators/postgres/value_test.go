package postgres

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lockstep"
)

func TestParse(t *testing.T) {
	plain := value{host: "db", port: 5432, database: "postgres", user: "u", password: "p", sslmode: "prefer"}
	for text, want := range map[string]func(*value){
		`{"host":"db","username":"u","password":"p"}`:                                            func(*value) {},
		`{"engine":"postgres","host":"db","username":"u","password":"p","port":5433}`:            func(v *value) { v.port = 5433 },
		`{"host":"db","username":"u","password":"p","port":"5433"}`:                              func(v *value) { v.port = 5433 },
		`{"host":"db","username":"u","password":"p","port":""}`:                                  func(*value) {},
		`{"host":"db","username":"u","password":"p","port":null,"dbname":null}`:                  func(*value) {},
		`{"host":"db","username":"u","password":"p","dbname":"x"}`:                               func(v *value) { v.database = "x" },
		`{"host":"[fe80::1%eth0]","username":"u","password":"p"}`:                                func(v *value) { v.host = "fe80::1%eth0" },
		`{"host":"db","username":"u","password":"p","ssl":true}`:                                 func(v *value) { v.sslmode = "verify-full" },
		`{"host":"db","username":"u","password":"p","ssl":"false"}`:                              func(v *value) { v.sslmode = "disable" },
		`{"ssl":false,"host":"db","username":"u","password":"p","sslmode":"require","ssl2":[1]}`: func(v *value) { v.sslmode = "require" },
		`{"host":"db","username":"u","password":"p","masterarn":"arn:x","probes":["SELECT 1"]}`: func(v *value) {
			v.masterARN, v.probes = "arn:x", []string{"SELECT 1"}
		},
	} {
		want0 := plain
		want(&want0)
		got, err := parse(lockstep.StringValue(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got.text, got.userAt, got.passAt = nil, span{}, span{}
		if !reflect.DeepEqual(*got, want0) {
			t.Errorf("%s: got %+v", text, *got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const long = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" // 64
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
		`{"host":"db","username":"` + long + `","password":"p"}`:                           "username",
		`{"host":"db","username":"u","password":"p","dbname":"` + long + `"}`:              "dbname",
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
		_, err := parse(lockstep.StringValue(text))
		if !errors.Is(err, lockstep.ErrInvalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: got %v, want ErrInvalid naming %q", text, err, names)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: the error shows the value: %v", text, err)
		}
	}
}

// TestWithKeepsTheRest: all but the two fields keeps bytes and place.
func TestWithKeepsTheRest(t *testing.T) {
	const form = `{ "z": 1.50,
	"password" : %P, "x":{"b":[1,2 ],"a":"<&é\u00e9"},"username":%U ,"big":12345678901234567890 }` + "\n"
	fill := func(user, password string) string {
		return strings.NewReplacer("%U", user, "%P", password).Replace(form)
	}
	text := strings.Replace(fill(`"old"`, `"o\u006cd"`), `"z"`, `"host":"db","z"`, 1)
	v, err := parse(lockstep.BinaryValue([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.with("new\"<user", `pass\word&`)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(fill(`"new\"<user"`, `"pass\\word&"`), `"z"`, `"host":"db","z"`, 1)
	if got.Reveal() != want || !got.IsBinary() {
		t.Errorf("got\n%s\nwant\n%s", got.Reveal(), want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"engine":"postgres","host":"db","port":"5432","username":"u","password":"p","x":[{}]}`, "u_clone", "new")
	f.Add(`{"password":"p", "host":"::1","ssl":"true","username":"u"}`, "", "\"\\")
	f.Add(`{"host":"a","host":"b"}`, "a", "b")
	f.Fuzz(func(t *testing.T, text, user, password string) {
		v, err := parse(lockstep.StringValue(text))
		if err != nil {
			if !errors.Is(err, lockstep.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		next, err := v.with(user, password)
		if err != nil {
			t.Fatal(err)
		}
		var before, after map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal([]byte(text), &before), json.Unmarshal(next.Bytes(), &after)); err != nil {
			t.Fatal(err)
		}
		wantUser, _ := quoteJSON(user)
		wantPassword, _ := quoteJSON(password)
		before["username"], before["password"] = wantUser, wantPassword
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("got %s from %s", next.Reveal(), text)
		}
	})
}

func TestSplitList(t *testing.T) {
	for in, want := range map[string][]string{
		`public`: {"public"}, `"$user", public`: {"$user", "public"}, `"a""b" , C`: {`a"b`, "c"}, `""`: {""}, ``: nil,
		`"a,b", "; DROP --"`: {"a,b", "; DROP --"},
	} {
		if got, ok := splitList(in); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{`"a`, `a,`, `,a`, `a b`, `"a"b`, `a"b"`} {
		if got, ok := splitList(in); ok {
			t.Errorf("%s: got %q, want it refused", in, got)
		}
	}
}

func FuzzSplitList(f *testing.F) {
	f.Add(`"$user", public`)
	f.Add(`"a""b`)
	f.Fuzz(func(t *testing.T, s string) {
		items, ok := splitList(s)
		if !ok {
			return
		}
		quoted := make([]string, len(items))
		for i, item := range items {
			quoted[i] = `"` + strings.ReplaceAll(item, `"`, `""`) + `"`
		}
		again, ok := splitList(strings.Join(quoted, ", "))
		if !ok || len(again) != len(items) {
			t.Fatalf("%q became %q", items, again)
		}
	})
}

// TestVerifier: the form, and one verifier computed elsewhere.
func TestVerifier(t *testing.T) {
	a, err := verifier("pencil")
	if err != nil {
		t.Fatal(err)
	}
	b, err := verifier("pencil")
	if err != nil {
		t.Fatal(err)
	}
	if a == b {
		t.Error("the salt is not random")
	}
	if !wellFormed.MatchString(a) || strings.Contains(a, "pencil") {
		t.Errorf("malformed: %s", a)
	}
	// The example of RFC 7677, section 3, gives the salt; the keys were
	// computed from it by another implementation (Python's hashlib).
	salt := []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81}
	got, err := verifierWith("pencil", salt, 4096)
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
}
