package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep"
)

// Tag is one key and value on a user, a role or a Secret.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// AccessKey is a user's key, without its secret.
type AccessKey struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
}

// NewAccessKey is a key that was just made. Secret is not to be had again.
type NewAccessKey struct {
	ID     string
	User   string
	Secret lockstep.Value
}

// User is a principal with access keys.
type User struct {
	ARN  string `json:"arn"`
	Name string `json:"name"`
	Tags []Tag  `json:"tags,omitempty"`
	// Boundary is the name of the policy that bounds what others grant.
	Boundary string    `json:"boundary,omitempty"`
	Created  time.Time `json:"created"`
	// Groups and Policies (names) and Keys are there when one user was asked
	// for, not in lists.
	Groups   []string    `json:"groups,omitempty"`
	Policies []string    `json:"policies,omitempty"`
	Keys     []AccessKey `json:"keys,omitempty"`
}

// UserSpec is what a user is made or changed to.
type UserSpec struct {
	Name     string `json:"name"`
	Tags     []Tag  `json:"tags,omitempty"`
	Boundary string `json:"boundary,omitempty"`
}

// Group lends its policies to its members.
type Group struct {
	ARN     string    `json:"arn"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Members and Policies are names; not in lists.
	Members  []string `json:"members,omitempty"`
	Policies []string `json:"policies,omitempty"`
}

// Role is a principal that others assume.
type Role struct {
	ARN         string `json:"arn"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Trust is the policy document that says who may assume it.
	Trust    string    `json:"trust"`
	Tags     []Tag     `json:"tags,omitempty"`
	Boundary string    `json:"boundary,omitempty"`
	Created  time.Time `json:"created"`
	// Policies are names; not in lists.
	Policies []string `json:"policies,omitempty"`
}

// RoleSpec is what a role is made or changed to.
type RoleSpec struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Trust       string `json:"trust"`
	Tags        []Tag  `json:"tags,omitempty"`
	Boundary    string `json:"boundary,omitempty"`
}

