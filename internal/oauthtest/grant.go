package oauthtest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/ory/fosite"
)

// Grant is what a client was given by a person.
type Grant struct {
	Access, Refresh string
}

// Authorize stands for the person who allows a client, as NewClient has returned
// it, to act for them: the first access and refresh token.
func (s *Server) Authorize(t testing.TB, client string) Grant {
	t.Helper()
	var named struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(client), &named); err != nil {
		t.Fatal(err)
	}
	known, ok := s.store.find(named.ID)
	if !ok {
		t.Fatalf("authorize: no client %q", named.ID)
	}
	r := fosite.NewAccessRequest(session())
	r.Client = known
	for _, scope := range known.Scopes {
		r.AppendRequestedScope(scope)
		r.GrantScope(scope)
	}
	r.GetSession().SetExpiresAt(fosite.AccessToken, time.Now().Add(s.cfg.AccessLife))
	out, err := s.grant(context.WithoutCancel(t.Context()), r)
	if err != nil {
		t.Fatalf("authorize: %v", err)
	}
	return out
}

func (s *Server) grant(ctx context.Context, r fosite.Requester) (Grant, error) {
	access, accessSignature, err := s.strategy.GenerateAccessToken(ctx, r)
	if err != nil {
		return Grant{}, err
	}
	refresh, refreshSignature, err := s.strategy.GenerateRefreshToken(ctx, r)
	if err != nil {
		return Grant{}, err
	}
	if err := s.store.CreateAccessTokenSession(ctx, accessSignature, r); err != nil {
		return Grant{}, err
	}
	return Grant{access, refresh}, s.store.CreateRefreshTokenSession(ctx, refreshSignature, accessSignature, r)
}
