package rotators

import (
	"slices"
	"time"
)

// Connection is one session at a target, as the target shows it.
type Connection struct {
	Address, Application string
	// Age is how long ago it was opened; negative if the target does not say.
	Age time.Duration
}

// Ages bounds the age of the sessions that may have been opened with a
// credential.
type Ages struct {
	// Min and Max are inclusive; a zero Max means none.
	Min, Max time.Duration
	// None tells that no session can be told to be this credential's.
	None bool
}

// AgesOf bounds the sessions of a credential whose account is AWSCURRENT's too,
// and which is the present one or an older one. By now the store's clock shows
// how long AWSCURRENT has been in force; the clock of this process stands in for
// it. Without a time, every session may be AWSCURRENT's.
func (r *Request) AgesOf(present Present) Ages {
	switch {
	case r.Since.IsZero():
		return Ages{None: present == Former}
	case present == Former:
		return Ages{Min: time.Since(r.Since)}
	}
	return Ages{Max: time.Since(r.Since)}
}

// Present says whether a credential is AWSCURRENT's or an older one.
type Present bool

// The two that an account may have had.
const (
	Former  Present = false
	InForce Present = true
)

// Hold tells whether a session of this age fits; one of unknown age does.
func (a Ages) Hold(age time.Duration) bool {
	return !a.None && (age < 0 || age >= a.Min && (a.Max == 0 || age <= a.Max))
}

// Gather puts connections together by address and application, the oldest first.
func Gather(all []Connection, certain bool) []Session {
	type key struct{ address, application string }
	at := make(map[key]int)
	var out []Session
	now := time.Now()
	for _, c := range all {
		k := key{c.Address, c.Application}
		i, there := at[k]
		if !there {
			i = len(out)
			at[k] = i
			out = append(out, Session{Address: c.Address, Application: c.Application, Certain: certain})
		}
		out[i].Count++
		if c.Age < 0 {
			continue
		}
		if since := now.Add(-c.Age); out[i].Since.IsZero() || since.Before(out[i].Since) {
			out[i].Since = since
		}
	}
	slices.SortStableFunc(out, func(a, b Session) int { return a.Since.Compare(b.Since) })
	return out
}