// Policy is a managed identity policy.
type Policy struct {
	ARN         string    `json:"arn"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Document    string    `json:"document"`
	Created     time.Time `json:"created"`
	Changed     time.Time `json:"changed"`
	// Holders are the ARNs of what it hangs on or bounds; not in lists.
	Holders []string `json:"holders,omitempty"`
}

// PolicySpec is what a policy is made or changed to.
type PolicySpec struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Document    string `json:"document"`
}

// Holder is what a policy can hang on: exactly one of the names is set.
type Holder struct{ User, Group, Role string }

func (h Holder) query(policy string) url.Values {
	q := url.Values{"policy": {policy}}
	for name, value := range map[string]string{"user": h.User, "group": h.Group, "role": h.Role} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// pageSize is how many names are asked for at a time.
const pageSize = 1000

// everyPage asks for page after page; add takes one and gives the name after
// which the next begins, empty on the last.
func everyPage(add func(query url.Values) (next string, err error)) error {
	q := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for {
		next, err := add(q)
		if err != nil || next == "" {
			return err
		}
		q.Set("after", next)
	}
}

func named(collection, name string) string { return "/v1/" + collection + "/" + url.PathEscape(name) }

// Users lists all by name. Errors: *Error, or the transport's.
func (c *Client) Users(ctx context.Context) (all []User, err error) {
	err = everyPage(func(q url.Values) (string, error) {
		var page struct {
			Users []User `json:"users"`
			Next  string `json:"next"`
		}
		err := c.get(ctx, call{path: "/v1/users", query: q}, &page)
		all = append(all, page.Users...)
		return page.Next, err
	})
	return all, err
}

// User reads one. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) User(ctx context.Context, name string) (User, error) {
	var out User
	return out, c.get(ctx, call{path: named("users", name)}, &out)
}

// CreateUser makes a user that may nothing. Errors: *Error (ErrExists,
// ErrInvalid), or the transport's.
func (c *Client) CreateUser(ctx context.Context, spec UserSpec) (User, error) {
	var out User
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/users", body: spec}, &out)
}

// SetUser replaces tags and boundary. Errors: *Error (ErrNotFound,
// ErrInvalid), or the transport's.
func (c *Client) SetUser(ctx context.Context, spec UserSpec) (User, error) {
	var out User
	return out, c.do(ctx, call{method: http.MethodPut, path: named("users", spec.Name), body: spec}, &out)
}

// DeleteUser deletes a user with its keys. Errors: *Error (ErrNotFound), or the
// transport's.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: named("users", name)}, nil)
}

// CreateAccessKey makes a key for a user; "root" is the root user. If the
// answer is lost, a key may have been made that nobody knows: it shows in User,
// and can be deleted. Errors: *Error (ErrNotFound; ErrState if the user has two
// already), or the transport's.
func (c *Client) CreateAccessKey(ctx context.Context, user string) (NewAccessKey, error) {
	var out struct{ ID, User, Secret string }
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/access-keys", query: url.Values{"user": {user}}}, &out)
	return NewAccessKey{ID: out.ID, User: out.User, Secret: lockstep.StringValue(out.Secret)}, err
}

// keyState is the body that enables or disables.
type keyState struct {
	Active bool `json:"active"`
}

// EnableAccessKey lets a key sign again. Errors: *Error (ErrNotFound), or the
// transport's.
func (c *Client) EnableAccessKey(ctx context.Context, id string) (AccessKey, error) {
	return c.setKey(ctx, id, keyState{true})
}

// DisableAccessKey makes a key useless until it is enabled. Errors: *Error
// (ErrNotFound; ErrState for the root user's last), or the transport's.
func (c *Client) DisableAccessKey(ctx context.Context, id string) (AccessKey, error) {
	return c.setKey(ctx, id, keyState{false})
}

func (c *Client) setKey(ctx context.Context, id string, state keyState) (AccessKey, error) {
	var out AccessKey
	return out, c.do(ctx, call{method: http.MethodPut, path: named("access-keys", id), body: state}, &out)
}

// DeleteAccessKey deletes a key for good. Errors: *Error (ErrNotFound; ErrState
// for the root user's last), or the transport's.
func (c *Client) DeleteAccessKey(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: named("access-keys", id)}, nil)
}

// Groups lists all by name. Errors: *Error, or the transport's.
func (c *Client) Groups(ctx context.Context) (all []Group, err error) {
	err = everyPage(func(q url.Values) (string, error) {
		var page struct {
			Groups []Group `json:"groups"`
			Next   string  `json:"next"`
		}
		err := c.get(ctx, call{path: "/v1/groups", query: q}, &page)
		all = append(all, page.Groups...)
		return page.Next, err
	})
	return all, err
}

// Group reads one. Errors: *Error (ErrNotFound), or the transport's.
func (c *Client) Group(ctx context.Context, name string) (Group, error) {
	var out Group
	return out, c.get(ctx, call{path: named("groups", name)}, &out)
}

// CreateGroup makes an empty group. Errors: *Error (ErrExists, ErrInvalid), or
// the transport's.
func (c *Client) CreateGroup(ctx context.Context, name string) (Group, error) {
	var out Group
	body := struct {
		Name string `json:"name"`
	}{name}
	return out, c.do(ctx, call{method: http.MethodPost, path: "/v1/groups", body: body}, &out)
}

// DeleteGroup deletes a group; its members stay users. Errors: *Error
// (ErrNotFound), or the transport's.
func (c *Client) DeleteGroup(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: named("groups", name)}, nil)
}

func membership(group, user string) url.Values { return url.Values{"group": {group}, "user": {user}} }

// AddMember puts a user into a group; it may be in already. Errors: *Error
// (ErrNotFound), or the transport's.
func (c *Client) AddMember(ctx context.Context, group, user string) error {
	return c.do(ctx, call{method: http.MethodPut, path: "/v1/memberships", query: membership(group, user)}, nil)
}

// RemoveMember takes a user out of a group. Errors: *Error (ErrNotFound), or
// the transport's.
func (c *Client) RemoveMember(ctx context.Context, group, user string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/memberships", query: membership(group, user)}, nil)
}
