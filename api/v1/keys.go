package v1

import (
	"context"
	"errors"
	"net/http"
	"time"

	"lockstep"
	"lockstep/auth"
	"lockstep/keys"
	"lockstep/store"
)

// Keys tells of the root key, which it moves, and of what hangs on master keys;
// keys.Service does. What AWS has words for is package api/kms's.
type Keys interface {
	RootStatus(ctx context.Context) (keys.RootStatus, error)
	MigrateRoot(ctx context.Context, line string) (keys.RootStatus, error)
	Use(ctx context.Context, ref keys.Ref) (*store.MasterKey, store.KeyUse, error)
}

func keyRoutes() []route {
	return []route{
		{http.MethodGet, "/v1/root-key", "GetRootKey", http.StatusOK, (*API).getRootKey},
		{http.MethodPut, "/v1/root-key", "MoveRootKey", http.StatusOK, (*API).moveRootKey},
		{http.MethodGet, "/v1/key-use", "GetKeyUse", http.StatusOK, (*API).getKeyUse},
	}
}

type rootKeyOutput struct {
	ID   string `json:"id"`
	Line string `json:"line"`
	// PreviousID and Remaining are there during a move.
	PreviousID string `json:"previousId,omitempty"`
	Remaining  int    `json:"remaining"`
}

func showRoot(s keys.RootStatus) rootKeyOutput {
	out := rootKeyOutput{ID: s.Current.ID, Line: s.Current.Line, Remaining: s.Remaining}
	if s.Previous != nil {
		out.PreviousID = s.Previous.ID
	}
	return out
}

func (a *API) getRootKey(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	s, err := a.config.Keys.RootStatus(ctx)
	if err != nil {
		return nil, err
	}
	return showRoot(s), nil
}

type moveRootInput struct {
	Line string `json:"line"`
}

func (a *API) moveRootKey(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	var in moveRootInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if in.Line == "" {
		return nil, invalid("The field \"line\" is missing.", "It names the new root key, as --root-key of the server does.")
	}
	s, err := a.config.Keys.MigrateRoot(ctx, in.Line)
	if err != nil {
		return nil, plainly(err)
	}
	return showRoot(s), nil
}

// plainly tells an operator why a root key cannot be opened: the text names
// files, tokens and labels, and never a PIN.
func plainly(err error) error {
	for _, row := range []struct {
		kind   error
		status int
		code   string
	}{
		{lockstep.ErrNotFound, http.StatusConflict, "RootKeyNotFound"},
		{lockstep.ErrDenied, http.StatusConflict, "RootKeyRefusesPIN"},
		{lockstep.ErrSealed, http.StatusServiceUnavailable, "RootKeyAway"},
	} {
		if errors.Is(err, row.kind) {
			return &Error{Status: row.status, Code: row.code, Message: err.Error()}
		}
	}
	return err
}

type keyUseOutput struct {
	ID    string `json:"id"`
	ARN   string `json:"arn"`
	State string `json:"state"`
	// Secrets would be unreadable without the key.
	Secrets int `json:"secrets"`
	// DataKeys are wrapped by it; Stale of them by a former version.
	DataKeys int                `json:"dataKeys"`
	Stale    int                `json:"stale"`
	Versions []keyVersionOutput `json:"versions"`
}

type keyVersionOutput struct {
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	RootID  string    `json:"rootKeyId"`
}

func (a *API) getKeyUse(ctx context.Context, c call) (any, error) {
	id := c.URL.Query().Get("key")
	if id == "" {
		return nil, invalid("The query parameter \"key\" is missing.", "Give a key's id, ARN or alias.")
	}
	ref := keys.Ref{Owner: c.caller.Owner(), ID: id, Allow: func(k *store.MasterKey) error {
		return a.config.Guard.Authorize(ctx, auth.Question{Caller: c.caller, Action: c.action, Resource: keys.ARN(k)})
	}}
	k, use, err := a.config.Keys.Use(ctx, ref)
	if err != nil {
		return nil, err
	}
	out := keyUseOutput{ID: k.ID, ARN: keys.ARN(k), State: string(k.State), Secrets: use.Secrets, DataKeys: use.DataKeys, Stale: use.Stale}
	for _, v := range k.Versions {
		out.Versions = append(out.Versions, keyVersionOutput{v.Number, v.Created.UTC(), v.RootID})
	}
	return out, nil
}
