package awsjson

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"lockstep/auth"
)

// ContentType is the media type of requests and answers.
const ContentType = "application/x-amz-json-1.1"

// Call is one authenticated request.
type Call struct {
	// Caller is who asks, and from where.
	Caller auth.Caller
	// Action is the operation's name without the service's prefix.
	Action string
	// Body is the request's JSON text, unread.
	Body []byte
}

// Service carries out the actions of one API.
type Service interface {
	// Do carries out one action. The output is marshalled as JSON; nil is
	// written as an empty object. An *Error is for the client; any other error
	// is logged and answered as an internal failure.
	Do(ctx context.Context, call Call) (any, error)
}

// Write answers with 200 and the output.
func Write(w http.ResponseWriter, output any) error {
	if output == nil {
		output = struct{}{}
	}
	body, err := marshal(output)
	if err != nil {
		return fmt.Errorf("marshal the answer: %w", err)
	}
	send(w, http.StatusOK, body)
	return nil
}

// WriteError answers with the error's own status.
func WriteError(w http.ResponseWriter, e *Error) {
	// The two fields are text, which always marshals.
	body, _ := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"Message,omitempty"`
	}{e.Code, e.Message})
	send(w, e.HTTPStatus(), body)
}

func send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone; there is nobody to tell
}

// marshal is json.Marshal without the escapes for HTML, which AWS does not
// send either.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
