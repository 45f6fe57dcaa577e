package oauth2

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// ClientSecret is the rotator "oauth2-client-secret". It holds no state and is
// safe for concurrent use.
type ClientSecret struct{ side }

// NewClientSecret makes the rotator. Errors: ErrInvalid, as Config says.
func NewClientSecret(cfg Config) (*ClientSecret, error) {
	s, err := newSide(cfg)
	return &ClientSecret{s}, err
}

// Traits: issued, one value. Some servers let the old secret live on for a time;
// that none may be lost holds for all: the answer has the only registration access
// token, too.
func (*ClientSecret) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Issued, Overlap: lockstep.OneValue}
}

// errUnchanged: the server keeps a client's secret through an update.
const hintUnchanged = "this server does not change a secret by an update of the registration: use " + NameNewClient

// Issue updates the registration with the metadata that it has. The value has the
// new secret and, if the server gives one, the next registration access token.
// Errors: TargetErrors; Unknown means that the secret may be another now.
func (c *ClientSecret) Issue(ctx context.Context, r *rotators.Request) (lockstep.Value, error) {
	now, err := readRegistered(r.Current)
	if err == nil && (now.uri == "" || now.token == "") {
		err = lacking(fieldManageURI + " or " + fieldManageToken)
	}
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	if unchanged(r, now) {
		return lockstep.Value{}, permanent(hintUnchanged, "the last update did not change the secret")
	}
	body, err := now.metadata()
	if err != nil {
		return lockstep.Value{}, malformed("AWSCURRENT", err)
	}
	ctx, cancel, err := c.inTime(ctx, r)
	if err != nil {
		return lockstep.Value{}, err
	}
	defer cancel()
	q := now.manage("update the client's registration", http.MethodPut, body)
	a, err := c.do(ctx, q)
	if err != nil {
		return lockstep.Value{}, lostSecret(err)
	}
	if !a.ok() {
		return lockstep.Value{}, lostSecret(q.manageRefusal(a))
	}
	v, next, err := now.answered(q, a)
	switch {
	case err != nil:
		return lockstep.Value{}, lostSecret(err)
	case next.id != now.id:
		return lockstep.Value{}, lostSecret(q.unread(a, "what came is another client"))
	case next.secret == now.secret && next.token == now.token:
		return lockstep.Value{}, permanent(hintUnchanged, "%s: the server answered with the same secret", q.doing)
	}
	return v, nil
}

// unchanged tells whether the Run before brought nothing but a registration access
// token: AWSPREVIOUS has the same secret.
func unchanged(r *rotators.Request, now *registered) bool {
	if len(r.Live) == 0 {
		return false
	}
	before, err := readRegistered(r.Live[0])
	return err == nil && before.id == now.id && before.secret == now.secret && before.token != now.token
}

// manageRefusal is refusal, where a 401 is about the registration access token.
func (r *request) manageRefusal(a answer) *lockstep.TargetError {
	te := r.refusal(a)
	if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
		te.Hint = hintOf(codeInvalidToken)
	}
	return te
}

// secretWayOut is what a person does when an update's answer was lost.
const secretWayOut = "the secret and the registration access token may be others now, and are not asked for again: " +
	"look the client up at the authorization server, or register it anew, and put what this gives"

func lostSecret(err error) error {
	te := *lockstep.AsTargetError(err)
	if te.Outcome == lockstep.Unknown {
		te.Hint = secretWayOut
	}
	return &te
}

// Test logs in as the client; and a value that brought no new secret is told as
// such, for good. Errors: TargetErrors.
func (c *ClientSecret) Test(ctx context.Context, r *rotators.Request, v lockstep.Value) error {
	if err := c.testClient(ctx, v); err != nil {
		return err
	}
	if v.Equal(r.Current) {
		return nil
	}
	before, err := readRegistered(r.Current)
	if err != nil {
		return nil
	}
	if now, err := readRegistered(v); err == nil && now.id == before.id && now.secret == before.secret && now.token != before.token {
		return permanent(hintUnchanged, "the update brought a registration access token, and the same secret as before")
	}
	return nil
}

// Expires is the server's client_secret_expires_at. Errors: ErrInvalid.
func (*ClientSecret) Expires(v lockstep.Value) (time.Time, error) { return secretExpires(v) }

func secretExpires(v lockstep.Value) (time.Time, error) {
	r, err := readRegistered(v)
	if err != nil {
		return time.Time{}, err
	}
	return r.expires, nil
}

// Account is the client at its server. Errors: ErrInvalid.
func (*ClientSecret) Account(v lockstep.Value) (rotators.Account, error) {
	r, err := readRegistered(v)
	if err != nil {
		return rotators.Account{}, fmt.Errorf("read secret: %w", err)
	}
	address := r.issuer
	if address == "" {
		address = r.at.Token
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return rotators.Account{}, invalid("read secret: the server's address can't be read")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		n = 443
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return rotators.Account{Engine: "oauth2", Host: host, Port: n, User: u.Path + "|" + r.id}, nil
}

// Accounts is the one client. Errors: ErrInvalid.
func (c *ClientSecret) Accounts(v lockstep.Value) ([]rotators.Account, error) {
	a, err := c.Account(v)
	if err != nil {
		return nil, err
	}
	return []rotators.Account{a}, nil
}

// Plan says what a Run would do. Errors: none but the context's.
func (c *ClientSecret) Plan(ctx context.Context, r *rotators.Request) (rotators.Plan, error) {
	now, err := readRegistered(r.Current)
	if err == nil && (now.uri == "" || now.token == "") {
		err = lacking(fieldManageURI + " or " + fieldManageToken)
	}
	if err != nil {
		return problem(rotators.Plan{}, malformed("AWSCURRENT", err)), ctx.Err()
	}
	if unchanged(r, now) {
		return problem(rotators.Plan{}, permanent(hintUnchanged, "the last update did not change the secret")), ctx.Err()
	}
	return c.planClient(ctx, r, "issue: update the client's registration, and keep the new secret and registration access token before anything else")
}
