// Package v1 is Lockstep's own API for what AWS Secrets Manager has no words
// for: runs and their steps, schedules with all their settings, dry runs,
// events, checks; users, groups, roles, policies and access keys. It
// is REST with JSON: durations are text ("90s", "1h30m"), times RFC 3339 in
// UTC, what is not set is left out. Package api has verified the signature
// before a request comes here.
//
// The routes stand in one table, from which requests are dispatched; the
// OpenAPI document (GET /v1/openapi.json) describes the same routes, and a test
// holds the two together.
//
// Errors have a code for programs, a message for people and, where there is
// one, a hint that says what to do next.
package v1

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"lockstep"
	"lockstep/auth"
	"lockstep/keeper"
	"lockstep/runs"
	"lockstep/store"
)

//go:embed openapi.json
var openAPI []byte

// Secrets resolves names; keeper.Keeper does.
type Secrets interface {
	Describe(ctx context.Context, ref keeper.Ref) (keeper.Description, error)
}

// History tells of Runs, Events and broken invariants; runs.Service does.
type History interface {
	Runs(ctx context.Context, q store.RunQuery) ([]runs.History, error)
	Run(ctx context.Context, owner store.Owner, id lockstep.RunID) (runs.History, error)
	Events(ctx context.Context, ref keeper.Ref, after uint64, limit int) ([]lockstep.Event, error)
	Check(ctx context.Context, after lockstep.SecretID) (runs.CheckPage, error)
}

// Rotations sets Rotations and asks for dry runs; runs.Service does.
type Rotations interface {
	Configure(ctx context.Context, ref keeper.Ref, in runs.RotateInput) (*lockstep.Secret, error)
	Plan(ctx context.Context, ref keeper.Ref) (*store.Plan, error)
	Sessions(ctx context.Context, ref keeper.Ref) (*store.Plan, error)
	PlanResult(ctx context.Context, owner store.Owner, id string) (*store.Plan, error)
}

// Changes wakes whoever waits for a dry run; a store.Store does.
type Changes interface {
	Subscribe(topic store.Topic) (ch <-chan struct{}, cancel func())
}

// Guard says whether a caller may do something; auth.Guard does.
type Guard interface {
	Authorize(ctx context.Context, q auth.Question) error
}

// Users manages users and their access keys; auth.Identities does.
type Users interface {
	CreateUser(ctx context.Context, spec auth.UserSpec) error
	ChangeUser(ctx context.Context, spec auth.UserSpec) error
	DeleteUser(ctx context.Context, account lockstep.AccountID, name string) error
	Users(ctx context.Context, q store.NameQuery) ([]*store.User, error)
	User(ctx context.Context, account lockstep.AccountID, name string) (auth.UserDetails, error)
}

// AccessKeys manages the access keys of users; auth.Identities does.
type AccessKeys interface {
	CreateKey(ctx context.Context, home store.Owner, user string) (auth.Credentials, error)
	Key(ctx context.Context, account lockstep.AccountID, id string) (*store.AccessKey, error)
	EnableKey(ctx context.Context, account lockstep.AccountID, id string) error
	DisableKey(ctx context.Context, account lockstep.AccountID, id string) error
	DeleteKey(ctx context.Context, account lockstep.AccountID, id string) error
}

// Groups manages groups and who is in them; auth.Identities does.
type Groups interface {
	CreateGroup(ctx context.Context, account lockstep.AccountID, name string) error
	DeleteGroup(ctx context.Context, account lockstep.AccountID, name string) error
	Groups(ctx context.Context, q store.NameQuery) ([]*store.Group, error)
	Group(ctx context.Context, account lockstep.AccountID, name string) (auth.GroupDetails, error)
	AddMember(ctx context.Context, account lockstep.AccountID, group, user string) error
	RemoveMember(ctx context.Context, account lockstep.AccountID, group, user string) error
}

// Roles manages roles; auth.Identities does.
type Roles interface {
	CreateRole(ctx context.Context, spec auth.RoleSpec) error
	ChangeRole(ctx context.Context, spec auth.RoleSpec) error
	DeleteRole(ctx context.Context, account lockstep.AccountID, name string) error
	Roles(ctx context.Context, q store.NameQuery) ([]*store.Role, error)
	Role(ctx context.Context, account lockstep.AccountID, name string) (auth.RoleDetails, error)
}

// Policies manages policies and what they hang on; auth.Identities does.
type Policies interface {
	CreatePolicy(ctx context.Context, spec auth.PolicySpec) error
	ChangePolicy(ctx context.Context, spec auth.PolicySpec) error
	DeletePolicy(ctx context.Context, account lockstep.AccountID, name string) error
	Policies(ctx context.Context, q store.NameQuery) ([]*store.Policy, error)
	Policy(ctx context.Context, account lockstep.AccountID, name string) (auth.PolicyDetails, error)
	Attach(ctx context.Context, a auth.Attachment) error
	Detach(ctx context.Context, a auth.Attachment) error
}

