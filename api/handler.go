package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/api/awsquery"
	"lockstep/api/v1"
	"lockstep/auth"
	"lockstep/auth/sigv4"
)

// Verifier proves who signed a request; *sigv4.Verifier[auth.Principal] is
// one. Its Config must list the scope services of all APIs served.
type Verifier interface {
	Verify(r *http.Request) (sigv4.Identity[auth.Principal], error)
}

// Admin is the API under /v1; *v1.API is one.
type Admin interface {
	Serve(w http.ResponseWriter, r *http.Request, caller auth.Caller) (action string, err error)
}

// AWSService is an AWS JSON API and where it is found.
type AWSService struct {
	// Prefix stands before the action in X-Amz-Target: "secretsmanager",
	// "TrentService".
	Prefix string
	// Scope is the service in the credential scope of its requests:
	// "secretsmanager", "kms".
	Scope string
	// Service carries out the actions.
	Service awsjson.Service
}

// Observer hears of requests that were answered.
type Observer interface {
	// Answered is told the action (empty for a caller who was not let in), the
	// error code (empty for none), and how long it took. It returns at once.
	Answered(action, code string, took time.Duration)
}

// QueryService is an AWS query API, found by the service in the credential
// scope of its requests: "sts".
type QueryService struct {
	Scope   string
	Service awsquery.Service
}

// Config is what a Handler needs.
type Config struct {
	// Verifier, Services, Admin and Log are required.
	Verifier Verifier
	Services []AWSService
	Admin    Admin
	Log      *slog.Logger
	// Query is the API for forms; the zero value: none.
	Query QueryService
	// Ready tells whether the server can do its work; nil: always.
	Ready func(context.Context) error
	// Observer hears of each answer; nil: nobody.
	Observer Observer
	// TrustedProxies are the networks whose X-Forwarded-For and
	// X-Forwarded-Proto are believed; empty: nobody's.
	TrustedProxies []netip.Prefix
	// Audit records each request before its answer leaves; nil: no record.
	Audit Recorder
}

// The scope services of /v1: its own, and that of the SDKs' credentials that a
// caller has at hand.
const (
	ScopeLockstep = "lockstep"
	scopeSecrets  = "secretsmanager"
)

// Handler is the whole HTTP face. It is safe for concurrent use.
type Handler struct {
	config   Config
	services map[string]AWSService
}

