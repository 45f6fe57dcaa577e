package api

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"lockstep/api/awsjson"
	"lockstep/api/v1"
	"lockstep/audit"
	"lockstep/auth"
)

// Recorder keeps the audit log; *audit.Log is one.
type Recorder interface {
	// Ready returns an error if nothing can be recorded now: then nothing may be
	// done.
	Ready() error
	// Append returns once the records are durable.
	Append(ctx context.Context, records ...audit.Record) error
}

// audited prepares the exchange for the audit log. It returns false, and has
// answered, if nothing can be recorded. Questions of load balancers, which
// nobody signs and which tell nothing, are no records.
func (h *Handler) audited(x *exchange, r *http.Request) bool {
	if h.config.Audit == nil || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return true
	}
	x.record = func(x *exchange) error {
		// Also where the client is gone by now: it was done.
		return h.config.Audit.Append(context.WithoutCancel(r.Context()), h.recordOf(x, r))
	}
	if err := h.config.Audit.Ready(); err != nil {
		x.status = http.StatusServiceUnavailable
		x.refuseUnrecorded(r.URL.Path, err)
		return false
	}
	return true
}

// withhold records the exchange, and answers with a refusal if that fails.
func (x *exchange) withhold() {
	record := x.record
	x.record = nil
	if record == nil {
		return
	}
	if err := record(x); err != nil {
		path := "/"
		if x.source == ScopeLockstep {
			path = "/v1"
		}
		x.refuseUnrecorded(path, err)
	}
}

// refuseUnrecorded tells the client to come again: what it asked for was not
// done, or must not be told, since it could not be recorded.
func (x *exchange) refuseUnrecorded(path string, err error) {
	x.withheld, x.cause = true, err
	x.status, x.code = http.StatusServiceUnavailable, codeUnrecorded
	x.Header().Set("Retry-After", "1")
	const message = "The audit log cannot be written, so nothing is answered. Try again."
	if strings.HasPrefix(path, "/v1") {
		v1.WriteError(x.ResponseWriter, &v1.Error{Status: x.status, Code: "AuditUnavailable", Message: message,
			Hint: "The server's log says what is wrong with its audit log."})
		return
	}
	awsjson.WriteError(x.ResponseWriter, &awsjson.Error{Code: codeUnrecorded, Status: x.status, Message: message})
}

const codeUnrecorded = "ServiceUnavailableException"

// FlushError sends what was written so far, as http.ResponseController asks.
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.withheld {
		return nil
	}
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// recordOf makes the record of an exchange, of what was found out about it and
// nothing that the client merely sent along.
func (h *Handler) recordOf(x *exchange, r *http.Request) audit.Record {
	source, name := x.operation()
	record := audit.Record{
		Time: x.begin, Source: source, Name: name, Type: audit.TypeAPICall,
		Identity: identityOf(x.caller), Region: string(x.caller.Region),
		Address: peerOf(r, h.config.TrustedProxies).address.String(), UserAgent: r.UserAgent(), RequestID: x.id,
		ErrorCode: x.code, ReadOnly: audit.ReadOnlyAction(name), Detail: audit.Detail{Status: x.status},
	}
	if x.code == "" && x.status >= http.StatusBadRequest {
		record.ErrorCode = http.StatusText(x.status)
	}
	if x.caller.ARN == "" {
		record.Identity.AccessKeyID = claimedKey(r)
	}
	for _, t := range x.caller.Trail.Touched() {
		at := audit.Resource{ARN: t.ARN, VersionID: string(t.Version)}
		if t.Denied {
			at.ErrorCode = "AccessDenied"
		}
		record.Resources = append(record.Resources, at)
	}
	return record
}

// operation is the event's source and name.
func (x *exchange) operation() (source, name string) {
	action := x.caller.Trail.Action()
	if action == "" {
		action = x.action
	}
	_, name, found := strings.Cut(action, ":")
	if !found && plainName.MatchString(x.claimed) {
		name = x.claimed
	}
	source = audit.SourceEngine
	if x.source != "" && x.source != ScopeLockstep {
		source = x.source + ".amazonaws.com"
	}
	if name == "" {
		name = "Unknown"
	}
	return source, name
}

func identityOf(c auth.Caller) audit.Identity {
	id := audit.Identity{ARN: c.ARN, Account: string(c.Account), AccessKeyID: c.AccessKeyID, Name: c.Name}
	switch {
	case c.ARN == "":
		id.Type = "Unknown"
	case c.IsRoot():
		id.Type = "Root"
	case c.Access != nil && c.Access.RoleARN != "":
		id.Type = "AssumedRole"
	default:
		id.Type = "IAMUser"
	}
	return id
}

// plainName is what an operation is called; other text that a client sends is
// not repeated.
var plainName = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// keyInHeader finds the access key id of an Authorization header. An id of this
// form is no secret.
var keyInHeader = regexp.MustCompile(`Credential=([A-Z0-9]{16,32})/`)

// claimedKey is the access key that an unproven request says it is signed with.
func claimedKey(r *http.Request) string {
	found := keyInHeader.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil {
		return ""
	}
	return found[1]
}

var _ Recorder = (*audit.Log)(nil)
