package admin

import (
	"context"
	"net/http"
	"net/url"
)

// Roles lists all by name. Errors: *Error, or the transport's.
func (c *Client) Roles(ctx context.Context) (all []Role, err error) {
	err = everyPage(func(q url.Values) (string, error) {
		var page struct {
			Roles []Role `json:"roles"`
			Next  string `json:"next"`
		}
		err := c.get(ctx, call{path: "/v1/roles", query: q}, &page)
		all = append(all, page.Roles...)
		return page.Next, err
	})
	return all, err
}

// Role reads one. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) Role(ctx context.Context, name string) (Role, error) {
	var out Role
	return out, c.get(ctx, call{path: named("roles", name)}, &out)
}

// CreateRole makes a role that may nothing. Errors: *Error (ErrExists,
// ErrInvalid), or the transport's.
func (c *Client) CreateRole(ctx context.Context, spec RoleSpec) (Role, error) {
	var out Role
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/roles", body: spec}, &out)
}

// SetRole replaces all but name and policies. Errors: *Error (ErrNotFound,
// ErrInvalid), or the transport's.
func (c *Client) SetRole(ctx context.Context, spec RoleSpec) (Role, error) {
	var out Role
	return out, c.do(ctx, call{method: http.MethodPut, path: named("roles", spec.Name), body: spec}, &out)
}

// DeleteRole deletes a role. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) DeleteRole(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: named("roles", name)}, nil)
}

// Policies lists all by name. Errors: *Error, or the transport's.
func (c *Client) Policies(ctx context.Context) (all []Policy, err error) {
	err = everyPage(func(q url.Values) (string, error) {
		var page struct {
			Policies []Policy `json:"policies"`
			Next     string   `json:"next"`
		}
		err := c.get(ctx, call{path: "/v1/policies", query: q}, &page)
		all = append(all, page.Policies...)
		return page.Next, err
	})
	return all, err
}

// Policy reads one. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) Policy(ctx context.Context, name string) (Policy, error) {
	var out Policy
	return out, c.get(ctx, call{path: named("policies", name)}, &out)
}

// CreatePolicy makes a policy that hangs on nothing. Errors: *Error (ErrExists;
// ErrInvalid with line and column of what is wrong in the document), or the
// transport's.
func (c *Client) CreatePolicy(ctx context.Context, spec PolicySpec) (Policy, error) {
	var out Policy
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/policies", body: spec}, &out)
}

// SetPolicy replaces description and document. Errors: *Error (ErrNotFound,
// ErrInvalid), or the transport's.
func (c *Client) SetPolicy(ctx context.Context, spec PolicySpec) (Policy, error) {
	var out Policy
	return out, c.do(ctx, call{method: http.MethodPut, path: named("policies", spec.Name), body: spec}, &out)
}

// DeletePolicy deletes a policy that hangs on nothing. Errors: *Error
// (ErrNotFound, ErrState), or the transport's.
func (c *Client) DeletePolicy(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: named("policies", name)}, nil)
}

// Attach hangs a policy on a user, group or role; it may hang there already.
// Errors: *Error (ErrNotFound, ErrState), or the transport's.
func (c *Client) Attach(ctx context.Context, policy string, to Holder) error {
	return c.attachment(ctx, http.MethodPut, to.query(policy))
}

// Detach takes a policy off. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) Detach(ctx context.Context, policy string, from Holder) error {
	return c.attachment(ctx, http.MethodDelete, from.query(policy))
}

func (c *Client) attachment(ctx context.Context, method string, query url.Values) error {
	return c.do(ctx, call{method: method, path: "/v1/attachments", query: query}, nil)
}
