package bus

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"lockstep"
)

// Authorizer decides about a connection of an application.
type Authorizer interface {
	// Authorize checks the login token of a connection and says what it may
	// see. Any error refuses the connection; its text is logged, and not told
	// to the application.
	Authorize(ctx context.Context, token string) (Grant, error)
}

// Grant is what one connection may see.
type Grant struct {
	// User names the principal, for logs and Disconnect.
	User string
	// Subscribe lists the event subjects, each beginning with
	// EventSubjectPrefix; wildcards may stand where NATS allows them. Empty,
	// and Serve too: the connection is refused.
	Subscribe []string
	// Serve lists the custom rotators whose steps it may be asked for.
	Serve []string
	// Expires ends the connection; the client then connects again with a fresh
	// token. It must be in the future.
	Expires time.Time
}

const (
	inboxPrefix  = "_INBOX_"
	replayPrefix = "lockstep.replay"
	clientPrefix = "lockstep/"
	// maxRequest is how long a rotator may take to answer.
	maxRequest = 15 * time.Minute
	// clientIDLength is the length of a client id: 32 hexadecimal digits, 16
	// random bytes.
	clientIDLength = 32
)

// ClientName is the connection name (nats.Name) that gives a connection an
// inbox of its own: "lockstep/<id>", and then, if app is not empty, a space
// and the application's name. The id is 32 lower-case hexadecimal digits that
// the client draws at random once and keeps over reconnections; whoever knows
// it and holds a login token of his own could listen to that inbox, so it is
// not shown to others.
func ClientName(id, app string) string {
	if app == "" {
		return clientPrefix + id
	}
	return clientPrefix + id + " " + app
}

// InboxPrefix is the inbox prefix (nats.CustomInboxPrefix) of a client id.
func InboxPrefix(id string) string { return inboxPrefix + id }

// ReplaySubject is where a client asks for Events that it missed: the client
// id, and the subject it wants, which must be within its Grant.
func ReplaySubject(id, subject string) string {
	return replayPrefix + "." + id + "." + subject
}

// clientID reads the id from a connection's name; empty if it has none.
func clientID(name string) string {
	rest, ok := strings.CutPrefix(name, clientPrefix)
	if !ok || len(rest) < clientIDLength || (len(rest) > clientIDLength && rest[clientIDLength] != ' ') {
		return ""
	}
	id := rest[:clientIDLength]
	if _, err := hex.DecodeString(id); err != nil || strings.ToLower(id) != id {
		return ""
	}
	return id
}

// check refuses a Grant that says nothing, or too much. Errors: ErrDenied.
func (g Grant) check(now time.Time) error {
	switch {
	case g.User == "":
		return fmt.Errorf("grant without a user: %w", lockstep.ErrDenied)
	case len(g.Subscribe)+len(g.Serve) == 0:
		return fmt.Errorf("%s may see no events: %w", g.User, lockstep.ErrDenied)
	case g.Expires.Unix() <= now.Unix():
		return fmt.Errorf("grant of %s has expired: %w", g.User, lockstep.ErrDenied)
	}
	for _, s := range g.Subscribe {
		if !eventPattern(s) {
			return fmt.Errorf("grant of %s names %q, which is not an event subject: %w", g.User, s, lockstep.ErrDenied)
		}
	}
	for _, name := range g.Serve {
		if name == "" || strings.ContainsAny(name, ".*> \t\r\n\f\x00") {
			return fmt.Errorf("grant of %s names the rotator %q, which is no token of a subject: %w", g.User, name, lockstep.ErrDenied)
		}
	}
	return nil
}

// eventPattern tells whether s is a valid subject, perhaps with wildcards,
// under EventSubjectPrefix.
func eventPattern(s string) bool {
	rest, ok := strings.CutPrefix(s, lockstep.EventSubjectPrefix+".")
	if !ok || strings.ContainsAny(s, " \t\r\n\f\x00") {
		return false
	}
	tokens := strings.Split(rest, ".")
	for i, tok := range tokens {
		if tok == "" || (tok == ">" && i != len(tokens)-1) || (len(tok) > 1 && strings.ContainsAny(tok, "*>")) {
			return false
		}
	}
	return true
}

// permissions turns a Grant into what the server enforces. An empty allow list
// would mean "everything", so a connection without a client id is denied all
// publishing in so many words.
func permissions(g Grant, id string) jwt.Permissions {
	var p jwt.Permissions
	p.Sub.Allow.Add(g.Subscribe...)
	for _, name := range g.Serve {
		p.Sub.Allow.Add(lockstep.RotatorSubject(name, "*"))
	}
	if len(g.Serve) > 0 { // each request may be answered, where it says
		p.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: maxRequest}
	}
	if id == "" {
		p.Pub.Deny.Add(">")
		return p
	}
	p.Sub.Allow.Add(InboxPrefix(id) + ".>")
	for _, s := range g.Subscribe {
		p.Pub.Allow.Add(ReplaySubject(id, s))
	}
	return p
}
