// Package awsquery is AWS's query protocol, as STS and its like speak it: a
// form in the request, XML in the answer. A [Service] gets the form's values
// and returns a result to be marshalled; what wraps it (the element named after
// the action, the request id, the namespace, the shape of an error) is the same
// for all and is done here.
package awsquery

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"lockstep/auth"
)

// ContentType is that of requests; answers are text/xml.
const ContentType = "application/x-www-form-urlencoded"

// Call is one authenticated request.
type Call struct {
	// Caller is who asks, and from where.
	Caller auth.Caller
	// Action is the operation's name.
	Action string
	// Params are the form's values.
	Params url.Values
}

// Service carries out the actions of one API.
type Service interface {
	// Namespace is the XML namespace of its answers.
	Namespace() string
	// APIVersion is what a request's Version must be.
	APIVersion() string
	// Do carries out one action. The result is marshalled as XML. An *Error is
	// for the client; any other error is logged and answered as an internal
	// failure.
	Do(ctx context.Context, call Call) (any, error)
}

// Error is an answer that tells the client why its request failed.
type Error struct {
	Code    string
	Message string
	// Status is the HTTP status; 0 means 400.
	Status int
}

// Errorf makes an Error with status 400.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Denied is the refusal of who may not.
func Denied(message string) *Error {
	return &Error{Code: "AccessDenied", Message: message, Status: http.StatusForbidden}
}

// Internal is the answer to a failure of the server: it tells nothing.
func Internal() *Error {
	return &Error{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: "An error occurred on the server side."}
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// IsForm tells whether a request is of this protocol by its media type.
func IsForm(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == ContentType
}

// Parse reads a form and finds its action. Errors: *Error.
func Parse(body []byte, s Service) (Call, error) {
	params, err := url.ParseQuery(string(body))
	if err != nil {
		return Call{}, Errorf("MalformedQueryString", "The query string contains a syntax error.")
	}
	for name, values := range params {
		if len(values) > 1 {
			return Call{}, Errorf("MalformedQueryString", "The parameter %s stands there more than once.", name)
		}
	}
	c := Call{Action: params.Get("Action"), Params: params}
	switch {
	case c.Action == "":
		return Call{}, Errorf("MissingAction", "The request is missing an action or a required parameter.")
	case params.Get("Version") != s.APIVersion():
		return Call{}, UnknownAction(c)
	}
	return c, nil
}

// UnknownAction is the answer to an action that the service does not have.
func UnknownAction(c Call) *Error {
	return Errorf("InvalidAction", "Could not find operation %s for version %s", c.Action, c.Params.Get("Version"))
}

// List reads the members of a list, Name.member.1 and so on; field, if not
// empty, is a part of each member. It ends at the first that is not there.
func (c Call) List(name, field string) []string {
	var out []string
	for i := 1; ; i++ {
		key := name + ".member." + strconv.Itoa(i)
		if field != "" {
			key += "." + field
		}
		if !c.Params.Has(key) {
			return out
		}
		out = append(out, c.Params.Get(key))
	}
}

// Write answers with 200 and the result, inside <action>Response.
func Write(w http.ResponseWriter, s Service, call Call, result any) error {
	var b bytes.Buffer
	enc := xml.NewEncoder(&b)
	outer := xml.StartElement{Name: xml.Name{Space: s.Namespace(), Local: call.Action + "Response"}}
	metadata := struct {
		RequestID string `xml:"RequestId"`
	}{call.Caller.RequestID}
	err := errors.Join(
		enc.EncodeToken(outer),
		enc.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: call.Action + "Result"}}),
		enc.EncodeElement(metadata, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}),
		enc.EncodeToken(outer.End()), enc.Close())
	if err != nil {
		return fmt.Errorf("marshal the answer: %w", err)
	}
	send(w, http.StatusOK, b.Bytes())
	return nil
}

// WriteError answers with the error's own status.
func WriteError(w http.ResponseWriter, namespace, requestID string, e *Error) {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	kind := "Sender"
	if status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	type detail struct {
		Type    string `xml:"Type"`
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	// Text always marshals.
	body, _ := xml.Marshal(struct {
		XMLName   xml.Name
		Error     detail `xml:"Error"`
		RequestID string `xml:"RequestId"`
	}{xml.Name{Space: namespace, Local: "ErrorResponse"}, detail{kind, e.Code, e.Message}, requestID})
	send(w, status, body)
}

func send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/xml")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone; there is nobody to tell
}
