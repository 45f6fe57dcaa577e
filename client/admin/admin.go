// Package admin is the typed Go client of the API under /v1: Runs and their
// Steps, Rotations, dry runs, Events, checks. What AWS's own API has words for
// (secrets, values, RotateSecret) is left to AWS's SDKs, which work unchanged.
//
// A refusal of the server is an [*Error] with status, code, message and hint;
// it also matches the domain's sentinels: errors.Is(err, lockstep.ErrNotFound).
// Calls that failed for want of a connection, or because the server was busy
// or starting, are tried again for about three seconds.
package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"lockstep"
	"lockstep/client/internal/wire"
)

// Error is a request that the server refused.
type Error = wire.Error

// Config says which server, and who asks. The zero Config takes everything
// from the environment, as `lockstep env` prints it.
type Config struct {
	// Endpoint is the server's URL; empty: $AWS_ENDPOINT_URL_SECRETS_MANAGER.
	// Plain http is taken for loopback addresses alone.
	Endpoint string
	// Region that requests are signed for; empty: the AWS SDK's ($AWS_REGION,
	// profile), else us-east-1.
	Region string
	// Credentials sign the requests; nil: the AWS SDK's chain.
	Credentials aws.CredentialsProvider
	// CAFile is a PEM file with the authorities to trust, and no others; empty:
	// $AWS_CA_BUNDLE, else the system's.
	CAFile string
	// TLS, if set, is used instead of CAFile.
	TLS *tls.Config
	// HTTPClient, if set, carries the requests; TLS and CAFile then do not
	// count for them.
	HTTPClient *http.Client
	// Logger hears of what is overcome by itself; nil: nobody.
	Logger *slog.Logger
}

// Client asks one server as one caller. It is safe for concurrent use.
type Client struct{ at *wire.Endpoint }

// New makes a Client; it makes no request. Errors: ErrInvalid (wrapped) if no
// endpoint is named or the Config cannot work.
func New(ctx context.Context, c Config) (*Client, error) {
	at, err := wire.Open(ctx, wire.Config(c))
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	return &Client{at: at}, nil
}

// On makes a Client on an endpoint that is open already. It is for package
// client.
func On(at *wire.Endpoint) *Client { return &Client{at: at} }

// Status is what the server says of itself.
type Status struct {
	Version string `json:"version"`
	// Account that the caller belongs to.
	Account string `json:"account"`
	// Regions served; the first is home.
	Regions []string `json:"regions"`
	// NATSURL is where to listen for Events; empty if nowhere.
	NATSURL string `json:"natsUrl,omitempty"`
}

// Status asks the server about itself. Errors: *Error, or the transport's.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	return out, c.get(ctx, call{path: "/v1/status"}, &out)
}

// Violation is a broken invariant.
type Violation struct {
	// Rule names it, for example "one-current".
	Rule   string       `json:"rule"`
	ARN    lockstep.ARN `json:"arn,omitempty"`
	Detail string       `json:"detail"`
}

// call is one request; wait is how long the server may hold the answer back.
type call struct {
	method string
	path   string
	query  url.Values
	body   any
	wait   time.Duration
}

func (c *Client) get(ctx context.Context, in call, out any) error {
	in.method = http.MethodGet
	return c.do(ctx, in, out)
}

func (c *Client) do(ctx context.Context, in call, out any) error {
	r := wire.Request{Method: in.method, Path: in.path, Query: in.query, Service: wire.ServiceLockstep, Wait: in.wait}
	if in.body != nil {
		body, err := json.Marshal(in.body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", in.method, in.path, err)
		}
		r.Body = body
	}
	if err := c.at.Do(ctx, r, out); err != nil {
		return fmt.Errorf("%s %s: %w", in.method, in.path, err)
	}
	return nil
}

func ofSecret(name string) url.Values { return url.Values{"secret": {name}} }
