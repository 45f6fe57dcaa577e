package lockstep

import (
	"fmt"
	"strings"
)

// The first tokens of the NATS subjects that Lockstep uses.
const (
	JobSubjectPrefix   = "lockstep.job"
	EventSubjectPrefix = "lockstep.event"
)

// emptyToken stands for an empty part of a name ("/a", "a//b"), since NATS has
// no empty tokens. A percent sign is not allowed in names, so the escapes are
// reversible.
const emptyToken = "%"

// SecretKey is a Secret's name as tokens of a NATS subject: each part of the
// path is one token, so that "prod/db/orders" is "prod.db.orders" and the
// subject "….prod.db.>" matches what lies under prod/db. A dot inside a part
// becomes "%2E"; every other character of a name may stand in a token as it
// is.
func SecretKey(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if p == "" {
			parts[i] = emptyToken
			continue
		}
		parts[i] = strings.ReplaceAll(p, ".", "%2E")
	}
	return strings.Join(parts, ".")
}

// NameOfKey is the reverse of SecretKey.
func NameOfKey(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		if p == emptyToken {
			parts[i] = ""
			continue
		}
		parts[i] = strings.ReplaceAll(p, "%2E", ".")
	}
	return strings.Join(parts, "/")
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
