package awsjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep objects and lists may nest, unknown fields included.
const MaxDepth = 32

// Decode reads a request body into the struct that into points to. Its fields
// may be strings, booleans, int64, []byte (base64 on the wire), structs,
// pointers to and slices of these, and map[string]string; names are those of the json tags, matched
// exactly. null counts as absent. An empty body is an empty object.
//
// Every error is an *Error with the code SerializationException.
func Decode(body []byte, into any) error { return decode(body, into, &decoder{}) }

// Checked is an input that knows its own limits.
type Checked[I any] interface {
	*I
	// Check tells the first thing that is wrong with it; an *Error.
	Check() error
}

// Read reads an input and checks it. Errors: *Error, as Decode's and Check's.
func Read[I any, P Checked[I]](body []byte) (*I, error) {
	in := new(I)
	if err := Decode(body, in); err != nil {
		return nil, err
	}
	if err := P(in).Check(); err != nil {
		return nil, err
	}
	return in, nil
}

// DecodeKnown is Decode for APIs that do not outlive their clients: a field
// that the struct does not have is refused, since it is a typing error.
func DecodeKnown(body []byte, into any) error {
	return decode(body, into, &decoder{onlyKnown: true})
}

func decode(body []byte, into any, d *decoder) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return unreadable("The request body is not valid UTF-8.")
	}
	if !pairedSurrogates(body) {
		return unreadable("The request body holds half of a surrogate pair.")
	}
	d.tokens = json.NewDecoder(bytes.NewReader(body))
	d.tokens.UseNumber()
	tok, err := d.next()
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return unreadable("The request body must be a JSON object.")
	}
	if err := d.object(reflect.ValueOf(into).Elem()); err != nil {
		return err
	}
	if _, err := d.tokens.Token(); err != io.EOF {
		return unreadable("The request body goes on after its JSON object.")
	}
	return nil
}

// decoder walks the tokens of one body.
type decoder struct {
	tokens    *json.Decoder
	depth     int
	onlyKnown bool
}

func (d *decoder) next() (json.Token, error) {
	tok, err := d.tokens.Token()
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, unreadable("The request body ends inside its JSON object.")
	}
	if err != nil {
		return nil, unreadable("The request body is not valid JSON.")
	}
	return tok, nil
}

// enter counts the nesting; leave must follow.
func (d *decoder) enter() error {
	d.depth++
	if d.depth > MaxDepth {
		return unreadable("The request body nests deeper than %d levels.", MaxDepth)
	}
	return nil
}

func (d *decoder) leave() error {
	d.depth--
	_, err := d.next() // the closing delimiter, since More said no
	return err
}

// object reads the members of an object whose brace is already taken.
func (d *decoder) object(dst reflect.Value) error {
	if err := d.enter(); err != nil {
		return err
	}
	seen := make(map[string]struct{}, 8)
	for d.tokens.More() {
		tok, err := d.next()
		if err != nil {
			return err
		}
		name, ok := tok.(string)
		if !ok {
			return unreadable("The request body is not valid JSON.")
		}
		if _, twice := seen[name]; twice {
			return unreadable("The request body names a field twice.")
		}
		seen[name] = struct{}{}
		field := fieldNamed(dst, name)
		if d.onlyKnown && !field.IsValid() {
			return unreadable("The request body has an unknown field: %q.", shorten(name))
		}
		if err := d.value(field); err != nil {
			return err
		}
	}
	return d.leave()
}

// fieldNamed returns the field with that json name, or the zero Value, into
// which nothing is stored. Fields without a tag have no name.
func fieldNamed(dst reflect.Value, name string) reflect.Value {
	if !dst.IsValid() || name == "" {
		return reflect.Value{}
	}
	t := dst.Type()
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag == name {
			return dst.Field(i)
		}
	}
	return reflect.Value{}
}

func (d *decoder) value(dst reflect.Value) error {
	tok, err := d.next()
	if err != nil {
		return err
	}
	if tok == nil {
		return nil
	}
	if dst.IsValid() && dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	switch tok := tok.(type) {
	case json.Delim:
		return d.composite(tok, dst)
	case string:
		return setString(tok, dst)
	case json.Number:
		return setNumber(tok, dst)
	case bool:
		if dst.IsValid() && dst.Kind() != reflect.Bool {
			return unreadable("%s can not be converted to %s", strings.ToUpper(strconv.FormatBool(tok))+"_VALUE", kindName(dst))
		}
		if dst.IsValid() {
			dst.SetBool(tok)
		}
	}
	return nil
}

