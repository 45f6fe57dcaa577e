package v1

import (
	"context"
	"time"

	"lockstep/auth"
	"lockstep/store"
)

type policyOutput struct {
	ARN         string    `json:"arn"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Document    string    `json:"document"`
	Created     time.Time `json:"created"`
	Changed     time.Time `json:"changed"`
	// Holders are the ARNs of what it hangs on or bounds; not in lists.
	Holders []string `json:"holders,omitempty"`
}

func showPolicy(p *store.Policy) policyOutput {
	return policyOutput{
		ARN: p.ARN, Name: p.Name, Description: p.Description, Document: p.Document,
		Created: p.Created.UTC(), Changed: p.Changed.UTC(),
	}
}

type policiesOutput struct {
	Policies []policyOutput `json:"policies"`
	Next     string         `json:"next,omitempty"`
}

func (a *API) listPolicies(ctx context.Context, c call) (any, error) {
	q, err := a.names(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := a.config.Identities.Policies(ctx, q)
	if err != nil {
		return nil, err
	}
	out := policiesOutput{Policies: []policyOutput{}}
	found, out.Next = page(found, q, func(p *store.Policy) string { return p.Name })
	for _, p := range found {
		out.Policies = append(out.Policies, showPolicy(p))
	}
	return out, nil
}

func (a *API) getPolicy(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindPolicy, c.id); err != nil {
		return nil, err
	}
	return a.policy(ctx, c, c.id)
}

func (a *API) policy(ctx context.Context, c call, name string) (any, error) {
	d, err := a.config.Identities.Policy(ctx, c.caller.Account, name)
	if err != nil {
		return nil, err
	}
	out := showPolicy(d.Policy)
	out.Holders = d.Holders
	return out, nil
}

// policyInput is what POST makes and PUT replaces; PUT takes no name.
type policyInput struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Document    string `json:"document"`
}

func (in policyInput) spec(c call) auth.PolicySpec {
	return auth.PolicySpec{Account: c.caller.Account, Name: in.Name, Description: in.Description, Document: in.Document}
}

func (a *API) createPolicy(ctx context.Context, c call) (any, error) {
	var in policyInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if err := a.mayIdentity(ctx, c, auth.KindPolicy, in.Name); err != nil {
		return nil, err
	}
	if err := a.config.Identities.CreatePolicy(ctx, in.spec(c)); err != nil {
		return nil, err
	}
	return a.policy(ctx, c, in.Name)
}

func (a *API) putPolicy(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindPolicy, c.id); err != nil {
		return nil, err
	}
	var in policyInput
	if err := readNameless(c, &in, &in.Name); err != nil {
		return nil, err
	}
	if err := a.config.Identities.ChangePolicy(ctx, in.spec(c)); err != nil {
		return nil, err
	}
	return a.policy(ctx, c, in.Name)
}

func (a *API) deletePolicy(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindPolicy, c.id); err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.DeletePolicy(ctx, c.caller.Account, c.id)
}

// attachment reads what is to be attached to what, and asks about the holder;
// policies can say which by the condition key lockstep:PolicyARN.
func (a *API) attachment(ctx context.Context, c call) (auth.Attachment, error) {
	q := c.URL.Query()
	at := auth.Attachment{Account: c.caller.Account, Policy: q.Get("policy")}
	given := 0
	for _, kind := range []auth.IdentityKind{auth.KindUser, auth.KindGroup, auth.KindRole} {
		if name := q.Get(string(kind)); name != "" {
			at.Kind, at.Holder = kind, name
			given++
		}
	}
	if at.Policy == "" || given != 1 {
		return at, invalid("The query parameter \"policy\" and one of \"user\", \"group\" and \"role\" are required.", "")
	}
	return at, a.mayIdentity(ctx, c, at.Kind, at.Holder, auth.Key{Name: "lockstep:PolicyARN", Values: []string{at.PolicyARN()}})
}

func (a *API) attach(ctx context.Context, c call) (any, error) {
	at, err := a.attachment(ctx, c)
	if err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.Attach(ctx, at)
}

func (a *API) detach(ctx context.Context, c call) (any, error) {
	at, err := a.attachment(ctx, c)
	if err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.Detach(ctx, at)
}