// Identities is all that the API needs of auth.Identities.
type Identities interface {
	Users
	AccessKeys
	Groups
	Roles
	Policies
}

// Rotators keeps the custom rotators; custom.Registrations does.
type Rotators interface {
	// Register returns the key that signs a webhook's calls.
	Register(ctx context.Context, r store.Rotator) (*store.Rotator, lockstep.Value, error)
	Rotators(ctx context.Context, q store.NameQuery) ([]*store.Rotator, error)
	Rotator(ctx context.Context, account lockstep.AccountID, name string) (*store.Rotator, error)
	Remove(ctx context.Context, account lockstep.AccountID, name string) error
}

// Status is what the server says of itself.
type Status struct {
	// Version of the program.
	Version string
	// Regions served; the first is home.
	Regions []string
	// NATSURL is where applications listen for events; empty if nowhere.
	NATSURL string
}

// Config is what an API needs; all fields but Status are required.
type Config struct {
	Secrets   Secrets
	History   History
	Rotations Rotations
	Hands     Hands
	Dead      DeadLetters
	Schedules Schedules
	Batches   Batches
	Graphs    Graphs
	Trials    Trials
	// Inspections looks at targets.
	Inspections Inspections
	Changes     Changes
	Guard       Guard
	// Identities manages who there is.
	Identities Identities
	// Keys tells of the root key and the master keys.
	Keys Keys
	// Backups writes them.
	Backups Backups
	// Rotators keeps those that were registered.
	Rotators Rotators
	// Home is the region whose default master key seals access keys.
	Home   lockstep.Region
	Status Status
}

// API answers the requests under /v1. It is safe for concurrent use.
type API struct {
	config Config
	routes []route
}

// New makes an API. Errors: ErrInvalid if a required field is missing.
func New(c Config) (*API, error) {
	if c.Secrets == nil || c.History == nil || c.Rotations == nil || c.Hands == nil || c.Dead == nil || c.Schedules == nil || c.Batches == nil || c.Graphs == nil || c.Trials == nil || c.Inspections == nil || c.Changes == nil || c.Guard == nil ||
		c.Identities == nil || c.Keys == nil || c.Backups == nil || c.Rotators == nil || c.Home == "" {
		return nil, fmt.Errorf("v1 config: everything but Status is required: %w", lockstep.ErrInvalid)
	}
	return &API{config: c, routes: routes()}, nil
}

// route is one operation of the API.
type route struct {
	method  string
	pattern string // at most one {id}, as a whole part
	action  string
	status  int
	handle  func(*API, context.Context, call) (any, error)
}

func routes() []route {
	return slices.Concat(ownRoutes(), checkRoutes(), handRoutes(), scheduleRoutes(), batchRoutes(), graphRoutes(), trialRoutes(), identityRoutes(), keyRoutes(), backupRoutes(), rotatorRoutes())
}

func ownRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/runs", "ListRuns", http.StatusOK, (*API).listRuns},
		{http.MethodGet, "/v1/runs/{id}", "GetRun", http.StatusOK, (*API).getRun},
		{http.MethodGet, "/v1/rotation", "GetRotation", http.StatusOK, (*API).getRotation},
		{http.MethodPut, "/v1/rotation", "PutRotation", http.StatusOK, (*API).putRotation},
		{http.MethodPost, "/v1/plans", "CreatePlan", http.StatusAccepted, (*API).createPlan},
		{http.MethodGet, "/v1/plans/{id}", "GetPlan", http.StatusOK, (*API).getPlan},
		{http.MethodPost, "/v1/sessions", "CreateSessionList", http.StatusAccepted, (*API).createSessionList},
		{http.MethodGet, "/v1/sessions/{id}", "GetSessionList", http.StatusOK, (*API).getSessionList},
		{http.MethodGet, "/v1/events", "ListEvents", http.StatusOK, (*API).listEvents},
		{http.MethodGet, "/v1/status", "GetStatus", http.StatusOK, (*API).status},
		{http.MethodGet, "/v1/openapi.json", "GetOpenAPI", http.StatusOK, (*API).openAPI},
	}
}

// actionPrefix stands before the names of this API's actions in policies.
const actionPrefix = "lockstep:"

// call is one request on its way through a route.
type call struct {
	*http.Request
	caller auth.Caller
	action string
	id     string
}

// Serve answers one authenticated request. It returns the action's name for
// the log, and an error instead of an answer: an *Error is for the client, any
// other a failure of the server.
func (a *API) Serve(w http.ResponseWriter, r *http.Request, caller auth.Caller) (string, error) {
	rt, id, err := a.find(r)
	if err != nil {
		return "", err
	}
	c := call{Request: r, caller: caller, action: actionPrefix + rt.action, id: id}
	caller.Trail.Act(c.action)
	out, err := rt.handle(a, r.Context(), c)
	if err != nil {
		return c.action, answer(a.veil(r.Context(), c, err))
	}
	if flow, ok := out.(streamed); ok {
		return c.action, flow.send(w)
	}
	body, err := json.Marshal(out)
	if err != nil {
		return c.action, fmt.Errorf("marshal the answer: %w", err)
	}
	send(w, rt.status, body)
	return c.action, nil
}

