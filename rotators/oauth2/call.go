package oauth2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	"lockstep"
	"lockstep/internal/egress"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// request is one HTTP request. What it is about stands in its errors; the URL's
// host does, and nothing else of it.
type request struct {
	doing  string
	method string
	url    string
	// basic is the client that authenticates by HTTP Basic; nil if none does.
	basic *client
	// bearer is a token; zero for none.
	bearer lockstep.Value
	kind   string
	body   []byte
	// secrets are cut out of what the server says.
	secrets []lockstep.Value
}

const (
	kindForm = "application/x-www-form-urlencoded"
	kindJSON = "application/json"
)

// form makes a request that posts a form.
func form(doing, address string, fields url.Values) request {
	return request{doing: doing, method: http.MethodPost, url: address, kind: kindForm, body: []byte(fields.Encode())}
}

// answer is what came back, whole.
type answer struct {
	status int
	host   string
	body   []byte
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// do sends a request once. Errors: TargetErrors: NotApplied if nothing was sent,
// Unknown if there was no whole answer. Any status is an answer.
func (s side) do(ctx context.Context, r request) (answer, error) {
	u, reach, err := s.checkURL(r.url)
	if err != nil {
		return answer{}, permanent("correct the address in the value", "%s: %w", r.doing, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, permanent("correct the address in the value", "%s: %w", r.doing, err)
	}
	r.headers(req)
	transport := reach.Transport(s.roots, s.timeout)
	defer transport.CloseIdleConnections()
	resp, err := egress.ClientOf(transport).Do(req)
	if err != nil {
		return answer{}, unanswered(r.doing, u.Host, err, connected.Load())
	}
	defer func() { _ = resp.Body.Close() }()
	got := answer{status: resp.StatusCode, host: u.Host}
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return answer{}, unanswered(r.doing, u.Host, err, true)
	}
	if len(got.body) > maxAnswer {
		return answer{}, &lockstep.TargetError{
			Err:  fmt.Errorf("%s: %s answered %d with more than %d bytes", r.doing, u.Host, got.status, maxAnswer),
			Hint: "see whether the address is the authorization server's",
		}
	}
	return got, nil
}

func (r *request) headers(req *http.Request) {
	req.Header.Set("Accept", kindJSON)
	req.Header.Set("User-Agent", "lockstep")
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	if !r.bearer.IsZero() {
		req.Header.Set("Authorization", "Bearer "+r.bearer.Reveal())
	}
	if r.basic != nil { // RFC 6749 section 2.3.1: both are form-encoded first
		req.SetBasicAuth(url.QueryEscape(r.basic.id), url.QueryEscape(r.basic.secret))
	}
}

// checkURL reads an endpoint's address. Without TLS it is for loopback alone,
// where that is allowed.
func (s side) checkURL(text string) (*url.URL, egress.Reach, error) {
	reach := s.reach
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Hostname() == "", u.Opaque != "":
		return nil, reach, invalid("an endpoint's address can't be read; it is https://HOST/PATH")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, reach, invalid("an endpoint's address begins with https://")
	case u.User != nil, u.Fragment != "":
		return nil, reach, invalid("an endpoint's address has neither a login nor a fragment")
	}
	reach.OnlyLoopback = u.Scheme == "http"
	return u, reach, nil
}

// unanswered reads the error of a request without a whole answer.
func unanswered(doing, host string, err error, sent bool) error {
	var ue *url.Error
	if errors.As(err, &ue) { // it repeats the whole address
		err = ue.Err
	}
	if errors.Is(err, egress.ErrAddress) {
		return permanent("let the server call such addresses, if the authorization server is meant to be there (--egress)", "%s: call %s: %w", doing, host, err)
	}
	te := &lockstep.TargetError{Err: fmt.Errorf("%s: call %s: %w", doing, host, err)}
	if !sent {
		te.Outcome = lockstep.NotApplied
		te.Hint = "see that the authorization server is reachable, and its certificate one that the server trusts"
	}
	return te
}

// permanent is a fault that a person must mend, with nothing done.
func permanent(hint, format string, args ...any) *lockstep.TargetError {
	return &lockstep.TargetError{
		Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Hint: hint, Err: fmt.Errorf(format, args...),
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, lockstep.ErrInvalid)...)
}

// join appends a path to an issuer's address.
func join(address, path string) string { return strings.TrimSuffix(address, "/") + path }
