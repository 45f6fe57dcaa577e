package v1

import (
	"context"
	"io"
	"net/http"
	"time"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/store"
)

// identityRoutes are those about who there is and what they may. Each asks the
// Guard about the ARN of the user, group, role or policy; so "lockstep:*Key" on
// arn:aws:iam::*:user/${aws:username} lets everybody rotate their own keys. Who
// may change policies, or attach them, may give itself everything.
func identityRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/users", "ListUsers", http.StatusOK, (*API).listUsers},
		{http.MethodPost, "/v1/users", "CreateUser", http.StatusCreated, (*API).createUser},
		{http.MethodGet, "/v1/users/{id}", "GetUser", http.StatusOK, (*API).getUser},
		{http.MethodPut, "/v1/users/{id}", "PutUser", http.StatusOK, (*API).putUser},
		{http.MethodDelete, "/v1/users/{id}", "DeleteUser", http.StatusOK, (*API).deleteUser},
		{http.MethodPost, "/v1/access-keys", "CreateAccessKey", http.StatusCreated, (*API).createKey},
		{http.MethodPut, "/v1/access-keys/{id}", "PutAccessKey", http.StatusOK, (*API).putKey},
		{http.MethodDelete, "/v1/access-keys/{id}", "DeleteAccessKey", http.StatusOK, (*API).deleteKey},
		{http.MethodGet, "/v1/groups", "ListGroups", http.StatusOK, (*API).listGroups},
		{http.MethodPost, "/v1/groups", "CreateGroup", http.StatusCreated, (*API).createGroup},
		{http.MethodGet, "/v1/groups/{id}", "GetGroup", http.StatusOK, (*API).getGroup},
		{http.MethodDelete, "/v1/groups/{id}", "DeleteGroup", http.StatusOK, (*API).deleteGroup},
		{http.MethodPut, "/v1/memberships", "PutMembership", http.StatusOK, (*API).putMembership},
		{http.MethodDelete, "/v1/memberships", "DeleteMembership", http.StatusOK, (*API).deleteMembership},
		{http.MethodGet, "/v1/roles", "ListRoles", http.StatusOK, (*API).listRoles},
		{http.MethodPost, "/v1/roles", "CreateRole", http.StatusCreated, (*API).createRole},
		{http.MethodGet, "/v1/roles/{id}", "GetRole", http.StatusOK, (*API).getRole},
		{http.MethodPut, "/v1/roles/{id}", "PutRole", http.StatusOK, (*API).putRole},
		{http.MethodDelete, "/v1/roles/{id}", "DeleteRole", http.StatusOK, (*API).deleteRole},
		{http.MethodGet, "/v1/policies", "ListPolicies", http.StatusOK, (*API).listPolicies},
		{http.MethodPost, "/v1/policies", "CreatePolicy", http.StatusCreated, (*API).createPolicy},
		{http.MethodGet, "/v1/policies/{id}", "GetPolicy", http.StatusOK, (*API).getPolicy},
		{http.MethodPut, "/v1/policies/{id}", "PutPolicy", http.StatusOK, (*API).putPolicy},
		{http.MethodDelete, "/v1/policies/{id}", "DeletePolicy", http.StatusOK, (*API).deletePolicy},
		{http.MethodPut, "/v1/attachments", "AttachPolicy", http.StatusOK, (*API).attach},
		{http.MethodDelete, "/v1/attachments", "DetachPolicy", http.StatusOK, (*API).detach},
	}
}

// done is the answer of what has nothing to tell.
type done struct{}

// tagBody is a tag on the wire.
type tagBody struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func showTags(tags []lockstep.Tag) []tagBody {
	var out []tagBody
	for _, t := range tags {
		out = append(out, tagBody(t))
	}
	return out
}

func tagsOf(in []tagBody) []lockstep.Tag {
	var out []lockstep.Tag
	for _, t := range in {
		out = append(out, lockstep.Tag(t))
	}
	return out
}

