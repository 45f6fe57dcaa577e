package policy

// ResourceRule says what part a resource policy plays within one account.
type ResourceRule int

const (
	// ResourceAdds: identity policies and the resource policy add up; so it is
	// for Secrets.
	ResourceAdds ResourceRule = iota
	// ResourceMustAllow: nothing goes without the resource policy; so it is
	// for keys, whose policy names the account to let identity policies decide,
	// and for assuming roles.
	ResourceMustAllow
)

// Set is all policies that have a say in a request.
type Set struct {
	// Identity are those of the user or role, the user's groups included.
	Identity []*Policy
	// Boundary is the permissions boundary; nil: none.
	Boundary *Policy
	// Session are a session's own policies; empty: none.
	Session []*Policy
	// Resource is the policy of the resource; nil: none.
	Resource *Policy
	// Rule is what Resource means.
	Rule ResourceRule
}

// Evaluate decides a request. It is safe for concurrent use.
func Evaluate(r Request, set Set) Decision {
	e := evaluation{request: &r, set: &set, question: newQuestion(&r)}
	for _, p := range set.Identity {
		e.identity.add(p, e.question)
	}
	e.boundary.add(set.Boundary, e.question)
	for _, p := range set.Session {
		e.session.add(p, e.question)
	}
	e.resource.add(set.Resource, e.question)
	return e.decide()
}

// evaluation is one run of Evaluate: what each sort of policy says.
type evaluation struct {
	request                               *Request
	set                                   *Set
	question                              *question
	identity, boundary, session, resource verdict
}

func (e *evaluation) decide() Decision {
	for _, part := range []struct {
		verdict *verdict
		source  Source
	}{{&e.identity, FromIdentity}, {&e.boundary, FromBoundary}, {&e.session, FromSession}, {&e.resource, FromResource}} {
		if part.verdict.deny.Number != 0 {
			return e.decision(ExplicitDeny, part.source, part.verdict.deny)
		}
	}
	switch e.request.Principal.Kind {
	case Anonymous, Service, Federated:
		return e.decideByResource()
	}
	if e.request.Principal.Account == e.question.values.resourceAccount {
		return e.decideWithin()
	}
	return e.decideAcross()
}

// decideByResource is for principals that carry no policies.
func (e *evaluation) decideByResource() Decision {
	if e.resource.grant == noGrant {
		return e.implicit(FromResource)
	}
	return e.decision(Allowed, FromResource, e.resource.allow)
}

// decideWithin is the logic of one account.
func (e *evaluation) decideWithin() Decision {
	if e.resource.grant == toPrincipal {
		return e.decision(Allowed, FromResource, e.resource.allow)
	}
	if e.set.Rule == ResourceMustAllow && e.resource.grant == noGrant {
		return e.implicit(FromResource)
	}
	source, by := FromIdentity, e.identity.allow
	if !e.identityAllows() {
		if e.resource.grant != toRole {
			return e.implicit(FromIdentity)
		}
		source, by = FromResource, e.resource.allow
	}
	if d, bounded := e.bound(); bounded {
		return d
	}
	return e.decision(Allowed, source, by)
}

// decideAcross is the logic between accounts: both sides must allow.
func (e *evaluation) decideAcross() Decision {
	if !e.identityAllows() {
		return e.implicit(FromIdentity)
	}
	if d, bounded := e.bound(); bounded {
		return d
	}
	if e.resource.grant == noGrant {
		return e.implicit(FromResource)
	}
	return e.decision(Allowed, FromResource, e.resource.allow)
}

func (e *evaluation) identityAllows() bool {
	return e.request.Principal.Kind == Root || e.identity.grant != noGrant
}

// bound asks what can only narrow.
func (e *evaluation) bound() (Decision, bool) {
	if e.set.Boundary != nil && e.boundary.grant == noGrant {
		return e.implicit(FromBoundary), true
	}
	if len(e.set.Session) > 0 && e.session.grant == noGrant {
		return e.implicit(FromSession), true
	}
	return Decision{}, false
}

func (e *evaluation) implicit(source Source) Decision {
	return e.decision(ImplicitDeny, source, StatementRef{})
}

func (e *evaluation) decision(outcome Outcome, source Source, by StatementRef) Decision {
	r := e.request
	kind := IdentityPolicy
	if source == FromResource {
		kind = ResourcePolicy
		if e.set.Resource != nil {
			kind = e.set.Resource.kind
		}
	}
	return Decision{
		Outcome: outcome, Source: source, Statement: by,
		principal: r.Principal.ARN, action: r.Action, resource: r.Resource, kind: kind,
	}
}
