package v1

import (
	"context"
	"time"

	"lockstep/auth"
	"lockstep/store"
)

type groupOutput struct {
	ARN     string    `json:"arn"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// The rest is there when one group was asked for, not in lists.
	Members  []string `json:"members,omitempty"`
	Policies []string `json:"policies,omitempty"`
}

func showGroup(g *store.Group) groupOutput {
	return groupOutput{ARN: g.ARN, Name: g.Name, Created: g.Created.UTC()}
}

type groupsOutput struct {
	Groups []groupOutput `json:"groups"`
	Next   string        `json:"next,omitempty"`
}

func (a *API) listGroups(ctx context.Context, c call) (any, error) {
	q, err := a.names(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := a.config.Identities.Groups(ctx, q)
	if err != nil {
		return nil, err
	}
	out := groupsOutput{Groups: []groupOutput{}}
	found, out.Next = page(found, q, func(g *store.Group) string { return g.Name })
	for _, g := range found {
		out.Groups = append(out.Groups, showGroup(g))
	}
	return out, nil
}

func (a *API) getGroup(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindGroup, c.id); err != nil {
		return nil, err
	}
	return a.group(ctx, c, c.id)
}

func (a *API) group(ctx context.Context, c call, name string) (any, error) {
	d, err := a.config.Identities.Group(ctx, c.caller.Account, name)
	if err != nil {
		return nil, err
	}
	out := showGroup(d.Group)
	out.Members, out.Policies = d.Members, d.Policies
	return out, nil
}

type groupInput struct {
	Name string `json:"name"`
}

func (a *API) createGroup(ctx context.Context, c call) (any, error) {
	var in groupInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if err := a.mayIdentity(ctx, c, auth.KindGroup, in.Name); err != nil {
		return nil, err
	}
	if err := a.config.Identities.CreateGroup(ctx, c.caller.Account, in.Name); err != nil {
		return nil, err
	}
	return a.group(ctx, c, in.Name)
}

func (a *API) deleteGroup(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindGroup, c.id); err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.DeleteGroup(ctx, c.caller.Account, c.id)
}

// membership reads the two names, and asks about the group.
func (a *API) membership(ctx context.Context, c call) (group, user string, err error) {
	group, user = c.URL.Query().Get("group"), c.URL.Query().Get("user")
	if group == "" || user == "" {
		return "", "", invalid("The query parameters \"group\" and \"user\" are required.", "")
	}
	return group, user, a.mayIdentity(ctx, c, auth.KindGroup, group)
}

func (a *API) putMembership(ctx context.Context, c call) (any, error) {
	group, user, err := a.membership(ctx, c)
	if err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.AddMember(ctx, c.caller.Account, group, user)
}

func (a *API) deleteMembership(ctx context.Context, c call) (any, error) {
	group, user, err := a.membership(ctx, c)
	if err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.RemoveMember(ctx, c.caller.Account, group, user)
}

type roleOutput struct {
	ARN         string    `json:"arn"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Trust       string    `json:"trust"`
	Tags        []tagBody `json:"tags,omitempty"`
	Boundary    string    `json:"boundary,omitempty"`
	Created     time.Time `json:"created"`
	// Policies are there when one role was asked for, not in lists.
	Policies []string `json:"policies,omitempty"`
}

func showRole(r *store.Role) roleOutput {
	out := roleOutput{
		ARN: r.ARN, Name: r.Name, Description: r.Description, Trust: r.Trust, Tags: showTags(r.Tags), Created: r.Created.UTC(),
	}
	if r.Boundary != "" {
		out.Boundary = auth.NameOf(r.Boundary)
	}
	return out
}

type rolesOutput struct {
	Roles []roleOutput `json:"roles"`
	Next  string       `json:"next,omitempty"`
}

func (a *API) listRoles(ctx context.Context, c call) (any, error) {
	q, err := a.names(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := a.config.Identities.Roles(ctx, q)
	if err != nil {
		return nil, err
	}
	out := rolesOutput{Roles: []roleOutput{}}
	found, out.Next = page(found, q, func(r *store.Role) string { return r.Name })
	for _, r := range found {
		out.Roles = append(out.Roles, showRole(r))
	}
	return out, nil
}

func (a *API) getRole(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindRole, c.id); err != nil {
		return nil, err
	}
	return a.role(ctx, c, c.id)
}

func (a *API) role(ctx context.Context, c call, name string) (any, error) {
	d, err := a.config.Identities.Role(ctx, c.caller.Account, name)
	if err != nil {
		return nil, err
	}
	out := showRole(d.Role)
	out.Policies = d.Policies
	return out, nil
}

// roleInput is what POST makes and PUT replaces; PUT takes no name.
type roleInput struct {
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Trust       string    `json:"trust"`
	Tags        []tagBody `json:"tags"`
	Boundary    string    `json:"boundary"`
}

func (in roleInput) spec(c call) auth.RoleSpec {
	return auth.RoleSpec{
		Account: c.caller.Account, Name: in.Name, Description: in.Description, Trust: in.Trust,
		Tags: tagsOf(in.Tags), Boundary: in.Boundary,
	}
}

func (a *API) createRole(ctx context.Context, c call) (any, error) {
	var in roleInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if err := a.mayIdentity(ctx, c, auth.KindRole, in.Name); err != nil {
		return nil, err
	}
	if err := a.config.Identities.CreateRole(ctx, in.spec(c)); err != nil {
		return nil, err
	}
	return a.role(ctx, c, in.Name)
}

func (a *API) putRole(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindRole, c.id); err != nil {
		return nil, err
	}
	var in roleInput
	if err := readNameless(c, &in, &in.Name); err != nil {
		return nil, err
	}
	if err := a.config.Identities.ChangeRole(ctx, in.spec(c)); err != nil {
		return nil, err
	}
	return a.role(ctx, c, in.Name)
}

func (a *API) deleteRole(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindRole, c.id); err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.DeleteRole(ctx, c.caller.Account, c.id)
}
