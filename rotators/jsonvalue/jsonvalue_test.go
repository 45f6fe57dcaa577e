package jsonvalue_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

func TestWithKeepsEverythingElse(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{`{"password":"old"}`, `{"password":"a<b"}`},
		{" {\n \"n\": 12345678901234567890.10, \"password\" : \"old\" ,\"z\":[ 1,2 ] }\n", " {\n \"n\": 12345678901234567890.10, \"password\" : \"a<b\" ,\"z\":[ 1,2 ] }\n"},
		{`{"pass\u0077ord":null,"x":"é"}`, `{"pass\u0077ord":"a<b","x":"é"}`},
	} {
		o, err := jsonvalue.Parse(lockstep.StringValue(c.from))
		if err != nil {
			t.Fatal(err)
		}
		v, err := o.With("password", "a<b")
		if err != nil || string(v.Bytes()) != c.to {
			t.Errorf("%s: %s, %v", c.from, v.Bytes(), err)
		}
		if _, err := o.With("missing", "x"); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("a field that is not there: %v", err)
		}
	}
	o, err := jsonvalue.Parse(lockstep.BinaryValue([]byte(`{"p":"x"}`)))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := o.With("p", "y"); err != nil || !v.IsBinary() {
		t.Errorf("binary stays binary: %v", err)
	}
	if _, err := o.With("p", strings.Repeat("y", lockstep.MaxValueBytes)); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("too long: %v", err)
	}
}

func TestNoObject(t *testing.T) {
	for _, text := range []string{"", "planted", "[]", `"planted"`, "{", `{"a":1`, `{"a":1}x`, `{"a":1}{}`, `{1:2}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}"} {
		_, err := jsonvalue.Parse(lockstep.StringValue(text))
		if !errors.Is(err, lockstep.ErrInvalid) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFields(t *testing.T) {
	o, err := jsonvalue.Parse(lockstep.StringValue(`{"s":"x","e":"","n":null,"p":6379,"ps":"6380","bad":70000,"t":true,"ts":"False","l":["a"],"ll":[["a","b"]],"z":"a\u0000"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"s": "x", "e": "none", "n": "none", "missing": "none"} {
		if got, err := o.Text(name, "none"); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]int{"p": 6379, "ps": 6380, "missing": 7} {
		if got, err := o.Port(name, 7); err != nil || got != want {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	yes, err := o.Truth("t")
	no, err2 := o.Truth("ts")
	if !yes || no || err != nil || err2 != nil {
		t.Errorf("truth: %v %v %v %v", yes, no, err, err2)
	}
	one, err := o.List("l")
	two, err2 := o.Lists("ll")
	if len(one) != 1 || len(two) != 1 || err != nil || err2 != nil {
		t.Errorf("lists: %v %v %v %v", one, two, err, err2)
	}
	var wrong []error
	for _, read := range []func() error{
		func() error { _, err := o.Text("p", ""); return err },
		func() error { _, err := o.Text("z", ""); return err },
		func() error { _, err := o.Port("bad", 0); return err },
		func() error { _, err := o.Port("s", 0); return err },
		func() error { _, err := o.Truth("s"); return err },
		func() error { _, err := o.List("s"); return err },
		func() error { _, err := o.Lists("l"); return err },
	} {
		wrong = append(wrong, read())
	}
	for i, err := range wrong {
		if !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if !o.Has("s") || o.Has("n") || o.Has("missing") {
		t.Error("has")
	}
}

// FuzzWith: whatever parses can be written, and reads the same but for the one
// field.
func FuzzWith(f *testing.F) {
	f.Add(`{"password":"x","a":[1,{"b":null}]}`, "new")
	f.Add(`{"pass\u0077ord":1}`, "\"\\\u2028")
	f.Fuzz(func(t *testing.T, text, next string) {
		o, err := jsonvalue.Parse(lockstep.StringValue(text))
		if err != nil {
			return
		}
		v, err := o.With("password", next)
		if err != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &before) != nil || json.Unmarshal(v.Bytes(), &after) != nil || len(before) != len(after) {
			t.Fatalf("%q became %q", text, v.Bytes())
		}
		for name, raw := range before {
			if name != "password" && string(after[name]) != string(raw) {
				t.Errorf("field %q changed", name)
			}
		}
		if _, err := jsonvalue.Parse(v); err != nil {
			t.Errorf("%q does not parse: %v", v.Bytes(), err)
		}
	})
}

func TestWithAll(t *testing.T) {
	fields := []jsonvalue.Field{
		jsonvalue.TextField("b", "<x>"), {Name: "n", JSON: []byte(`{"k":[1,2]}`)}, jsonvalue.TextField("a", "1"),
	}
	for _, c := range []struct{ from, to string }{
		{`{}`, `{"b":"<x>","n":{"k":[1,2]},"a":"1"}`},
		{" {\n } ", " {\n \"b\":\"<x>\",\"n\":{\"k\":[1,2]},\"a\":\"1\"} "},
		{`{"a": 5, "z" :[ "}" ]}`, `{"a": "1", "z" :[ "}" ],"b":"<x>","n":{"k":[1,2]}}`},
		{`{"n":null,"b":"old","a":"old"}`, `{"n":{"k":[1,2]},"b":"<x>","a":"1"}`},
	} {
		o, err := jsonvalue.Parse(lockstep.StringValue(c.from))
		if err != nil {
			t.Fatal(err)
		}
		v, err := o.WithAll(fields...)
		if err != nil || v.Reveal() != c.to {
			t.Errorf("%s: %s, %v; want %s", c.from, v.Reveal(), err, c.to)
		}
		if _, err := jsonvalue.Parse(v); err != nil {
			t.Errorf("%s: %v", c.from, err)
		}
	}
	o, err := jsonvalue.Parse(lockstep.StringValue(`{"b":1,"a":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.Names(), ","); got != "b,a" {
		t.Errorf("names: %s", got)
	}
	if got := string(o.JSON("b")) + string(o.JSON("a")) + string(o.JSON("c")); got != "1nullnull" {
		t.Errorf("texts: %s", got)
	}
	for _, f := range []jsonvalue.Field{{Name: "x", JSON: []byte("{")}, {Name: "x"}, jsonvalue.TextField("x", strings.Repeat("y", lockstep.MaxValueBytes))} {
		if _, err := o.WithAll(f); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("a field of %d bytes: %v", len(f.JSON), err)
		}
	}
}
