package lockstep_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"lockstep"
)

// marker is a value that must appear nowhere.
const marker = "hunter2-MARKER"

// holder holds a Value where methods can be called, where they cannot, and
// behind a pointer.
type holder struct {
	Open   lockstep.Value
	hidden lockstep.Value
	Far    *lockstep.Value
	List   []lockstep.Value
	inner  struct{ v lockstep.Value }
}

func hold(v lockstep.Value) holder {
	return holder{Open: v, hidden: v, Far: &v, List: []lockstep.Value{v}, inner: struct{ v lockstep.Value }{v}}
}

// leaks tells whether a text holds the marker, in clear or as fmt prints bytes.
func leaks(text string) bool {
	hex := fmt.Sprintf("%x", marker)
	decimal := strings.Trim(fmt.Sprint([]byte(marker)), "[]")
	octal := strings.Trim(fmt.Sprintf("%o", []byte(marker)), "[]")
	for _, form := range []string{marker, hex, strings.ToUpper(hex), decimal, octal} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return strings.Contains(text, "0x68, 0x75") || strings.Contains(text, "6875")
}

func TestValueIsRedactedByEveryVerb(t *testing.T) {
	for _, v := range []lockstep.Value{lockstep.StringValue(marker), lockstep.BinaryValue([]byte(marker))} {
		for _, verb := range "vsqxXdbocUtTeEfFgGp" {
			for _, flags := range []string{"", "+", "#", "-40", "040", " ", ".3"} {
				if verb == 'p' || verb == 'T' {
					continue // these tell a type or an address
				}
				format := "%" + flags + string(verb)
				if got := fmt.Sprintf(format, v); got != "[redacted]" {
					t.Errorf("%s of a Value = %q", format, got)
				}
				for _, in := range []any{&v, hold(v), []lockstep.Value{v}, map[string]lockstep.Value{"k": v}, fmt.Errorf("wrapped: %v", v)} {
					if got := fmt.Sprintf(format, in); leaks(got) {
						t.Errorf("%s of %T shows the value: %s", format, in, got)
					}
				}
			}
		}
	}
}

func TestValueIsRedactedByEveryEncoder(t *testing.T) {
	v := lockstep.StringValue(marker)
	in := hold(v)
	encoders := map[string]func(*bytes.Buffer) error{
		"fmt.Print": func(b *bytes.Buffer) error { _, err := fmt.Fprint(b, v, in, &in); return err },
		"Stringer":  func(b *bytes.Buffer) error { b.WriteString(v.String() + v.GoString()); return nil },
		"error": func(b *bytes.Buffer) error {
			b.WriteString(errors.Join(fmt.Errorf("%+v %#v", v, in)).Error())
			return nil
		},
		"json": func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(in) },
		"xml":  func(b *bytes.Buffer) error { return xml.NewEncoder(b).Encode(v) },
		"slog json": func(b *bytes.Buffer) error {
			slog.New(slog.NewJSONHandler(b, nil)).Info("m", "v", v, "in", in, "p", &in)
			return nil
		},
		"slog text": func(b *bytes.Buffer) error {
			slog.New(slog.NewTextHandler(b, nil)).Info("m", "v", v, "in", in, "p", &in)
			return nil
		},
		"slog any": func(b *bytes.Buffer) error {
			slog.New(slog.NewTextHandler(b, nil)).Info("m", slog.Any("v", []any{v}))
			return nil
		},
		"MarshalText": func(b *bytes.Buffer) error { text, err := v.MarshalText(); b.Write(text); return err },
	}
	for name, encode := range encoders {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b.Len() == 0 || leaks(b.String()) {
			t.Errorf("%s: %q", name, b.String())
		}
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err == nil || leaks(b.String()) {
		t.Errorf("gob encoded a value: %v %q", err, b.String())
	}
}

func TestValueHolds(t *testing.T) {
	text, binary := lockstep.StringValue("a"), lockstep.BinaryValue([]byte("a"))
	for name, ok := range map[string]bool{
		"equal to itself":              text.Equal(lockstep.StringValue("a")),
		"text is not binary":           !text.Equal(binary) && binary.IsBinary() && !text.IsBinary(),
		"other bytes":                  !text.Equal(lockstep.StringValue("b")),
		"longer":                       !text.Equal(lockstep.StringValue("aa")),
		"zero is no value":             lockstep.Value{}.IsZero() && lockstep.Value{}.Bytes() == nil && lockstep.Value{}.Reveal() == "",
		"empty is no value":            lockstep.StringValue("").IsZero() && lockstep.BinaryValue(nil).IsZero(),
		"zero equals zero":             lockstep.Value{}.Equal(lockstep.Value{}),
		"something is a value":         !text.IsZero(),
		"bytes are those given":        string(binary.Bytes()) == "a" && text.Reveal() == "a",
		"zero is not the empty binary": !lockstep.Value{}.Equal(lockstep.BinaryValue(nil)),
	} {
		if !ok {
			t.Error(name)
		}
	}
}

func TestBinaryValueKeepsItsOwnCopy(t *testing.T) {
	given := []byte(marker)
	v := lockstep.BinaryValue(given)
	clear(given)
	if v.Reveal() != marker {
		t.Error("changing the slice that was given changed the value")
	}
}

func TestWipeReachesCopies(t *testing.T) {
	v := lockstep.StringValue(marker)
	copied := v
	v.Wipe()
	if strings.Contains(copied.Reveal(), "hunter") {
		t.Error("a copy still shows the value")
	}
	lockstep.Value{}.Wipe()
}