// mayIdentity asks about a user, group, role or policy. The root user is its own
// alone to manage, whatever policies say.
func (a *API) mayIdentity(ctx context.Context, c call, kind auth.IdentityKind, name string, keys ...auth.Key) error {
	root := auth.RootARN(c.caller.Account)
	if auth.IdentityARN(c.caller.Account, kind, name) == root && !c.caller.IsRoot() {
		return lockstep.Refuse(lockstep.ErrDenied, "User: %s is not authorized to perform: %s on resource: %s because it is the root user's alone",
			c.caller.ARN, c.action, root)
	}
	return a.config.Guard.Authorize(ctx, auth.Question{
		Caller: c.caller, Action: c.action, Resource: auth.IdentityARN(c.caller.Account, kind, name), Keys: keys,
	})
}

// read decodes the body of a request.
func read(c call, into any) error {
	body, err := io.ReadAll(c.Body) // in memory already, under the signature's limit
	if err != nil {
		return err
	}
	if err := awsjson.DecodeKnown(body, into); err != nil {
		return unreadable(err)
	}
	return nil
}

// The page sizes of lists of names.
const defaultNames = 100

// names reads the query of a list; one more than the page is asked for.
func (a *API) names(ctx context.Context, c call) (store.NameQuery, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return store.NameQuery{}, err
	}
	limit, err := numberOf(c, "limit", bounds{defaultNames, 1, auth.MaxNames})
	return store.NameQuery{Account: c.caller.Account, After: c.URL.Query().Get("after"), Limit: int(limit) + 1}, err
}

// page cuts what was found to the page; next is the last name on it if more
// follows.
func page[T any](found []T, q store.NameQuery, name func(T) string) (cut []T, next string) {
	if len(found) < q.Limit {
		return found, ""
	}
	cut = found[:q.Limit-1]
	return cut, name(cut[len(cut)-1])
}

type userOutput struct {
	ARN      string    `json:"arn"`
	Name     string    `json:"name"`
	Tags     []tagBody `json:"tags,omitempty"`
	Boundary string    `json:"boundary,omitempty"`
	Created  time.Time `json:"created"`
	// The rest is there when one user was asked for, not in lists.
	Groups   []string    `json:"groups,omitempty"`
	Policies []string    `json:"policies,omitempty"`
	Keys     []keyOutput `json:"keys,omitempty"`
}

type keyOutput struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
}

func showKey(k *store.AccessKey) keyOutput {
	return keyOutput{k.ID, auth.NameOf(k.UserARN), k.Active, k.Created.UTC()}
}

func showUser(u *store.User) userOutput {
	out := userOutput{ARN: u.ARN, Name: u.Name, Tags: showTags(u.Tags), Created: u.Created.UTC()}
	if u.Boundary != "" {
		out.Boundary = auth.NameOf(u.Boundary)
	}
	return out
}

type usersOutput struct {
	Users []userOutput `json:"users"`
	// Next is the value of "after" for the next page; absent on the last.
	Next string `json:"next,omitempty"`
}

func (a *API) listUsers(ctx context.Context, c call) (any, error) {
	q, err := a.names(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := a.config.Identities.Users(ctx, q)
	if err != nil {
		return nil, err
	}
	out := usersOutput{Users: []userOutput{}}
	found, out.Next = page(found, q, func(u *store.User) string { return u.Name })
	for _, u := range found {
		out.Users = append(out.Users, showUser(u))
	}
	return out, nil
}

func (a *API) getUser(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindUser, c.id); err != nil {
		return nil, err
	}
	return a.user(ctx, c, c.id)
}

func (a *API) user(ctx context.Context, c call, name string) (any, error) {
	d, err := a.config.Identities.User(ctx, c.caller.Account, name)
	if err != nil {
		return nil, err
	}
	out := showUser(d.User)
	out.Groups, out.Policies = d.Groups, d.Policies
	for _, k := range d.Keys {
		out.Keys = append(out.Keys, showKey(k))
	}
	return out, nil
}