// New makes a Handler. Errors: ErrInvalid if something required is missing or
// two services have the same prefix.
func New(c Config) (*Handler, error) {
	if c.Verifier == nil || len(c.Services) == 0 || c.Admin == nil || c.Log == nil {
		return nil, fmt.Errorf("api config: Verifier, Services, Admin and Log are required: %w", lockstep.ErrInvalid)
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	h := &Handler{config: c, services: make(map[string]AWSService, len(c.Services))}
	for _, s := range c.Services {
		if _, twice := h.services[s.Prefix]; twice || s.Prefix == "" || s.Scope == "" || s.Service == nil {
			return nil, fmt.Errorf("api config: service %q is incomplete or stands there twice: %w", s.Prefix, lockstep.ErrInvalid)
		}
		h.services[s.Prefix] = s
	}
	return h, nil
}

// exchange is one request and what becomes of it.
type exchange struct {
	http.ResponseWriter
	id     string
	begin  time.Time
	caller auth.Caller
	action string
	code   string
	status int
	cause  error
	// source is the API that is asked, and claimed the action that it is asked
	// for, before anything is known about who asks.
	source, claimed string
	// record makes the request's audit record durable, before the answer begins;
	// nil: there is none to make. withheld: it could not, and the client was
	// told so instead of what follows.
	record   func(x *exchange) error
	withheld bool
}

// WriteHeader begins the answer: the audit record first. It notes the status
// for the log.
func (x *exchange) WriteHeader(status int) {
	if x.withheld {
		return
	}
	if x.status == 0 {
		x.status = status
		if x.withhold(); x.withheld {
			return
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write begins the answer, if it has not begun, with the implied status.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.withheld {
		return len(b), nil
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := lockstep.NewVersionID()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		h.config.Log.ErrorContext(r.Context(), "no request id", "error", err)
		return
	}
	x := &exchange{ResponseWriter: w, id: string(id), begin: time.Now()}
	w.Header().Set("X-Amzn-Requestid", x.id)
	defer h.finish(x, r)
	if h.audited(x, r) {
		h.route(x, r)
	}
}

func (h *Handler) route(x *exchange, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/healthz":
		h.health(x, r, nil)
	case path == "/readyz":
		h.health(x, r, h.config.Ready(r.Context()))
	case path == "/v1" || strings.HasPrefix(path, "/v1/"):
		h.admin(x, r)
	case path == "/" && r.Method == http.MethodPost:
		h.aws(x, r)
	default:
		x.action, x.code = "unknown path", "NotFound"
		http.NotFound(x, r)
	}
}

func (h *Handler) health(x *exchange, r *http.Request, problem error) {
	x.action = r.URL.Path
	x.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if problem != nil {
		x.cause = problem
		x.WriteHeader(http.StatusServiceUnavailable)
		_, _ = x.Write([]byte("not ready\n")) // the peer is gone otherwise
		return
	}
	_, _ = x.Write([]byte("ok\n"))
}

func (h *Handler) aws(x *exchange, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "" && h.config.Query.Service != nil && awsquery.IsForm(r) {
		h.query(x, r)
		return
	}
	prefix, action, found := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	service, known := h.services[prefix]
	x.source, x.claimed = service.Scope, action
	if !found || !known {
		h.refuseAWS(x, awsjson.UnknownOperation())
		return
	}
	body, err := h.authenticate(x, r, service.Scope)
	if err != nil {
		h.refuseAWS(x, err)
		return
	}
	x.action = prefix + ":" + action
	out, err := service.Service.Do(r.Context(), awsjson.Call{Caller: x.caller, Action: action, Body: body})
	if err != nil {
		h.refuseAWS(x, err)
		return
	}
	if err := awsjson.Write(x, out); err != nil {
		h.refuseAWS(x, err)
	}
}

// refuseAWS answers with what the client may know of an error.
func (h *Handler) refuseAWS(x *exchange, err error) {
	told := awsjson.Internal()
	var refused *sigv4.Error
	switch {
	case errors.As(err, &refused):
		told = &awsjson.Error{Code: refused.Code(), Status: refused.Status(), Message: refused.Message}
	case errors.As(err, &told):
	default:
		x.cause = err
	}
	if told.Cause != nil {
		x.cause = told.Cause
	}
	x.code = told.Code
	awsjson.WriteError(x, told)
}

// query answers a request of the query protocol.
func (h *Handler) query(x *exchange, r *http.Request) {
	service := h.config.Query.Service
	x.source = h.config.Query.Scope
	body, err := h.authenticate(x, r, x.source)
	if err != nil {
		h.refuseQuery(x, err)
		return
	}
	call, err := awsquery.Parse(body, service)
	if err != nil {
		h.refuseQuery(x, err)
		return
	}
	call.Caller = x.caller
	x.claimed, x.action = call.Action, x.source+":"+call.Action
	out, err := service.Do(r.Context(), call)
	if err == nil {
		err = awsquery.Write(x, service, call, out)
	}
	if err != nil {
		h.refuseQuery(x, err)
	}
}

func (h *Handler) refuseQuery(x *exchange, err error) {
	told := awsquery.Internal()
	var refused *sigv4.Error
	switch {
	case errors.As(err, &refused):
		told = &awsquery.Error{Code: refused.QueryCode(), Status: refused.QueryStatus(), Message: refused.Message}
	case errors.As(err, &told):
	default:
		x.cause = err
	}
	x.code = told.Code
	awsquery.WriteError(x, h.config.Query.Service.Namespace(), x.id, told)
}

func (h *Handler) admin(x *exchange, r *http.Request) {
	x.source, x.claimed = ScopeLockstep, r.Method
	_, err := h.authenticate(x, r, ScopeLockstep, scopeSecrets)
	if err == nil {
		x.action, err = h.config.Admin.Serve(x, r, x.caller)
	}
	if err == nil {
		return
	}
	if x.status != 0 {
		// The answer has begun: only cutting it off tells the client.
		h.config.Log.ErrorContext(r.Context(), "answer cut off", "requestId", x.id, "action", x.action, "error", err)
		panic(http.ErrAbortHandler)
	}
	told := v1.Internal()
	var refused *sigv4.Error
	switch {
	case errors.As(err, &refused):
		told = &v1.Error{Status: http.StatusUnauthorized, Code: refused.Code(), Message: refused.Message,
			Hint: "Sign the request with AWS Signature Version 4 for the service \"lockstep\"."}
		if refused.Reason == sigv4.TooLarge {
			told.Status = refused.Status()
		}
	case errors.As(err, &told):
	default:
		x.cause = err
	}
	x.code = told.Code
	v1.WriteError(x, told)
}

// authenticate finds out who asks, and returns the body.
func (h *Handler) authenticate(x *exchange, r *http.Request, scopes ...string) ([]byte, error) {
	who, err := h.config.Verifier.Verify(r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(scopes, who.Service) {
		return nil, &sigv4.Error{Reason: sigv4.Mismatch,
			Message: "Credential should be scoped to correct service: '" + scopes[0] + "'."}
	}
	from := peerOf(r, h.config.TrustedProxies)
	x.caller = auth.Caller{
		Principal: who.Principal, Region: lockstep.Region(who.Region), RequestID: x.id,
		Source: from.address, Secure: from.secure, UserAgent: r.UserAgent(), Trail: &auth.Trail{},
	}
	return who.Body, nil
}

// finish writes the log line; after a panic it answers first.
func (h *Handler) finish(x *exchange, r *http.Request) {
	if p := recover(); p != nil {
		h.survive(x, r, p)
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK) // what the server would do, but recorded
	}
	ctx := r.Context()
	if x.cause != nil && ctx.Err() == nil {
		h.config.Log.ErrorContext(ctx, "request failed", "requestId", x.id, "action", x.action, "error", x.cause)
	}
	if h.config.Observer != nil {
		h.config.Observer.Answered(x.action, x.code, time.Since(x.begin))
	}
	level := slog.LevelInfo
	if x.action == "/healthz" || x.action == "/readyz" {
		level = slog.LevelDebug
	}
	h.config.Log.LogAttrs(ctx, level, "request",
		slog.String("requestId", x.id), slog.String("action", x.action),
		slog.String("principal", x.caller.ARN), slog.String("accessKeyId", x.caller.AccessKeyID),
		slog.String("region", string(x.caller.Region)), slog.String("source", sourceOf(r).String()),
		slog.Int("status", x.status), slog.String("code", x.code), slog.Duration("duration", time.Since(x.begin)))
}

func (h *Handler) survive(x *exchange, r *http.Request, p any) {
	if p == http.ErrAbortHandler {
		panic(p) // net/http's own way to cut a connection
	}
	// Only the runtime's own words are safe to log: a panic may carry anything.
	what := fmt.Sprintf("%T", p)
	if own, ok := p.(runtime.Error); ok {
		what = own.Error()
	}
	h.config.Log.ErrorContext(r.Context(), "panic in a request",
		"requestId", x.id, "action", x.action, "panic", what, "stack", string(debug.Stack()))
	if x.status != 0 {
		return // the answer has begun; it cannot be taken back
	}
	if strings.HasPrefix(r.URL.Path, "/v1") {
		v1.WriteError(x, v1.Internal())
		return
	}
	awsjson.WriteError(x, awsjson.Internal())
}
