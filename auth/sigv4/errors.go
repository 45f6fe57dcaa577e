package sigv4

import "net/http"

// Reason says why a request or token was refused.
type Reason int

// The reasons. Each has one code a protocol; see [Error.Code] and
// [Error.QueryCode].
const (
	// Mismatch: the signature, the scope or the payload hash does not fit the
	// request. The zero value, so that a forgotten reason tells the least.
	Mismatch Reason = iota
	// Unsigned: the request carries no signature at all.
	Unsigned
	// Incomplete: the signature lacks a part, or is not well-formed.
	Incomplete
	// Skewed: the signature's date is too far from the server's clock.
	Skewed
	// UnknownKey: the access key does not exist, is not active, or does not
	// belong to the session token.
	UnknownKey
	// Expired: the credential was right but its time is over.
	Expired
	// TokenExpired: a login token's own time is over.
	TokenExpired
	// TooLarge: the body is over the limit.
	TooLarge
	// Truncated: the body ended before its announced length.
	Truncated
)

// Error is a refusal, to be told to the client. Its text never holds a
// signature, a token or the string to sign.
type Error struct {
	Reason Reason
	// Message is the text for the client.
	Message string
}

type codes struct {
	json, query             string
	jsonStatus, queryStatus int
}

func (r Reason) codes() codes {
	switch r {
	case Unsigned:
		return codes{"MissingAuthenticationTokenException", "MissingAuthenticationToken", http.StatusBadRequest, http.StatusForbidden}
	case Incomplete:
		return codes{"IncompleteSignatureException", "IncompleteSignature", http.StatusBadRequest, http.StatusBadRequest}
	case UnknownKey:
		return codes{"UnrecognizedClientException", "InvalidClientTokenId", http.StatusBadRequest, http.StatusForbidden}
	case Expired:
		return codes{"ExpiredTokenException", "ExpiredToken", http.StatusBadRequest, http.StatusForbidden}
	case TokenExpired:
		return codes{"RequestExpired", "RequestExpired", http.StatusBadRequest, http.StatusBadRequest}
	case TooLarge:
		return codes{"RequestEntityTooLargeException", "RequestEntityTooLarge", http.StatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge}
	case Truncated:
		return codes{"IncompleteBody", "IncompleteBody", http.StatusBadRequest, http.StatusBadRequest}
	default: // Mismatch, Skewed
		return codes{"InvalidSignatureException", "SignatureDoesNotMatch", http.StatusBadRequest, http.StatusForbidden}
	}
}

// Code is the error's code on the JSON APIs, for example
// "InvalidSignatureException".
func (e *Error) Code() string { return e.Reason.codes().json }

// Status is the HTTP status on the JSON APIs.
func (e *Error) Status() int { return e.Reason.codes().jsonStatus }

// QueryCode is the error's code on the XML (Query) APIs such as STS, for
// example "SignatureDoesNotMatch".
func (e *Error) QueryCode() string { return e.Reason.codes().query }

// QueryStatus is the HTTP status on the XML (Query) APIs.
func (e *Error) QueryStatus() int { return e.Reason.codes().queryStatus }

// Error returns code and message, for plain faces and logs.
func (e *Error) Error() string { return e.Code() + ": " + e.Message }

// Is reports whether target is an *Error with the same reason, so that
// errors.Is(err, &sigv4.Error{Reason: sigv4.Expired}) asks for the reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

func refuse(reason Reason, message string) *Error {
	return &Error{Reason: reason, Message: message}
}

const (
	textMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	textUnknownKey = "The security token included in the request is invalid."
	textExpired    = "The security token included in the request is expired"
)
