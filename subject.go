package lockstep

import (
	"fmt"
	"strconv"
	"strings"
)

// The first tokens of the NATS subjects that Lockstep uses.
const (
	JobSubjectPrefix   = "lockstep.job"
	EventSubjectPrefix = "lockstep.event"
	// RotatorSubjectPrefix begins what custom rotators listen to.
	RotatorSubjectPrefix = "lockstep.rotator"
)

// RotatorSubject is where a custom rotator that is a NATS service is asked for
// a step, for example lockstep.rotator.mainframe.setSecret. Its name is one
// token.
func RotatorSubject(name, step string) string {
	return RotatorSubjectPrefix + "." + name + "." + step
}

// emptyToken stands for an empty part of a name ("/a", "a//b"), since NATS has
// no empty tokens. No escape is a percent sign alone.
const emptyToken = "%"

// plainInToken are the characters beside letters and digits that stand in a
// token as they are: those of a Secret's name but the dot, which parts tokens.
const plainInToken = "_+=@!-"

// SecretKey is a Secret's name as tokens of a NATS subject: each part of the
// path is one token, so that "prod/db/orders" is "prod.db.orders" and the
// subject "….prod.db.>" matches what lies under prod/db. A dot inside a part
// becomes "%2E", and so does every byte that a name cannot have: whatever the
// name, the key is made of valid tokens, none of them a wildcard.
func SecretKey(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = token(p)
	}
	return strings.Join(parts, ".")
}

func token(part string) string {
	if part == "" {
		return emptyToken
	}
	var b strings.Builder
	for _, c := range []byte(part) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if plain || strings.IndexByte(plainInToken, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// NameOfKey is the reverse of SecretKey. What is no escape stays as it is.
func NameOfKey(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		parts[i] = part(p)
	}
	return strings.Join(parts, "/")
}

func part(token string) string {
	if token == emptyToken {
		return ""
	}
	pieces := strings.Split(token, "%")
	for i, piece := range pieces[1:] {
		pieces[i+1] = unescape(piece)
	}
	return strings.Join(pieces, "")
}

// unescape reads what follows a percent sign.
func unescape(piece string) string {
	if len(piece) < 2 {
		return "%" + piece
	}
	c, err := strconv.ParseUint(piece[:2], 16, 8)
	if err != nil {
		return "%" + piece
	}
	return string([]byte{byte(c)}) + piece[2:]
}

// EventSubject is the subject that an Event is published on:
// lockstep.event.<account>.<region>.<type>.<secret key>.
func EventSubject(e *Event) string {
	return fmt.Sprintf("%s.%s.%s.%s.%s", EventSubjectPrefix, e.Account, e.Region, e.Type, SecretKey(e.Name))
}

// JobSubject is the subject of a Job:
// lockstep.job.<account>.<region>.<pool>.<kind>.<secret key>. Pool says which
// workers may take it.
func JobSubject(account AccountID, region Region, pool, kind, name string) string {
	return fmt.Sprintf("%s.%s.%s.%s.%s.%s", JobSubjectPrefix, account, region, pool, kind, SecretKey(name))
}

// LoginAudience is the audience of the login tokens with which NATS clients
// prove that they hold an access key: a token made for anything else is
// refused.
const LoginAudience = "lockstep"
