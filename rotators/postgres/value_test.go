package postgres

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"lockstep"
)

// TestParse: PostgreSQL's own limits; jsonvalue's tests have the rest.
func TestParse(t *testing.T) {
	const name, more = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "x" // 63
	for _, c := range []struct{ user, database, fault string }{
		{name, name, ""},
		{name + more, "d", `the field "username" is longer than 63 bytes`},
		{"u", name + more, `the field "dbname" is longer than 63 bytes`},
	} {
		v, err := parse(lockstep.StringValue(`{"host":"db","username":"` + c.user + `","password":"p","dbname":"` + c.database + `"}`))
		switch {
		case c.fault == "" && (err != nil || v.Port != 5432):
			t.Errorf("%+v, %v", v, err)
		case c.fault != "" && (!errors.Is(err, lockstep.ErrInvalid) || !strings.HasPrefix(err.Error(), c.fault)):
			t.Errorf("%v, want %s", err, c.fault)
		}
	}
	if v, err := parse(lockstep.StringValue(`{"host":"db","username":"u","password":"p"}`)); err != nil || v.Database != "postgres" {
		t.Errorf("%+v, %v", v, err)
	}
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
