package jsonvalue

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"lockstep"
)

// Kind is what an Endpoint is.
type Kind string

// The kinds of Endpoint.
const (
	// Replica is a server that repeats what the primary does, a while later.
	Replica Kind = "replica"
	// Pooler passes logins on to the primary or a replica, and may know users and
	// their passwords by itself.
	Pooler Kind = "pooler"
)

// Endpoint is a way to a Secret's accounts beside the primary: what logs in
// there must work before the primary's own word counts for applications.
type Endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	Kind Kind   `json:"kind"`
}

// Address is the host and port for people.
func (e Endpoint) Address() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// maxEndpoints bounds what one value can make a worker connect to.
const maxEndpoints = 100

// The propagation time that a value may name, and the one that it has else. A
// call to a target has its own limit too.
const (
	defaultPropagation = 5 * time.Second
	maxPropagation     = time.Minute
)

func (l *Login) readEndpoints() error {
	text, err := l.object.Text("propagation", defaultPropagation.String())
	if err != nil {
		return err
	}
	if l.Propagation, err = time.ParseDuration(text); err != nil || l.Propagation <= 0 || l.Propagation > maxPropagation {
		return invalid(`the field "propagation" is not a time like "5s", at most %v`, maxPropagation)
	}
	if json.Unmarshal(l.object.raw("endpoints"), &l.Endpoints) != nil {
		return invalid(`the field "endpoints" is not a list of {"host":"…","port":5432,"kind":"replica"}`)
	}
	if len(l.Endpoints) > maxEndpoints {
		return invalid(`the field "endpoints" has more than %d entries`, maxEndpoints)
	}
	for i := range l.Endpoints {
		e := &l.Endpoints[i]
		e.Host = strings.TrimSuffix(strings.TrimPrefix(e.Host, "["), "]")
		if e.Port == 0 {
			e.Port = l.Port
		}
		switch {
		case e.Kind != Replica && e.Kind != Pooler:
			return invalid(`the field "endpoints" has an entry whose kind is neither %q nor %q`, Replica, Pooler)
		case e.Host == "" || !oneHost(e.Host):
			return invalid(`the field "endpoints" has an entry whose host is not one host name or address`)
		case e.Port < 1 || e.Port > 65535:
			return invalid(`the field "endpoints" has an entry whose port is not a number from 1 to 65535`)
		}
	}
	return nil
}

// At is the same login through an endpoint.
func (l *Login) At(e Endpoint) *Login {
	out := *l
	out.Host, out.Port = e.Host, e.Port
	return &out
}

// retryAfter is the pause between two logins at an endpoint that lags.
const retryAfter = 100 * time.Millisecond

// EachEndpoint calls try with the login through each endpoint, and again while
// it fails and the propagation time, which all share, has not passed. Errors:
// try's last, naming the endpoint; a refused login is no verdict there.
func (l *Login) EachEndpoint(ctx context.Context, try func(context.Context, *Login) error) error {
	late := time.NewTimer(l.Propagation)
	defer late.Stop()
	for _, e := range l.Endpoints {
		if err := l.insist(ctx, e, late.C, try); err != nil {
			te := *lockstep.AsTargetError(err)
			te.Outcome = lockstep.NotApplied
			if te.Fault != lockstep.FaultPermanent {
				te.Fault = lockstep.FaultTransient
				te.Hint = "see that the change gets there, or take the endpoint out of the secret's value"
			}
			te.Err = fmt.Errorf("%s %s does not let the new value in: %w", e.Kind, e.Address(), te.Err)
			return &te
		}
	}
	return nil
}

func (l *Login) insist(ctx context.Context, e Endpoint, late <-chan time.Time, try func(context.Context, *Login) error) error {
	tick := time.NewTicker(retryAfter)
	defer tick.Stop()
	for {
		err := try(ctx, l.At(e))
		if err == nil || lockstep.AsTargetError(err).Fault == lockstep.FaultPermanent {
			return err
		}
		select {
		case <-tick.C:
		case <-late:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// oneHost tells whether a text names one host: a list or a socket's path would
// be another place for each use.
func oneHost(host string) bool {
	return !strings.ContainsFunc(host, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:%", r)
	})
}
