package policy

// Outcome is the answer to a request.
type Outcome int

const (
	// ImplicitDeny: nothing allows it. The zero value.
	ImplicitDeny Outcome = iota
	// ExplicitDeny: a statement denies it.
	ExplicitDeny
	// Allowed: it may go ahead.
	Allowed
)

// Source is the sort of policy that decided.
type Source int

// The sorts of policies.
const (
	FromIdentity Source = iota
	FromResource
	FromBoundary
	FromSession
)

// Decision is the answer and what it rests on. The zero value denies.
type Decision struct {
	Outcome Outcome
	// Source is the sort of policy that decided; for an implicit deny the one
	// that lacks an Allow.
	Source Source
	// Statement decided; its Number is 0 for an implicit deny, and when the
	// account's root needed no statement.
	Statement StatementRef

	principal, action, resource string
	kind                        Kind
}

// Allowed reports whether the request may go ahead.
func (d Decision) Allowed() bool { return d.Outcome == Allowed }

// Message is the text for the one who was refused, in AWS's words. It does not
// name the statement: that is for the policy's owner, in Statement. It is empty
// when the request is allowed.
func (d Decision) Message() string {
	if d.Allowed() {
		return ""
	}
	who := d.principal
	if who == "" {
		who = "anonymous"
	}
	text := "User: " + who + " is not authorized to perform: " + d.action
	if d.resource != "" && d.resource != "*" {
		text += " on resource: " + d.resource
	}
	name, article := d.policyName()
	if d.Outcome == ExplicitDeny {
		return text + " with an explicit deny in " + article + " " + name
	}
	return text + " because no " + name + " allows the " + d.action + " action"
}

func (d Decision) policyName() (name, article string) {
	switch d.Source {
	case FromResource:
		if d.kind == TrustPolicy {
			return "role trust policy", "the"
		}
		return "resource-based policy", "a"
	case FromBoundary:
		return "permissions boundary", "a"
	case FromSession:
		return "session policy", "a"
	default:
		return "identity-based policy", "an"
	}
}

// About returns the decision with another name for the resource in its Message,
// for example the one that the caller used.
func (d Decision) About(resource string) Decision {
	d.resource = resource
	return d
}
