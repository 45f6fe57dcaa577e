package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"lockstep"
)

const (
	calloutSubject = "$SYS.REQ.USER.AUTH"
	calloutQueue   = "lockstep-callout"
	// serverKeyHeader carries the server's half of the encryption.
	serverKeyHeader = "Nats-Server-Xkey"
	// authTimeout bounds one authorization; the server gives up a second later.
	authTimeout = 4 * time.Second
	// maxCallouts bounds those that are worked on at once; others wait.
	maxCallouts = 64
	// maxSubscriptions bounds what one application's connection may open.
	maxSubscriptions = 1000
)

// calloutKeys sign (issuer) and encrypt (xkey) the answers.
type calloutKeys struct {
	issuer, xkey             nkeys.KeyPair
	issuerPublic, xkeyPublic string
}

// newCalloutKeys draws keys that live as long as the embedded server.
func newCalloutKeys() (calloutKeys, error) {
	issuer, err1 := nkeys.CreateAccount()
	xkey, err2 := nkeys.CreateCurveKeys()
	if err := errors.Join(err1, err2); err != nil {
		return calloutKeys{}, fmt.Errorf("draw authorization keys: %w", err)
	}
	return pairKeys(issuer, xkey)
}

// readCalloutKeys reads the seeds of an external cluster's callout.
// Errors: ErrInvalid; the seeds are not repeated in it.
func readCalloutKeys(issuerSeed, xkeySeed string) (calloutKeys, error) {
	issuer, err1 := nkeys.FromSeed([]byte(issuerSeed))
	xkey, err2 := nkeys.FromCurveSeed([]byte(xkeySeed))
	if errors.Join(err1, err2) != nil {
		return calloutKeys{}, fmt.Errorf("the callout's issuer or xkey seed is not an nkeys seed: %w", lockstep.ErrInvalid)
	}
	return pairKeys(issuer, xkey)
}

func pairKeys(issuer, xkey nkeys.KeyPair) (calloutKeys, error) {
	ip, err1 := issuer.PublicKey()
	xp, err2 := xkey.PublicKey()
	if err := errors.Join(err1, err2); err != nil || !nkeys.IsValidPublicAccountKey(ip) {
		return calloutKeys{}, fmt.Errorf("the callout's issuer is not an account key: %w", lockstep.ErrInvalid)
	}
	return calloutKeys{issuer: issuer, xkey: xkey, issuerPublic: ip, xkeyPublic: xp}, nil
}

// calloutService answers the server's question "may this connection in?".
type calloutService struct {
	auth    Authorizer
	log     *slog.Logger
	nc      *nats.Conn
	keys    calloutKeys
	account string
	slots   chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// answerCallouts takes the connection over.
func answerCallouts(b *Bus, nc *nats.Conn, keys calloutKeys, account string) (*calloutService, error) {
	s := &calloutService{auth: b.cfg.Authorizer, log: b.log, nc: nc, keys: keys, account: account, slots: make(chan struct{}, maxCallouts)}
	s.ctx, s.cancel = context.WithCancel(b.life)
	if _, err := nc.QueueSubscribe(calloutSubject, calloutQueue, s.receive); err != nil {
		s.stop()
		return nil, fmt.Errorf("listen for authorization requests: %w", err)
	}
	return s, nil
}

// stop refuses what comes from now on, and waits for what is under way.
func (s *calloutService) stop() {
	s.cancel()
	s.nc.Close()
	s.wg.Wait()
}

func (s *calloutService) receive(m *nats.Msg) {
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return
	}
	s.wg.Go(func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(s.ctx, authTimeout)
		defer cancel()
		if err := s.answer(ctx, m); err != nil {
			// Not answered: the server refuses the connection by its timeout.
			s.log.Warn("authorization request not answered", "error", err)
		}
	})
}

// answer reads one request, asks the Authorizer, and replies with a user JWT
// or a refusal.
func (s *calloutService) answer(ctx context.Context, m *nats.Msg) error {
	serverKey := m.Header.Get(serverKeyHeader)
	if serverKey == "" {
		return fmt.Errorf("request is not encrypted: %w", lockstep.ErrDenied)
	}
	clear, err := s.keys.xkey.Open(m.Data, serverKey)
	if err != nil {
		return fmt.Errorf("decrypt request: %w", err)
	}
	req, err := jwt.DecodeAuthorizationRequestClaims(string(clear))
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if req.Issuer != req.Server.ID || req.Server.XKey != serverKey {
		return fmt.Errorf("request was not made by the server that it names: %w", lockstep.ErrDenied)
	}
	resp := jwt.NewAuthorizationResponseClaims(req.UserNkey)
	resp.Audience = req.Server.ID
	resp.Jwt, err = s.admit(ctx, req)
	if err != nil {
		s.log.Info("application refused", "host", req.ClientInformation.Host, "error", err)
		resp.Error = "access denied"
	}
	token, err := resp.Encode(s.keys.issuer)
	if err != nil {
		return fmt.Errorf("sign answer: %w", err)
	}
	sealed, err := s.keys.xkey.Seal([]byte(token), serverKey)
	if err != nil {
		return fmt.Errorf("encrypt answer: %w", err)
	}
	return m.Respond(sealed)
}

// admit makes the user JWT of a connection that may in.
func (s *calloutService) admit(ctx context.Context, req *jwt.AuthorizationRequestClaims) (string, error) {
	if req.ConnectOptions.Token == "" {
		return "", fmt.Errorf("no login token: %w", lockstep.ErrDenied)
	}
	g, err := s.auth.Authorize(ctx, req.ConnectOptions.Token)
	if err != nil {
		return "", err
	}
	if err := g.check(time.Now()); err != nil {
		return "", err
	}
	uc := jwt.NewUserClaims(req.UserNkey)
	uc.Name, uc.Audience, uc.Expires = g.User, s.account, g.Expires.Unix()
	uc.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard)
	uc.Permissions = permissions(g, clientID(req.ConnectOptions.Name))
	uc.Limits.Subs = maxSubscriptions
	token, err := uc.Encode(s.keys.issuer)
	if err != nil {
		return "", fmt.Errorf("sign user: %w", err)
	}
	return token, nil
}
