// Package custom calls rotators of somebody's own: code that was written as a
// rotation function for AWS, or like one, behind a webhook, in a subprocess, or
// as a service on NATS. [Registrations] keeps what was registered, and hands
// out a rotators.Function for each; the three carriers differ only in how the
// call gets there.
//
// What goes out is AWS's rotation event and, beside it, the credentials of a
// session that ends with the call. What comes back is "done", or an error. A
// carrier trusts nobody on the other side: the time and the size of an answer
// are bounded, redirects are not followed, addresses are checked after they
// were resolved, and a subprocess is killed with its children. Error texts
// repeat only what the function has said on purpose, never what it happened to
// print, and the worker redacts them before anybody sees them.
package custom

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// request is the body of a call, the same for all carriers.
type request struct {
	rotators.FunctionEvent
	Credentials credentials `json:"Credentials"`
}

// credentials are named as STS names them.
type credentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string `json:"SecretAccessKey"`
	SessionToken    string `json:"SessionToken"`
	Expiration      string `json:"Expiration"`
	Endpoint        string `json:"Endpoint"`
	Region          string `json:"Region"`
	CABundle        string `json:"CABundle,omitempty"`
}

// body holds the credentials in clear, on their way to the function alone.
func body(c rotators.Call) ([]byte, error) {
	cb := c.Callback
	raw, err := json.Marshal(request{c.Event, credentials{
		AccessKeyID: cb.AccessKeyID, SecretAccessKey: cb.SecretAccessKey.Reveal(), SessionToken: cb.SessionToken.Reveal(),
		Expiration: cb.Expires.UTC().Format(time.RFC3339), Endpoint: cb.Endpoint, Region: string(cb.Region), CABundle: cb.CABundle,
	}})
	if err != nil {
		return nil, notReached(fmt.Errorf("write the event: %w", err))
	}
	return raw, nil
}

// said is what a function answers on purpose, in Lambda's words.
type said struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// readSaid reads an answer; empty if it says nothing in that form.
func readSaid(answer []byte) string {
	var s said
	if json.Unmarshal(answer, &s) != nil || s.Message == "" {
		return ""
	}
	if s.Type != "" {
		return s.Type + ": " + s.Message
	}
	return s.Message
}

// notReached: the function certainly did not run.
func notReached(err error) error {
	return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: err}
}

// forbidden: the function was not called, and will not be until a person has
// changed something.
func forbidden(err error, hint string) error {
	return &lockstep.TargetError{Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Hint: hint, Err: err}
}

// failed: the function was called. What it did is not known.
func failed(err error) error { return &lockstep.TargetError{Err: err} }

// answered is the error of a function that said what is wrong; words may be
// empty.
func answered(how, words string) error {
	if words == "" {
		return failed(errors.New(how))
	}
	return failed(fmt.Errorf("%s: %s", how, words))
}
