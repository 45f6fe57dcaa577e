package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"lockstep"
	"lockstep/rotators"
)

const defaultPort = 3306

// value is a secret value in the JSON form that AWS's rotation functions use:
// engine, host, port, dbname, username, password, ssl, masterarn; beside these
// sslmode (libpq's words, outranks ssl) and probes (queries that test runs).
// Other fields stay as they are.
type value struct {
	host, database, user, password string
	port                           int
	sslmode, masterARN             string
	probes                         []string

	text           []byte
	binary         bool
	userAt, passAt span
}

// span is where a field's JSON text stands.
type span struct{ from, to int }

type fieldError string

func (e fieldError) Error() string { return string(e) }

const errNotObject = fieldError("the secret value is not a JSON object")

// parse reads a value for one kind of server. Errors: ErrInvalid, naming the
// field and never showing what stands in it.
func (f flavor) parse(v lockstep.Value) (*value, error) {
	val := &value{text: v.Bytes(), binary: v.IsBinary(), port: defaultPort, sslmode: "prefer"}
	err := val.scan(f)
	if err == nil {
		err = val.validate(f)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, lockstep.ErrInvalid)
	}
	return val, nil
}

// scan walks the top level of the object. Decoding into a struct would lose the
// order and the spelling of the fields that are not ours.
func (v *value) scan(f flavor) error {
	if !utf8.Valid(v.text) || !json.Valid(v.text) {
		return errNotObject
	}
	dec := json.NewDecoder(bytes.NewReader(v.text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return errNotObject
	}
	seen := make(map[string]bool)
	ssl := ""
	for dec.More() {
		tok, err := dec.Token()
		name, isName := tok.(string)
		var raw json.RawMessage
		if err != nil || !isName || dec.Decode(&raw) != nil {
			return errNotObject
		}
		if seen[name] {
			return fieldError(fmt.Sprintf("the secret value has the field %q twice", name))
		}
		seen[name] = true
		end := int(dec.InputOffset())
		if name == "ssl" {
			ssl, err = sslOf(raw)
		} else {
			err = v.take(f, name, raw, span{end - len(raw), end})
		}
		if err != nil {
			return err
		}
	}
	if !seen["sslmode"] && ssl != "" {
		v.sslmode = ssl
	}
	return nil
}

func (v *value) take(f flavor, name string, raw json.RawMessage, at span) error {
	var err error
	switch name {
	case "engine":
		err = f.checkEngine(raw)
	case "host":
		v.host, err = text(name, raw, "")
	case "port":
		v.port, err = portOf(raw)
	case "dbname":
		v.database, err = text(name, raw, "")
	case "username":
		v.user, err = text(name, raw, "")
		v.userAt = at
	case "password":
		v.password, err = text(name, raw, "")
		v.passAt = at
	case "masterarn":
		v.masterARN, err = text(name, raw, "")
	case "sslmode":
		v.sslmode, err = text(name, raw, v.sslmode)
	case "probes":
		if json.Unmarshal(raw, &v.probes) != nil {
			err = fieldError(`the field "probes" is not a list of queries`)
		}
	}
	return err
}

// text reads a string; null, and an empty string where there is a default,
// count as absent.
func text(name string, raw json.RawMessage, absent string) (string, error) {
	var s *string
	if json.Unmarshal(raw, &s) != nil {
		return "", fieldError(fmt.Sprintf("the field %q is not a string", name))
	}
	if s == nil || *s == "" {
		return absent, nil
	}
	if strings.ContainsRune(*s, 0) {
		return "", fieldError(fmt.Sprintf("the field %q has a zero character", name))
	}
	return *s, nil
}

func (f flavor) checkEngine(raw json.RawMessage) error {
	engine, err := text("engine", raw, f.engines[0])
	if err == nil && !slices.Contains(f.engines, engine) {
		err = fieldError(fmt.Sprintf(`the field "engine" is not %q`, f.engines[0]))
	}
	return err
}

// portOf reads a number or, as some tools write it, a string.
func portOf(raw json.RawMessage) (int, error) {
	s := string(raw)
	if raw[0] == '"' {
		var err error
		if s, err = text("port", raw, ""); err != nil {
			return 0, err
		}
	}
	if s == "" || s == "null" {
		return defaultPort, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, fieldError(`the field "port" is not a number from 1 to 65535`)
	}
	return n, nil
}

// sslOf reads AWS's switch: true means verified TLS, false none.
func sslOf(raw json.RawMessage) (string, error) {
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true":
		return "verify-full", nil
	case "false":
		return "disable", nil
	case "null", "":
		return "", nil
	}
	return "", fieldError(`the field "ssl" is neither true nor false`)
}

func (v *value) validate(f flavor) error {
	switch {
	case v.host == "":
		return fieldError(`the secret value lacks the field "host"`)
	case v.user == "":
		return fieldError(`the secret value lacks the field "username"`)
	case v.password == "":
		return fieldError(`the secret value lacks the field "password"`)
	case utf8.RuneCountInString(v.user) > f.maxName:
		return fieldError(fmt.Sprintf(`the field "username" is longer than %d characters`, f.maxName))
	case !slices.Contains([]string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}, v.sslmode):
		return fieldError(`the field "sslmode" is none of disable, allow, prefer, require, verify-ca, verify-full`)
	}
	v.host = strings.TrimSuffix(strings.TrimPrefix(v.host, "["), "]")
	// One host: a list or a socket's path would be another place for each use.
	if strings.ContainsFunc(v.host, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:%", r)
	}) {
		return fieldError(`the field "host" is not one host name or address`)
	}
	return nil
}

// with returns the value with another user and password; everything else keeps
// its bytes and its place. Errors: none in practice.
func (v *value) with(user, password string) (lockstep.Value, error) {
	first, second := v.userAt, v.passAt
	a, errA := quoteJSON(user)
	b, errB := quoteJSON(password)
	if errA != nil || errB != nil {
		return lockstep.Value{}, fieldError("the new value cannot be written as JSON")
	}
	if second.from < first.from {
		first, second, a, b = second, first, b, a
	}
	out := slices.Concat(v.text[:first.from], a, v.text[first.to:second.from], b, v.text[second.to:])
	if v.binary {
		return lockstep.BinaryValue(out), nil
	}
	return lockstep.StringValue(string(out)), nil
}

func quoteJSON(s string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return bytes.TrimSpace(buf.Bytes()), err
}

// address is the host and port for people.
func (v *value) address() string { return net.JoinHostPort(v.host, strconv.Itoa(v.port)) }

// sameServer tells whether two values name the same server. Case aside, names
// are compared as written: two names of one server count as two.
func (v *value) sameServer(o *value) bool {
	return v.port == o.port && strings.EqualFold(strings.TrimSuffix(v.host, "."), strings.TrimSuffix(o.host, "."))
}

// account is an Account at this value's server. Both kinds of server are one
// engine here: no two of them listen at one address.
func (v *value) account(user string) rotators.Account {
	return rotators.Account{
		Engine: "mysql", Host: strings.ToLower(strings.TrimSuffix(v.host, ".")), Port: v.port, User: user,
	}
}
