package awsjson

import (
	"fmt"
	"net/http"
)

// The codes that belong to the protocol, not to a service.
const (
	CodeSerialization    = "SerializationException"
	CodeUnknownOperation = "UnknownOperationException"
	CodeValidation       = "ValidationException"
	CodeInternal         = "InternalServiceError"
)

// Error is an answer that tells the client why its request failed.
type Error struct {
	// Code stands in __type.
	Code string
	// Message is the text for the client; it never holds a secret value.
	Message string
	// Status is the HTTP status; 0 means 400.
	Status int
	// Cause is for the log alone, where the fault may be the server's; nil
	// where it is the client's.
	Cause error
}

// Errorf makes an Error with status 400.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Internal is the answer to a failure of the server: it tells nothing.
func Internal() *Error {
	return &Error{Code: CodeInternal, Status: http.StatusInternalServerError,
		Message: "An error occurred on the server side."}
}

// UnknownOperation is the answer to an action that the service does not have.
func UnknownOperation() *Error {
	return Errorf(CodeUnknownOperation, "The action requested by the caller is not known.")
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// HTTPStatus is Status, or 400 if it is not set.
func (e *Error) HTTPStatus() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

func unreadable(format string, args ...any) *Error {
	return Errorf(CodeSerialization, format, args...)
}
