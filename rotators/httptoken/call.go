package httptoken

import (
	"bytes"
	"context"
	"crypto/tls"
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
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// conversation is what one call of the engine asks of a provider: the values
// that it is about, and what of them must not be shown.
type conversation struct {
	*rotator
	scope scope
	// hidden are the texts to be cut out of what the provider says.
	hidden []lockstep.Value
}

// begin opens the values. Errors: a permanent TargetError.
func (r *rotator) begin(req *rotators.Request, about lockstep.Value) (*conversation, error) {
	c := &conversation{rotator: r, scope: scope{now: r.now()}}
	var err error
	if c.scope.secret, err = jsonvalue.Parse(about); err != nil {
		return nil, permanent(err, "put a JSON object with the recipe's fields")
	}
	c.hide(c.scope.secret, r.recipe.Secret)
	if !req.Admin.IsZero() {
		if c.scope.admin, err = jsonvalue.Parse(req.Admin); err != nil {
			return nil, permanent(fmt.Errorf("admin secret: %w", err), "put a JSON object with the recipe's fields into the admin secret")
		}
		c.hide(c.scope.admin, r.recipe.Admin)
	}
	for _, v := range append([]lockstep.Value{req.Current, req.Pending}, req.Live...) {
		if o, err := jsonvalue.Parse(v); err == nil {
			c.hide(o, r.recipe.Secret)
		}
	}
	return c, nil
}

// hide notes all texts of a value but those of the fields that may be shown.
func (c *conversation) hide(o *jsonvalue.Object, declared Fields) {
	for _, name := range o.Names() {
		if text, ok := textOf(o.JSON(name)); ok && !named(declared.Open, name) {
			c.hidden = append(c.hidden, lockstep.StringValue(text))
		}
	}
}

// shown makes a text of the provider fit to be shown.
func (c *conversation) shown(text string) string {
	return rotators.Redact(text, append(append([]lockstep.Value(nil), c.hidden...), c.scope.derived...)...)
}

// permanent is a fault that a person must mend, found before anything is sent.
func permanent(err error, hint string) *lockstep.TargetError {
	return &lockstep.TargetError{Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent, Hint: hint, Err: err}
}

// filledIn is a request with its templates filled in.
type filledIn struct {
	request *request
	url     *url.URL
	header  http.Header
	body    []byte
}

// fill fills a request's templates in. Errors: a permanent TargetError that
// names the field and shows no value.
func (c *conversation) fill(q *request) (*filledIn, error) {
	f, err := c.filled(q)
	if err != nil {
		return nil, permanent(fmt.Errorf("%s: %w", q.name, err), "correct the secret's value, the admin's, or the recipe")
	}
	return f, nil
}

func (c *conversation) filled(q *request) (*filledIn, error) {
	f := &filledIn{request: q, header: http.Header{"User-Agent": {"lockstep"}, "Accept": {"application/json"}}}
	var err error
	if f.url, err = q.url.write(&c.scope); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	for _, h := range q.headers {
		text, there, err := h.value.header(&c.scope)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.name, err)
		}
		if there {
			f.header.Set(h.name, text)
		}
	}
	if q.body != nil {
		raw, err := q.body.json(&c.scope)
		if err != nil {
			return nil, fmt.Errorf("json: %w", err)
		}
		f.body = raw
		f.header.Set("Content-Type", "application/json")
	}
	if q.form != nil {
		return f, c.fillForm(q, f)
	}
	return f, nil
}

func (c *conversation) fillForm(q *request, f *filledIn) error {
	form := url.Values{}
	for _, field := range q.form {
		text, there, err := field.value.optionalText(&c.scope)
		if err != nil {
			return fmt.Errorf("form field %s: %w", field.name, err)
		}
		if there {
			form.Add(field.name, text)
		}
	}
	f.body = []byte(form.Encode())
	f.header.Set("Content-Type", "application/x-www-form-urlencoded")
	return nil
}

// ask fills a request in, sends it, and reads the answer. Errors: a TargetError
// unless the answer says yes, or that what was to be revoked is gone.
func (c *conversation) ask(ctx context.Context, q *request) (reply, error) {
	f, err := c.fill(q)
	if err != nil {
		return reply{}, err
	}
	return c.send(ctx, f)
}

// send sends a request and reads the answer.
func (c *conversation) send(ctx context.Context, f *filledIn) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.recipe.Timeout)
	defer cancel()
	var sent atomic.Bool
	a, err := c.exchange(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	}), f)
	if err != nil {
		return a, c.unanswered(ctx, f, err, sent.Load())
	}
	m := f.request.meaning(a)
	if m == meansOK || m == meansGone {
		return a, nil
	}
	return a, f.request.fault(m, a, c.words(a))
}

// errTooLarge: the answer is larger than what is read.
var errTooLarge = errors.New("the answer is too large")

// exchange makes one HTTP exchange over a connection of its own.
func (c *conversation) exchange(ctx context.Context, f *filledIn) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, f.request.method, f.url.String(), bytes.NewReader(f.body))
	if err != nil {
		return reply{}, errors.New("the request can't be put together")
	}
	req.Header = f.header
	reach := egress.Reach{Allowed: c.config.Addresses, OnlyLoopback: f.url.Scheme == "http"}
	transport := reach.Transport(c.config.Roots, c.recipe.Timeout)
	transport.DisableCompression = true
	defer transport.CloseIdleConnections()
	resp, err := egress.ClientOf(transport).Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.recipe.answer)+1))
	switch {
	case err != nil:
		return reply{}, err
	case len(body) > c.recipe.answer:
		return reply{}, fmt.Errorf("%w: more than %d bytes", errTooLarge, c.recipe.answer)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// unanswered is the error of an exchange without a whole answer. The URL stays
// out of it. Nothing was done if no connection came about.
func (c *conversation) unanswered(ctx context.Context, f *filledIn, err error, sent bool) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	te := &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s: %s", f.request.name, c.shown(err.Error()))}
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, egress.ErrAddress):
		te.Fault, te.Hint = lockstep.FaultPermanent, "register the recipe with --allow-loopback or --allow-private if the API is meant to be there"
	case errors.As(err, &cert):
		te.Hint = "register the recipe with --ca-file if the API has a private authority"
	case sent:
		te.Outcome = lockstep.Unknown
	}
	if ctx.Err() != nil {
		te.Err = fmt.Errorf("%s: no answer in time", f.request.name)
	}
	return te
}

// words is what the provider says is wrong, where the recipe says that it does.
func (c *conversation) words(a reply) string {
	var found []string
	for _, p := range c.recipe.words {
		if text, ok := textOf(p.find(a.body)); ok && strings.TrimSpace(text) != "" {
			found = append(found, c.shown(text))
		}
	}
	return strings.Join(found, "; ")
}
