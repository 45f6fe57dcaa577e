package oauthtest

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Grant is what a client was given by a person.
type Grant struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// Authorize lets a person allow a client, as NewClient has returned it, to act for
// them: the first refresh token.
func (s *Server) Authorize(t testing.TB, client string) Grant {
	t.Helper()
	var c struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(client), &c); err != nil {
		t.Fatal(err)
	}
	form := url.Values{
		"grant_type": {"password"}, "username": {user}, "password": {userPassword}, "scope": {"orders offline"},
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Issuer()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out Grant
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Refresh == "" {
		t.Fatalf("authorize: %s, %v", resp.Status, err)
	}
	return out
}
