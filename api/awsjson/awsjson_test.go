package awsjson

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// sample has each kind of field that Decode knows.
type sample struct {
	Text    *string  `json:"Text"`
	Number  *int64   `json:"Number"`
	Flag    *bool    `json:"Flag"`
	Blob    []byte   `json:"Blob"`
	List    []string `json:"List"`
	Inner   *inner   `json:"Inner"`
	Inners  []inner  `json:"Inners"`
	private string
}

type inner struct {
	Key string `json:"Key"`
}

func TestDecode(t *testing.T) {
	body := `{"Text":"a\u00e9\ud83d\ude00","Number":-7,"Flag":true,"Blob":"Zm9v","List":["x","y"],
		"Inner":{"Key":"k","More":[{}]},"Inners":[{"Key":"1"},{"Key":"2"}],"private":"no","text":"other"}`
	var got sample
	if err := Decode([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if *got.Text != "aé😀" || *got.Number != -7 || !*got.Flag || string(got.Blob) != "foo" || len(got.List) != 2 ||
		got.Inner.Key != "k" || len(got.Inners) != 2 || got.Inners[1].Key != "2" || got.private != "" {
		t.Errorf("%+v", got)
	}
	for name, body := range map[string]string{"empty": "", "spaces": " \n", "empty object": "{}", "nulls": `{"Text":null,"List":null,"Inner":null}`} {
		var got sample
		if err := Decode([]byte(body), &got); err != nil || got.Text != nil || got.List != nil || got.Inner != nil {
			t.Errorf("%s: %v %+v", name, err, got)
		}
	}
	var empty sample
	if err := Decode([]byte(`{"List":[],"Blob":""}`), &empty); err != nil || empty.List == nil || empty.Blob == nil {
		t.Errorf("empty is not absent: %v %+v", err, empty)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"text for number": `{"Number":"1"}`, "fraction for number": `{"Number":1.5}`, "exponent": `{"Number":1e3}`,
		"too large a number": `{"Number":9223372036854775808}`, "number for flag": `{"Flag":1}`, "text for flag": `{"Flag":"true"}`,
		"flag for number": `{"Number":true}`, "text for list": `{"List":"x"}`, "object for list": `{"List":{}}`,
		"list for object": `{"Inner":[]}`, "text for object": `{"Inner":"x"}`, "number in a list of texts": `{"List":[1]}`,
		"list for blob": `{"Blob":[1]}`, "blob with newline": `{"Blob":"Zm9v\n"}`, "blob without padding": `{"Blob":"Zg"}`,
		"twice, spelled differently": `{"Text":"a","\u0054ext":"b"}`, "twice inside": `{"Inner":{"Key":"a","Key":"b"}}`,
		"low surrogate": `{"Text":"\udc00"}`, "two high surrogates": `{"Text":"\ud800\ud800"}`, "high, then text": `{"Text":"\ud800x"}`,
		"comma at the end": `{"Text":"a",}`, "control character": "{\"Text\":\"a\nb\"}", "second value": `{} null`,
	} {
		var got sample
		err := Decode([]byte(body), &got)
		var told *Error
		if !errors.As(err, &told) || told.Code != CodeSerialization || told.HTTPStatus() != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Decode([]byte(`{"Text":"\\ud800"}`), new(sample)); err != nil {
		t.Errorf("an escaped backslash before u: %v", err)
	}
	if err := DecodeKnown([]byte(`{"Text":"a","Txet":"b"}`), new(sample)); err == nil {
		t.Error("DecodeKnown took an unknown field")
	}
	deep := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	if err := Decode([]byte(deep(MaxDepth-1)), new(sample)); err != nil {
		t.Errorf("depth %d: %v", MaxDepth, err)
	}
	if err := Decode([]byte(deep(MaxDepth)), new(sample)); err == nil {
		t.Errorf("depth %d was taken", MaxDepth+1)
	}
}

func TestConstraints(t *testing.T) {
	long, bad := strings.Repeat("é", 300), "b"
	var c Constraints
	c.Required(Field{Path: "a"})
	c.Length(Field{Path: "b", Value: &long}, Length{1, 299})
	c.Length(Field{Path: "c", Value: &bad, Sensitive: true}, Length{2, 3})
	c.Pattern(Field{Path: "d", Value: &bad}, regexp.MustCompile(`^[0-9]+$`))
	c.Length(Field{Path: "e"}, Length{1, 2})
	got := c.Err().Error()
	for _, want := range []string{
		"ValidationException: 4 validation errors detected: Value null at 'a' failed to satisfy constraint: Member must not be null; ",
		"Member must have length less than or equal to 299",
		"Value at 'c' failed to satisfy constraint: Member must have length greater than or equal to 2",
		"Value 'b' at 'd' failed to satisfy constraint: Member must satisfy regular expression pattern: [0-9]+",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if !utf8.ValidString(got) || len(got) > 1000 {
		t.Errorf("the message is not bounded: %d bytes", len(got))
	}
	if err := (&Constraints{}).Err(); err != nil {
		t.Error(err)
	}
}

func TestTime(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.UnixMicro(1700000000123999): "1700000000.123",
		time.Unix(1700000000, 0):         "1700000000.000",
		time.UnixMilli(-1500):            "-1.500",
	} {
		got, err := json.Marshal(Time{at})
		if err != nil || string(got) != want {
			t.Errorf("%v: %s %v, want %s", at, got, err, want)
		}
	}
	got, err := json.Marshal(struct {
		At Time `json:"At,omitzero"`
	}{})
	if err != nil || string(got) != "{}" {
		t.Errorf("zero: %s %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"Text":"a"}`, `{"Number":1,"Blob":"Zg=="}`, `{"Inners":[{"Key":"\ud83d\ude00"}],"x":[[{}]]}`, `{"Text":"\ud800"}`, `{`, "\xff", `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got sample
		err := Decode(body, &got)
		var told *Error
		if err != nil {
			if !errors.As(err, &told) || told.Code != CodeSerialization {
				t.Fatalf("not for the client: %v", err)
			}
			return
		}
		if len(strings.TrimSpace(string(body))) > 0 && !json.Valid(body) {
			t.Fatal("took what is not JSON")
		}
		// What was read must be what another parser reads, as far as names match.
		var other map[string]json.RawMessage
		if json.Unmarshal(body, &other) == nil && got.Text != nil {
			var text string
			if err := json.Unmarshal(other["Text"], &text); err != nil || text != *got.Text {
				t.Fatalf("read %q, another parser %q (%v)", *got.Text, text, err)
			}
		}
	})
}
