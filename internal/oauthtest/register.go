package oauthtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ory/fosite"
)

// registration is one client.
type registration struct {
	id, secret, old, token string
	// fields are its metadata, as they were sent.
	fields map[string]json.RawMessage
}

type registrations struct {
	mu      sync.Mutex
	clients map[string]*registration
}

// find is a client as fosite knows it.
func (g *registrations) find(id string) (*fosite.DefaultClient, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.clients[id]
	if !ok {
		return nil, false
	}
	out := &fosite.DefaultClient{
		ID: c.id, Secret: hashed(c.secret), GrantTypes: c.list("grant_types"),
		Scopes: strings.Fields(c.text("scope")), ResponseTypes: []string{"token"},
	}
	if c.old != "" {
		out.RotatedSecrets = [][]byte{hashed(c.old)}
	}
	return out, true
}

func hashed(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func (c *registration) list(name string) []string {
	var out []string
	_ = json.Unmarshal(c.fields[name], &out)
	return out
}

func (c *registration) text(name string) string {
	var out string
	_ = json.Unmarshal(c.fields[name], &out)
	return out
}

// information is what the server answers about a client (RFC 7591 section 3.2.1).
func (s *Server) information(c *registration) []byte {
	out := maps.Clone(c.fields)
	for name, text := range map[string]string{
		"client_id": c.id, "client_secret": c.secret,
		"registration_access_token": c.token, "registration_client_uri": s.Issuer() + "/register/" + c.id,
	} {
		out[name], _ = json.Marshal(text)
	}
	out["client_secret_expires_at"] = json.RawMessage("0")
	raw, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return raw
}

// managed are the fields that are the server's, and that a client may not set.
var managed = []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}

// sent reads a client's metadata.
func sent(r *http.Request) (map[string]json.RawMessage, bool) {
	raw, err := io.ReadAll(r.Body)
	var fields map[string]json.RawMessage
	if err != nil || json.Unmarshal(raw, &fields) != nil {
		return nil, false
	}
	for _, name := range managed {
		if _, there := fields[name]; there {
			return nil, false
		}
	}
	return fields, true
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":"`+code+`","error_description":"refused by the test's server"}`)
}

func tell(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	if s.cfg.InitialToken != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.InitialToken {
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	fields, ok := sent(r)
	if !ok {
		refuse(w, http.StatusBadRequest, "invalid_client_metadata")
		return
	}
	c := &registration{id: "client-" + rand.Text(), secret: rand.Text(), token: rand.Text(), fields: fields}
	s.store.registrations.mu.Lock()
	defer s.store.registrations.mu.Unlock()
	s.store.clients[c.id] = c
	tell(w, http.StatusCreated, s.information(c))
}

// own finds the client whose registration access token the request has. The
// registrations are locked by the caller.
func (s *Server) own(r *http.Request) *registration {
	c := s.store.clients[r.PathValue("id")]
	if c == nil || r.Header.Get("Authorization") != "Bearer "+c.token {
		return nil
	}
	return c
}

func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	s.store.registrations.mu.Lock()
	defer s.store.registrations.mu.Unlock()
	c := s.own(r)
	if c == nil {
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	fields, ok := sent(r)
	n := registration{fields: fields}
	if !ok || n.text("client_id") != c.id || (n.text("client_secret") != "" && n.text("client_secret") != c.secret) {
		refuse(w, http.StatusBadRequest, "invalid_client_metadata")
		return
	}
	delete(fields, "client_id")
	delete(fields, "client_secret")
	c.fields, c.token = fields, rand.Text()
	if !s.cfg.KeepsSecret {
		c.old, c.secret = c.secret, rand.Text()
	}
	if s.cfg.EndsSecret {
		c.old = ""
	}
	tell(w, http.StatusOK, s.information(c))
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	s.store.registrations.mu.Lock()
	defer s.store.registrations.mu.Unlock()
	c := s.own(r)
	if c == nil {
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	delete(s.store.clients, c.id)
	w.WriteHeader(http.StatusNoContent)
}

// metadata answers as RFC 8414 says.
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	out := map[string]string{
		"issuer": s.Issuer(), "token_endpoint": s.Issuer() + "/token", "registration_endpoint": s.Issuer() + "/register",
	}
	if !s.cfg.NoIntrospection {
		out["introspection_endpoint"] = s.Issuer() + "/introspect"
	}
	if !s.cfg.NoRevocation {
		out["revocation_endpoint"] = s.Issuer() + "/revoke"
	}
	raw, err := json.Marshal(out)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	tell(w, http.StatusOK, raw)
}

// NewClient registers a client that may use all grants; what the server answered
// to it is returned, as JSON.
func (s *Server) NewClient(t testing.TB) string {
	t.Helper()
	c := &registration{id: "client-" + rand.Text(), secret: rand.Text(), token: rand.Text(), fields: map[string]json.RawMessage{
		"client_name": []byte(`"orders"`), "scope": []byte(`"orders offline"`),
		"grant_types": []byte(`["client_credentials","refresh_token"]`),
	}}
	s.store.registrations.mu.Lock()
	defer s.store.registrations.mu.Unlock()
	s.store.clients[c.id] = c
	return string(s.information(c))
}

// Knows tells whether a client with this secret is let in.
func (s *Server) Knows(id, secret string) bool {
	s.store.registrations.mu.Lock()
	defer s.store.registrations.mu.Unlock()
	c := s.store.clients[id]
	return c != nil && (c.secret == secret || (c.old != "" && c.old == secret))
}

// Clients lists the names of all clients, in order.
func (s *Server) Clients() []string {
	s.store.registrations.mu.Lock()
	defer s.store.registrations.mu.Unlock()
	var out []string
	for _, c := range s.store.clients {
		out = append(out, c.text("client_name"))
	}
	slices.Sort(out)
	return out
}
