package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

const defaultPort = 6379

// value is a secret value: engine, host, port, username, password, ssl,
// masterarn; beside these endpoints (or nodes: further addresses) and probes
// (commands that test runs).
type value struct {
	object         *jsonvalue.Object
	user, password string
	masterARN      string
	tls            bool
	// nodes are addresses, the one of host and port first.
	nodes  []string
	probes [][]string
}

// parse reads a value. Errors: ErrInvalid, naming the field and never showing
// what stands in it.
func parse(v lockstep.Value) (*value, error) {
	o, err := jsonvalue.Parse(v)
	if err != nil {
		return nil, err
	}
	val := &value{object: o}
	for _, read := range []func(*value) error{(*value).readAccount, (*value).readNodes, (*value).readProbes} {
		if err := read(val); err != nil {
			return nil, err
		}
	}
	return val, nil
}

func (v *value) readAccount() error {
	engine, err := v.object.Text("engine", "redis")
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"redis", "valkey"}, engine) {
		return invalid(`the field "engine" is not "redis"`)
	}
	for _, f := range []struct {
		name string
		into *string
	}{{"username", &v.user}, {"password", &v.password}, {"masterarn", &v.masterARN}} {
		if *f.into, err = v.object.Text(f.name, ""); err != nil {
			return err
		}
	}
	switch {
	case v.user == "":
		return invalid(`the secret value lacks the field "username"`)
	case v.password == "":
		return invalid(`the secret value lacks the field "password"`)
	case strings.ContainsFunc(v.user, unicode.IsSpace):
		return invalid(`the field "username" has a space, which no ACL user has`)
	}
	v.tls, err = v.object.Truth("ssl")
	return err
}

func (v *value) readNodes() error {
	host, err := v.object.Text("host", "")
	if err != nil {
		return err
	}
	if host == "" {
		return invalid(`the secret value lacks the field "host"`)
	}
	port, err := v.object.Port("port", defaultPort)
	if err != nil {
		return err
	}
	first, err := address("host", strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), strconv.Itoa(port))
	if err != nil {
		return err
	}
	v.nodes = []string{first}
	for _, name := range []string{"endpoints", "nodes"} {
		list, err := v.object.List(name)
		if err != nil {
			return err
		}
		for _, one := range list {
			if err := v.addNode(name, one); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxNodes bounds what one value can make a worker connect to.
const maxNodes = 1000

func (v *value) addNode(field, text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return invalid("the field %q has an entry that is not host:port", field)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return invalid("the field %q has an entry that is not host:port", field)
	}
	addr, err := address(field, host, port)
	if err != nil {
		return err
	}
	if !slices.Contains(v.nodes, addr) {
		v.nodes = append(v.nodes, addr)
	}
	if len(v.nodes) > maxNodes {
		return invalid("the field %q has more than %d entries", field, maxNodes)
	}
	return nil
}

// address is a host and port in one form.
func address(field, host, port string) (string, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:%", r)
	}) {
		return "", invalid("the field %q does not name one host or address", field)
	}
	return net.JoinHostPort(host, port), nil
}

func (v *value) readProbes() error {
	var err error
	if v.probes, err = v.object.Lists("probes"); err != nil {
		return err
	}
	for _, p := range v.probes {
		if len(p) == 0 || p[0] == "" {
			return invalid(`the field "probes" has an empty command`)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, lockstep.ErrInvalid)...)
}

// hash is what Redis stores for the password.
func (v *value) hash() string {
	sum := sha256.Sum256([]byte(v.password))
	return hex.EncodeToString(sum[:])
}

// sameUser tells whether two values are about one user of one server.
func (v *value) sameUser(o *value) bool { return v.user == o.user && v.nodes[0] == o.nodes[0] }

// malformed is the error of a value that can never work.
func malformed(which string, err error) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Hint: `put a value like {"engine":"redis","host":"…","port":6379,"username":"…","password":"…"}`,
		Err:  fmt.Errorf("read %s: %w", which, err),
	}
}