// streamed is an answer that is not JSON and may be large. An error before the
// first byte is answered as any; one after it cuts the answer off.
type streamed interface {
	send(w http.ResponseWriter) error
}

func (a *API) find(r *http.Request) (route, string, error) {
	var allowed []string
	for _, rt := range a.routes {
		id, ok := matchPath(rt.pattern, r.URL.Path)
		if !ok {
			continue
		}
		if rt.method == r.Method {
			return rt, id, nil
		}
		allowed = append(allowed, rt.method)
	}
	if len(allowed) > 0 {
		return route{}, "", &Error{Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed",
			Message: "This path does not take " + r.Method + ".", Hint: "Use " + strings.Join(allowed, " or ") + "."}
	}
	return route{}, "", &Error{Status: http.StatusNotFound, Code: "NotFound",
		Message: "There is no such path.", Hint: "GET /v1/openapi.json describes all paths."}
}

// matchPath compares a path with a pattern; {id} takes one part, not empty.
func matchPath(pattern, path string) (id string, ok bool) {
	const parameter = "{id}"
	stem, tail, parametric := strings.Cut(pattern, parameter)
	if !parametric {
		return "", pattern == path
	}
	rest, begins := strings.CutPrefix(path, stem)
	id, ends := strings.CutSuffix(rest, tail)
	return id, begins && ends && id != "" && !strings.Contains(id, "/")
}

// ref names the Secret of the query parameter "secret", together with the
// question whether the caller may do this to it.
func (a *API) ref(ctx context.Context, c call) (keeper.Ref, error) {
	name := c.URL.Query().Get("secret")
	if name == "" {
		return keeper.Ref{}, invalid("The query parameter \"secret\" is missing.", "Give the secret's name or ARN.")
	}
	return keeper.Ref{Owner: c.caller.Owner(), ID: name, Allow: func(s *lockstep.Secret) error { return a.may(ctx, c, s) }}, nil
}

// may asks about a Secret, or with nil about no resource in particular.
func (a *API) may(ctx context.Context, c call, s *lockstep.Secret) error {
	q := auth.Question{Caller: c.caller, Action: c.action, Resource: "*", Secret: s}
	if s != nil {
		q.Resource = string(s.ARN)
		q.Named = named(c)
	}
	return a.config.Guard.Authorize(ctx, q)
}

// veil keeps who may not touch a name from learning that nothing has it.
func (a *API) veil(ctx context.Context, c call, err error) error {
	if !errors.Is(err, keeper.ErrNoSecret) {
		return err
	}
	resource := named(c)
	denied := a.config.Guard.Authorize(ctx, auth.Question{Caller: c.caller, Action: c.action, Resource: resource})
	if denied != nil {
		return denied
	}
	return err
}

// named is the ARN of the Secret as far as the request gives it; empty if it
// gives none.
func named(c call) string {
	given := c.URL.Query().Get("secret")
	if _, ok := lockstep.ParseSecretARN(given); ok || given == "" {
		return given
	}
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s", c.caller.Region, c.caller.Account, given)
}

// Error is what a client is told.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	// Hint is the next step; may be empty.
	Hint string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Internal is the answer to a failure of the server: it tells nothing.
func Internal() *Error {
	return &Error{Status: http.StatusInternalServerError, Code: "InternalError",
		Message: "The server failed.", Hint: "Its log says why, under the request's id (header x-amzn-RequestId)."}
}

// WriteError answers with an error.
func WriteError(w http.ResponseWriter, e *Error) {
	body, _ := json.Marshal(e) // text alone always marshals
	send(w, e.Status, body)
}

func send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone; there is nobody to tell
}

func invalid(message, hint string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "Invalid", Message: message, Hint: hint}
}

// answer is the table from the domain's errors to statuses and codes.
func answer(err error) error {
	for _, row := range []struct {
		kind   error
		status int
		code   string
	}{
		{lockstep.ErrNotFound, http.StatusNotFound, "NotFound"},
		{lockstep.ErrDenied, http.StatusForbidden, "Denied"},
		{lockstep.ErrExists, http.StatusConflict, "Exists"},
		{lockstep.ErrState, http.StatusConflict, "State"},
		{lockstep.ErrInvalid, http.StatusBadRequest, "Invalid"},
		{lockstep.ErrUnknownRotator, http.StatusBadRequest, "UnknownRotator"},
		{lockstep.ErrSealed, http.StatusServiceUnavailable, "Sealed"},
	} {
		if !errors.Is(err, row.kind) {
			continue
		}
		var refusal *lockstep.Refusal
		switch {
		case errors.As(err, &refusal):
			return &Error{Status: row.status, Code: row.code, Message: refusal.Message}
		case row.status == http.StatusBadRequest:
			return &Error{Status: row.status, Code: row.code, Message: err.Error()}
		}
	}
	return err
}
