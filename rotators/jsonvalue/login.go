package jsonvalue

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/password"
	"lockstep/rotators"
)

// Login is the value of a database user's secret, in the JSON form that AWS's
// rotation functions use: engine, host, port, dbname, username, password, ssl,
// masterarn; beside these sslmode (libpq's words, outranks ssl) and probes
// (queries that test runs). Other fields stay as they are.
type Login struct {
	Host, Database, User, Password string
	Port                           int
	SSLMode, MasterARN             string
	Probes                         []string
	// Endpoints are further ways to the same accounts: replicas and poolers.
	Endpoints []Endpoint
	// Propagation is how long a change may take to get to the Endpoints.
	Propagation time.Duration

	object *Object
	engine string
}

// LoginForm is what differs between the kinds of database.
type LoginForm struct {
	// Engine is what Accounts are told apart by; Engines are the words that the
	// value may use, the usual one first.
	Engine  string
	Engines []string
	// Port and Database stand in for those that are absent.
	Port     int
	Database string
}

// ReadLogin reads a value. Errors: ErrInvalid, naming the field and never showing
// what stands in it.
func ReadLogin(v lockstep.Value, form LoginForm) (*Login, error) {
	o, err := Parse(v)
	if err != nil {
		return nil, err
	}
	l := &Login{object: o, engine: form.Engine}
	engine := ""
	for _, f := range []struct {
		name, absent string
		into         *string
	}{
		{"engine", form.Engines[0], &engine}, {"host", "", &l.Host}, {"dbname", form.Database, &l.Database},
		{"username", "", &l.User}, {"password", "", &l.Password}, {"masterarn", "", &l.MasterARN}, {"sslmode", "", &l.SSLMode},
	} {
		if *f.into, err = o.Text(f.name, f.absent); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(form.Engines, engine) {
		return nil, invalid("the field %q is not %q", "engine", form.Engines[0])
	}
	if l.Port, err = o.Port("port", form.Port); err != nil {
		return nil, err
	}
	if err := l.readSSL(); err != nil {
		return nil, err
	}
	if l.Probes, err = o.List("probes"); err != nil {
		return nil, invalid("the field %q is not a list of queries", "probes")
	}
	if err := l.validate(); err != nil {
		return nil, err
	}
	return l, l.readEndpoints()
}

// readSSL takes AWS's switch, where libpq's word is not given: true means
// verified TLS, false none.
func (l *Login) readSSL() error {
	verified, err := l.object.Truth("ssl")
	switch {
	case err != nil:
		return err
	case l.SSLMode != "":
	case verified:
		l.SSLMode = "verify-full"
	case l.object.Has("ssl") && string(l.object.raw("ssl")) != `""`:
		l.SSLMode = "disable"
	default:
		l.SSLMode = "prefer"
	}
	return nil
}

func (l *Login) validate() error {
	for _, f := range []struct{ name, text string }{{"host", l.Host}, {"username", l.User}, {"password", l.Password}} {
		if f.text == "" {
			return invalid("the secret value lacks the field %q", f.name)
		}
	}
	modes := []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	if !slices.Contains(modes, l.SSLMode) {
		return invalid("the field %q is none of %s", "sslmode", strings.Join(modes, ", "))
	}
	l.Host = strings.TrimSuffix(strings.TrimPrefix(l.Host, "["), "]")
	if !oneHost(l.Host) {
		return invalid("the field %q is not one host name or address", "host")
	}
	return nil
}

// With is the value with another user and password; everything else keeps its
// bytes and its place. Errors: ErrInvalid if it is longer than
// lockstep.MaxValueBytes.
func (l *Login) With(user, password string) (lockstep.Value, error) {
	return l.object.WithAll(TextField("username", user), TextField("password", password))
}

// Fresh is the value of a user with a new password, made by the Secret's own
// policy over the rotator's. Errors: TargetErrors with FaultPermanent.
func (l *Login) Fresh(user string, policy password.Policy, own lockstep.PasswordPolicy) (lockstep.Value, error) {
	policy, err := policy.With(own)
	if err != nil {
		return lockstep.Value{}, rotators.Permanent("", "make password: %w", err)
	}
	pw, err := policy.Generate()
	if err != nil {
		return lockstep.Value{}, rotators.Permanent("", "make password: %w", err)
	}
	v, err := l.With(user, pw)
	if err != nil {
		return lockstep.Value{}, rotators.Permanent("shorten the secret's other fields", "make value: %w", err)
	}
	return v, nil
}

// ProbesInWords ends a sentence about a login.
func (l *Login) ProbesInWords() string { return rotators.ProbesInWords(len(l.Probes)) }

// Address is the host and port for people.
func (l *Login) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// Server is the address in one form, for comparison. Names are compared as
// written: two names of one server count as two.
func (l *Login) Server() string {
	return net.JoinHostPort(l.Account("").Host, strconv.Itoa(l.Port))
}

// SameServer tells whether two values name the same server.
func (l *Login) SameServer(o *Login) bool { return l.Server() == o.Server() }

// Account is an Account at this value's server.
func (l *Login) Account(user string) rotators.Account {
	return rotators.Account{
		Engine: l.engine, Host: strings.ToLower(strings.TrimSuffix(l.Host, ".")), Port: l.Port, User: user,
	}
}