func (d *decoder) composite(open json.Delim, dst reflect.Value) error {
	if open == '{' {
		if dst.IsValid() && dst.Type() == textMap {
			return d.texts(dst)
		}
		if dst.IsValid() && dst.Kind() != reflect.Struct {
			return unreadable("Start of structure or map found where not expected.")
		}
		return d.object(dst)
	}
	if dst.IsValid() && (dst.Kind() != reflect.Slice || isBlob(dst)) {
		return unreadable("Start of list found where not expected.")
	}
	return d.list(dst)
}

// textMap is the one kind of map that requests have.
var textMap = reflect.TypeFor[map[string]string]()

// texts reads the members of a map of strings whose brace is already taken.
func (d *decoder) texts(dst reflect.Value) error {
	if err := d.enter(); err != nil {
		return err
	}
	out := make(map[string]string)
	for d.tokens.More() {
		name, err := d.next()
		if err != nil {
			return err
		}
		key, _ := name.(string) // JSON has no other names
		if _, twice := out[key]; twice {
			return unreadable("A name stands twice in a map.")
		}
		var item *string
		if err := d.value(reflect.ValueOf(&item).Elem()); err != nil {
			return err
		}
		if item == nil {
			return unreadable("A map holds a null value.")
		}
		out[key] = *item
	}
	dst.Set(reflect.ValueOf(out))
	return d.leave()
}

func (d *decoder) list(dst reflect.Value) error {
	if err := d.enter(); err != nil {
		return err
	}
	if dst.IsValid() {
		dst.Set(reflect.MakeSlice(dst.Type(), 0, 4))
	}
	for d.tokens.More() {
		var item reflect.Value
		if dst.IsValid() {
			item = reflect.New(dst.Type().Elem()).Elem()
		}
		if err := d.value(item); err != nil {
			return err
		}
		if dst.IsValid() {
			dst.Set(reflect.Append(dst, item))
		}
	}
	return d.leave()
}

func isBlob(dst reflect.Value) bool {
	return dst.Kind() == reflect.Slice && dst.Type().Elem().Kind() == reflect.Uint8
}

func setString(s string, dst reflect.Value) error {
	switch {
	case !dst.IsValid():
	case dst.Kind() == reflect.String:
		dst.SetString(s)
	case isBlob(dst):
		raw, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || strings.ContainsAny(s, "\r\n") {
			return unreadable("A binary field is not valid base64.")
		}
		dst.SetBytes(raw)
	default:
		return unreadable("STRING_VALUE can not be converted to %s", kindName(dst))
	}
	return nil
}

func setNumber(n json.Number, dst reflect.Value) error {
	switch {
	case !dst.IsValid():
		return nil
	case dst.Kind() != reflect.Int64:
		return unreadable("NUMBER_VALUE can not be converted to %s", kindName(dst))
	}
	i, err := n.Int64()
	if err != nil {
		return unreadable("NUMBER_VALUE can not be converted to %s", kindName(dst))
	}
	dst.SetInt(i)
	return nil
}

// kindName names what was wanted in AWS's words.
func kindName(dst reflect.Value) string {
	switch dst.Kind() {
	case reflect.Bool:
		return "a Boolean"
	case reflect.Int64:
		return "an Integer"
	case reflect.Struct, reflect.Map:
		return "a structure"
	case reflect.Slice:
		if isBlob(dst) {
			return "a ByteBuffer"
		}
		return "a list"
	default:
		return "a String"
	}
}

// pairedSurrogates tells whether every \u escape of a surrogate has its other
// half: encoding/json would replace a lone one and so change a value. In valid
// JSON, a backslash stands only inside a string.
func pairedSurrogates(body []byte) bool {
	for i := bytes.IndexByte(body, '\\'); i >= 0 && i < len(body); {
		unit, isUnicode := escapedUnit(body[i:])
		switch {
		case !isUnicode:
			i += 2
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return false
		case unit >= 0xD800 && unit <= 0xDBFF:
			low, ok := escapedUnit(body[i+6:])
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return false
			}
			i += 12
		default:
			i += 6
		}
		if i >= len(body) {
			return true
		}
		next := bytes.IndexByte(body[i:], '\\')
		if next < 0 {
			return true
		}
		i += next
	}
	return true
}

// escapedUnit reads the UTF-16 unit of a \uXXXX escape at the start of b.
func escapedUnit(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return unit, err == nil
}
