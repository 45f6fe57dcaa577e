package httptoken

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"lockstep"
)

// meaning is what an answer says.
type meaning int

const (
	meansNothing meaning = iota
	// meansOK: done, or accepted.
	meansOK
	// meansGone: what was to be revoked is not there any more.
	meansGone
	// meansRefusedLogin: the credential that the request was made with is not
	// accepted.
	meansRefusedLogin
	// meansNotApplied: nothing was done; another try later may.
	meansNotApplied
	// meansPermanent: nothing was done, and no other try will.
	meansPermanent
	// meansUnknown: it may have been done.
	meansUnknown
)

// meaningWords are the meanings as recipes name them.
func meaningWords() map[string]meaning {
	return map[string]meaning{
		"ok": meansOK, "gone": meansGone, "refused-login": meansRefusedLogin,
		"not-applied": meansNotApplied, "permanent": meansPermanent, "unknown": meansUnknown,
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   json.RawMessage
}

// meaning reads an answer: what the recipe says about it, first rule first;
// else by its status, as HTTP means it.
func (q *request) meaning(a reply) meaning {
	for _, rule := range q.answers {
		if matches(rule.status, a.status) && hold(rule.holds, a.body) {
			return rule.means
		}
	}
	if !matches(q.expect, a.status) {
		return usual(a.status)
	}
	switch {
	case hold(q.holds, a.body):
		return meansOK
	case q.name == "test":
		return meansRefusedLogin
	}
	return meansUnknown
}

// usual is what a status means where the recipe says nothing of it.
func usual(status int) meaning {
	switch {
	case status == http.StatusUnauthorized:
		return meansRefusedLogin
	case status == http.StatusTooManyRequests:
		return meansNotApplied
	case status == http.StatusRequestTimeout:
		return meansUnknown
	case status >= 300 && status < 500:
		return meansPermanent
	}
	return meansUnknown
}

func matches(list []statuses, status int) bool {
	return slices.ContainsFunc(list, func(s statuses) bool { return s.has(status) })
}

func hold(list []condition, body json.RawMessage) bool {
	for _, c := range list {
		if !sameJSON(c.at.find(body), c.want) {
			return false
		}
	}
	return true
}

// sameJSON compares texts by what they say and everything else as it is written.
func sameJSON(got, want json.RawMessage) bool {
	var a, b string
	if json.Unmarshal(want, &b) == nil {
		return json.Unmarshal(got, &a) == nil && a == b && got != nil
	}
	return bytes.Equal(bytes.TrimSpace(got), want)
}

// fault is the error of an answer that is not yes.
func (q *request) fault(m meaning, a reply, words string) *lockstep.TargetError {
	text := fmt.Sprintf("%s: answered %d %s", q.name, a.status, http.StatusText(a.status))
	if words != "" {
		text += ": " + words
	}
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s", text)}
	switch m {
	case meansRefusedLogin:
		te.Fault, te.Hint = lockstep.FaultRefusedLogin, "see that the credential with which "+q.name+" is asked is the present one"
	case meansPermanent:
		te.Fault, te.Hint = lockstep.FaultPermanent, "see that the credential with which "+q.name+" is asked has the right to, and that the recipe fits"
		if a.status < 400 {
			te.Hint = "redirects are not followed; name the host that it leads to"
		}
	case meansNotApplied:
		te.Hint = later(a)
	case meansUnknown:
		te.Outcome = lockstep.Unknown
	}
	return te
}

// later says how long the provider asks to wait, if it does.
func later(a reply) string {
	text := a.header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return fmt.Sprintf("the provider asks to wait %s", time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return "the provider asks to wait until " + at.UTC().Format(time.RFC3339)
	}
	return ""
}
