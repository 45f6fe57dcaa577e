package postgres

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

// maxName is the longest name of a role, in bytes. PostgreSQL cuts longer ones
// without a word, and would thereby change another role.
const maxName = 63

const (
	defaultPort     = 5432
	defaultDatabase = "postgres"
)

// value is a secret value in the JSON form that AWS's rotation functions use:
// engine, host, port, dbname, username, password, ssl, masterarn; beside these
// sslmode (libpq's, outranks ssl) and probes (queries that test runs).
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

// parse reads a value. Errors: ErrInvalid, naming the field and never showing
// what stands in it.
func parse(v lockstep.Value) (*value, error) {
	val := &value{text: v.Bytes(), binary: v.IsBinary(), port: defaultPort, database: defaultDatabase, sslmode: "prefer"}
	if err := val.scan(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, lockstep.ErrInvalid)
	}
	if err := val.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, lockstep.ErrInvalid)
	}
	return val, nil
}

type fieldError string

func (e fieldError) Error() string { return string(e) }

const errNotObject = fieldError("the secret value is not a JSON object")

// scan walks the top level of the object. Encoding/json alone would lose the
// order and the spelling of the fields that are not ours.
func (v *value) scan() error {
	if !utf8.Valid(v.text) {
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
		if err != nil || !isName {
			return errNotObject
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return errNotObject
		}
		if seen[name] {
			return fieldError(fmt.Sprintf("the secret value has the field %q twice", name))
		}
		seen[name] = true
		end := int(dec.InputOffset())
		if err := v.take(name, raw, span{end - len(raw), end}, &ssl); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil || dec.More() {
		return errNotObject
	}
	if len(bytes.TrimSpace(v.text[dec.InputOffset():])) > 0 {
		return errNotObject
	}
	if !seen["sslmode"] && ssl != "" {
		v.sslmode = ssl
	}
	return nil
}

func (v *value) take(name string, raw json.RawMessage, at span, ssl *string) error {
	var err error
	switch name {
	case "engine":
		err = checkEngine(raw)
	case "host":
		v.host, err = text(name, raw, "")
	case "port":
		v.port, err = portOf(raw)
	case "dbname":
		v.database, err = text(name, raw, defaultDatabase)
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
	case "ssl":
		*ssl, err = sslOf(raw)
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

func checkEngine(raw json.RawMessage) error {
	engine, err := text("engine", raw, "postgres")
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"postgres", "postgresql", "aurora-postgresql"}, engine) {
		return fieldError(`the field "engine" is not "postgres"`)
	}
	return nil
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

func (v *value) validate() error {
	switch {
	case v.host == "":
		return fieldError(`the secret value lacks the field "host"`)
	case v.user == "":
		return fieldError(`the secret value lacks the field "username"`)
	case v.password == "":
		return fieldError(`the secret value lacks the field "password"`)
	case len(v.user) > maxName:
		return fieldError(fmt.Sprintf(`the field "username" is longer than %d bytes`, maxName))
	case len(v.database) > maxName:
		return fieldError(fmt.Sprintf(`the field "dbname" is longer than %d bytes`, maxName))
	case !slices.Contains([]string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}, v.sslmode):
		return fieldError(`the field "sslmode" is none of libpq's modes`)
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
	a, err := quoteJSON(user)
	if err != nil {
		return lockstep.Value{}, err
	}
	b, err := quoteJSON(password)
	if err != nil {
		return lockstep.Value{}, err
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
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("write field: %w", err)
	}
	return bytes.TrimSpace(buf.Bytes()), nil
}

// address is the host and port for people.
func (v *value) address() string { return net.JoinHostPort(v.host, strconv.Itoa(v.port)) }

// server is the address in one form, for comparison.
func (v *value) server() string {
	return net.JoinHostPort(v.account("").Host, strconv.Itoa(v.port))
}

// sameServer tells whether two values name the same server. Case aside, names
// are compared as written: two names of one server count as two.
func (v *value) sameServer(o *value) bool {
	return v.port == o.port && strings.EqualFold(strings.TrimSuffix(v.host, "."), strings.TrimSuffix(o.host, "."))
}

func (v *value) account(user string) rotators.Account {
	return rotators.Account{
		Engine: "postgres", Host: strings.ToLower(strings.TrimSuffix(v.host, ".")), Port: v.port, User: user,
	}
}
