package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"lockstep"
	"lockstep/auth"
	"lockstep/bus"
	"lockstep/rotators"
	"lockstep/rotators/custom"
	"lockstep/store"
	"lockstep/workers"
)

// openCustom makes what keeps the custom rotators.
func (n *Node) openCustom(context.Context) error {
	if n.keys == nil {
		return nil
	}
	policy := custom.ExecRefused
	if n.cfg.AllowExecRotators {
		policy = custom.ExecAllowed
	}
	var err error
	n.custom, err = custom.New(custom.Config{
		Store: n.store, Sealer: n.keys, Home: n.cfg.Regions[0], Exec: policy, Native: n.registry.Names,
		NATS: func() custom.Requester { return n.bus },
	})
	return err
}

// callbacks makes the credentials with which rotation functions call back.
type callbacks struct {
	sessions *auth.Sessions
	// at is where the API is, once it is known.
	at *callbackAddress
}

// callbackAddress is where functions find the API: the address that was
// configured, or this node's own, as soon as it listens.
type callbackAddress struct {
	once  sync.Once
	known chan struct{}
	url   string
	ca    string
}

func newCallbackAddress() *callbackAddress { return &callbackAddress{known: make(chan struct{})} }

func (a *callbackAddress) set(url, ca string) {
	a.once.Do(func() { a.url, a.ca = url, ca; close(a.known) })
}

// sessionMargin is how much longer than the call its credentials live, for
// clocks that differ.
const sessionMargin = 5 * time.Second

// document is a policy in IAM's language.
type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect   string
	Action   []string
	Resource string
}

// Open is workers.Callbacks'.
func (c *callbacks) Open(ctx context.Context, s workers.CallbackScope) (rotators.Callback, error) {
	select {
	case <-c.at.known:
	case <-ctx.Done():
		return rotators.Callback{}, fmt.Errorf("wait for the API's address: %w", ctx.Err())
	}
	if c.at.url == "" {
		return rotators.Callback{}, fmt.Errorf("this node has no API, and no --callback-url says where one is: %w", lockstep.ErrState)
	}
	may, err := policyOf(s)
	if err != nil {
		return rotators.Callback{}, err
	}
	bound := auth.Binding(s.Session)
	session, err := c.sessions.Mint(ctx, auth.SessionSpec{
		Account: s.Secret.Account, Name: string(s.Session.Run), Policies: []string{may},
		Lifetime: s.Lifetime + sessionMargin, Binding: &bound,
	})
	if err != nil {
		return rotators.Callback{}, err
	}
	return rotators.Callback{
		AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretKey,
		SessionToken: lockstep.StringValue(session.SessionToken), Expires: session.Expires,
		Endpoint: c.at.url, Region: s.Secret.Region, CABundle: c.at.ca,
	}, nil
}

// policyOf is all that a function may during a step.
func policyOf(s workers.CallbackScope) (string, error) {
	read := []string{"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"}
	d := document{Version: "2012-10-17", Statement: []statement{
		{"Allow", append(read, "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"), string(s.Secret.ARN)},
		{"Allow", []string{"secretsmanager:GetRandomPassword"}, "*"},
	}}
	if s.Admin != "" {
		d.Statement = append(d.Statement, statement{"Allow", read, string(s.Admin)})
	}
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("write session policy: %w", err)
	}
	return string(text), nil
}

// callbackReady tells functions where to call back, once that is known.
func (n *Node) callbackReady() error {
	url, ca := n.cfg.CallbackURL, ""
	if url == "" {
		url = n.URL()
	}
	if n.ca != nil && !n.cfg.PlainHTTP {
		pem, err := os.ReadFile(n.ca.CertPath())
		if err != nil {
			return fmt.Errorf("read the authority for rotation functions: %w", err)
		}
		ca = string(pem)
	}
	n.callback.set(url, ca)
	return nil
}

// maxServed bounds the rotators that one connection may serve.
const maxServed = 100

// servable lists the custom rotators that a principal may be the service of.
func (n *Node) servable(ctx context.Context, login auth.Login) ([]string, error) {
	list, err := n.custom.Rotators(ctx, store.NameQuery{Account: login.Account, Limit: maxServed})
	if err != nil {
		return nil, err
	}
	var names []string
	guard := auth.NewGuard(nil)
	for _, r := range list {
		err := guard.Authorize(ctx, auth.Question{
			Caller: auth.Caller{Principal: login.Principal, Region: login.Region}, Action: "lockstep:ServeRotator",
			Resource: auth.RotatorARN(login.Region, login.Account, r.Name),
		})
		if r.Kind == store.RotatorNATS && err == nil {
			names = append(names, r.Name)
		}
	}
	return names, nil
}

var _ custom.Requester = (*bus.Bus)(nil)
