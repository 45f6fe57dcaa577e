package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// RootKey is the server's root key.
type RootKey struct {
	ID string `json:"id"`
	// Line names it, as --root-key of the server does.
	Line string `json:"line"`
	// PreviousID is the former one during a move, and Remaining how many key
	// versions it still wraps.
	PreviousID string `json:"previousId,omitempty"`
	Remaining  int    `json:"remaining"`
}

// RootKey reads which root key wraps. Errors: *Error, or the transport's.
func (c *Client) RootKey(ctx context.Context) (RootKey, error) {
	var out RootKey
	return out, c.get(ctx, call{path: "/v1/root-key"}, &out)
}

// MoveRootKey moves to another root key, which the server opens, or makes if
// it does not exist. What is interrupted goes on by itself; repeating the call
// is harmless. Errors: *Error, or the transport's.
func (c *Client) MoveRootKey(ctx context.Context, line string) (RootKey, error) {
	var out RootKey
	body := struct {
		Line string `json:"line"`
	}{line}
	return out, c.do(ctx, call{method: http.MethodPut, path: "/v1/root-key", body: body, wait: 10 * time.Minute}, &out)
}

// KeyUse is what hangs on a master key.
type KeyUse struct {
	ID    string `json:"id"`
	ARN   string `json:"arn"`
	State string `json:"state"`
	// Secrets would be unreadable without the key.
	Secrets int `json:"secrets"`
	// DataKeys are wrapped by it; Stale of them by a former version.
	DataKeys int          `json:"dataKeys"`
	Stale    int          `json:"stale"`
	Versions []KeyVersion `json:"versions"`
}

// KeyVersion is one generation of a master key's material.
type KeyVersion struct {
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	// RootKeyID is the root key that wraps it.
	RootKeyID string `json:"rootKeyId"`
}

// KeyUse counts what hangs on a master key, by id, ARN or alias. Errors: *Error
// (ErrNotFound), or the transport's.
func (c *Client) KeyUse(ctx context.Context, key string) (KeyUse, error) {
	var out KeyUse
	return out, c.get(ctx, call{path: "/v1/key-use", query: url.Values{"key": {key}}}, &out)
}
