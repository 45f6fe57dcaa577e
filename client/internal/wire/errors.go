package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"lockstep"
)

// Error is a request that the server refused.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code names the kind, for programs: "NotFound", or on the AWS protocol
	// "ResourceNotFoundException".
	Code string
	// Message is for people; Hint, if not empty, says what to do next.
	Message string
	Hint    string
	// RequestID finds the request in the server's log.
	RequestID string
}

func (e *Error) Error() string {
	msg := e.Code + ": " + e.Message
	if e.Hint != "" {
		msg += " (" + e.Hint + ")"
	}
	return msg
}

// Unwrap returns the domain's sentinel that the code stands for, or nil.
func (e *Error) Unwrap() error { return sentinels()[e.Code] }

func sentinels() map[string]error {
	return map[string]error{
		"NotFound": lockstep.ErrNotFound, "ResourceNotFoundException": lockstep.ErrNotFound,
		"Denied": lockstep.ErrDenied, "AccessDeniedException": lockstep.ErrDenied,
		"UnrecognizedClientException": lockstep.ErrDenied, "InvalidSignatureException": lockstep.ErrDenied,
		"ExpiredTokenException": lockstep.ErrDenied, "MissingAuthenticationTokenException": lockstep.ErrDenied,
		"Exists": lockstep.ErrExists, "ResourceExistsException": lockstep.ErrExists,
		"State": lockstep.ErrState, "InvalidRequestException": lockstep.ErrState,
		"Invalid": lockstep.ErrInvalid, "InvalidParameterException": lockstep.ErrInvalid, "ValidationException": lockstep.ErrInvalid,
		"UnknownRotator":    lockstep.ErrUnknownRotator,
		"DecryptionFailure": lockstep.ErrDecrypt,
	}
}

// refusal is an error's body, in the form of /v1 or of the AWS protocol.
type refusal struct {
	Type    string `json:"__type"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// readError makes an Error from an answer. A body that is not ours (a proxy's
// page) is not shown.
func readError(r *http.Response, body []byte) *Error {
	e := &Error{Status: r.StatusCode, RequestID: r.Header.Get("X-Amzn-Requestid")}
	var in refusal
	if err := json.Unmarshal(body, &in); err == nil {
		e.Code, e.Message, e.Hint = in.Code, in.Message, in.Hint
		if e.Code == "" {
			// AWS allows a namespace before the name.
			e.Code = in.Type[strings.LastIndex(in.Type, "#")+1:]
		}
	}
	if e.Code == "" {
		e.Code = fmt.Sprintf("HTTP%d", r.StatusCode)
	}
	if e.Message == "" {
		e.Message = http.StatusText(r.StatusCode)
	}
	return e
}

// temporary tells whether the same request may succeed later.
func (e *Error) temporary() bool {
	switch {
	case e.Status >= http.StatusInternalServerError, e.Status == http.StatusTooManyRequests:
		return true
	default:
		return strings.HasPrefix(e.Code, "Throttling")
	}
}

// aboutTime tells whether a wrong clock may be the cause.
func (e *Error) aboutTime() bool {
	switch e.Code {
	case "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed":
		return true
	}
	return false
}