// userInput is what POST makes and PUT replaces; PUT takes no name.
type userInput struct {
	Name     string    `json:"name"`
	Tags     []tagBody `json:"tags"`
	Boundary string    `json:"boundary"`
}

func (in userInput) spec(c call) auth.UserSpec {
	return auth.UserSpec{Account: c.caller.Account, Name: in.Name, Tags: tagsOf(in.Tags), Boundary: in.Boundary}
}

func (a *API) createUser(ctx context.Context, c call) (any, error) {
	var in userInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if err := a.mayIdentity(ctx, c, auth.KindUser, in.Name); err != nil {
		return nil, err
	}
	if err := a.config.Identities.CreateUser(ctx, in.spec(c)); err != nil {
		return nil, err
	}
	return a.user(ctx, c, in.Name)
}

func (a *API) putUser(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindUser, c.id); err != nil {
		return nil, err
	}
	var in userInput
	if err := readNameless(c, &in, &in.Name); err != nil {
		return nil, err
	}
	if err := a.config.Identities.ChangeUser(ctx, in.spec(c)); err != nil {
		return nil, err
	}
	return a.user(ctx, c, in.Name)
}

// readNameless reads the body of a PUT, whose name stands in the path.
func readNameless(c call, into any, name *string) error {
	if err := read(c, into); err != nil {
		return err
	}
	if *name != "" && *name != c.id {
		return invalid("The name in the body is not the one in the path.", "Names cannot be changed; leave it out.")
	}
	*name = c.id
	return nil
}

func (a *API) deleteUser(ctx context.Context, c call) (any, error) {
	if err := a.mayIdentity(ctx, c, auth.KindUser, c.id); err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.DeleteUser(ctx, c.caller.Account, c.id)
}

// newKeyOutput holds a secret in clear, on its way to the client alone, once.
type newKeyOutput struct {
	ID     string `json:"id"`
	User   string `json:"user"`
	Secret string `json:"secret"`
}

func (a *API) createKey(ctx context.Context, c call) (any, error) {
	user := c.URL.Query().Get("user")
	if user == "" {
		return nil, invalid("The query parameter \"user\" is missing.", "Give the user's name.")
	}
	if err := a.mayIdentity(ctx, c, auth.KindUser, user); err != nil {
		return nil, err
	}
	made, err := a.config.Identities.CreateKey(ctx, store.Owner{Account: c.caller.Account, Region: a.config.Home}, user)
	if err != nil {
		return nil, err
	}
	return newKeyOutput{made.AccessKeyID, user, made.SecretKey.Reveal()}, nil
}

// mayKey asks about the user whose key it is. A key that is not there is nobody's.
func (a *API) mayKey(ctx context.Context, c call) error {
	k, err := a.config.Identities.Key(ctx, c.caller.Account, c.id)
	if err != nil {
		if denied := a.mayIdentity(ctx, c, auth.KindUser, "*"); denied != nil {
			return denied
		}
		return err
	}
	return a.mayIdentity(ctx, c, auth.KindUser, auth.NameOf(k.UserARN))
}

type keyInput struct {
	Active *bool `json:"active"`
}

func (a *API) putKey(ctx context.Context, c call) (any, error) {
	if err := a.mayKey(ctx, c); err != nil {
		return nil, err
	}
	var in keyInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if in.Active == nil {
		return nil, invalid("The field \"active\" is missing.", "Give true or false.")
	}
	set := a.config.Identities.DisableKey
	if *in.Active {
		set = a.config.Identities.EnableKey
	}
	if err := set(ctx, c.caller.Account, c.id); err != nil {
		return nil, err
	}
	k, err := a.config.Identities.Key(ctx, c.caller.Account, c.id)
	if err != nil {
		return nil, err
	}
	return showKey(k), nil
}

func (a *API) deleteKey(ctx context.Context, c call) (any, error) {
	if err := a.mayKey(ctx, c); err != nil {
		return nil, err
	}
	return done{}, a.config.Identities.DeleteKey(ctx, c.caller.Account, c.id)
}
