// Package oauthtest gives tests a real authorization server: ory/fosite, in the
// test's own process, over TLS on a free port of loopback. What fosite has no part
// for stands here, on its store of clients: the metadata (RFC 8414), and the
// registration of clients and its management (RFC 7591, 7592), where each update
// gives another registration access token, and another secret unless told not to.
//
// A test looks at the server from behind (Active, Knows, Clients), not through the
// endpoints that a rotator uses.
package oauthtest

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/hmac"
)

// Config says how the server behaves. The zero Config refreshes as RFC 9700 asks
// (each refresh token works once, a second use revokes the family), leaves access
// tokens alone until they expire, and has every endpoint.
type Config struct {
	// EndsAccess makes a refresh end the access token before it.
	EndsAccess bool
	// KeepsSecret makes an update of a registration keep the client's secret.
	KeepsSecret bool
	// EndsSecret makes the secret before an update invalid at once; else it works
	// until the next update.
	EndsSecret bool
	// NoIntrospection and NoRevocation leave these endpoints out.
	NoIntrospection, NoRevocation bool
	// AccessLife is how long an access token lives; zero means an hour.
	AccessLife time.Duration
	// InitialToken is asked of whoever registers a client; empty: nothing is.
	InitialToken string
}

// Server is a running authorization server.
type Server struct {
	cfg      Config
	provider *fosite.Fosite
	settings *fosite.Config
	store    *memory
	strategy *oauth2.HMACSHAStrategy
	http     *httptest.Server
	away     atomic.Bool

	mu     sync.Mutex
	calls  map[string]int
	answer func(path string)
}

// Start starts a server that ends with the test.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.AccessLife == 0 {
		cfg.AccessLife = time.Hour
	}
	s := &Server{cfg: cfg, store: newMemory(!cfg.EndsAccess), calls: map[string]int{}}
	s.settings = &fosite.Config{
		GlobalSecret: bytes.Repeat([]byte("k"), 32), AccessTokenLifespan: cfg.AccessLife,
		RefreshTokenScopes: []string{}, ClientSecretsHasher: plainly{},
	}
	s.assemble()
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = nil
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = s.http.Listener.Close()
	s.http.Listener = gate{listener, &s.away}
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
	s.settings.TokenURL = s.Issuer() + "/token"
	return s
}

// assemble gives fosite the grants that there are.
func (s *Server) assemble() {
	s.strategy = oauth2.NewHMACSHAStrategy(&hmac.HMACStrategy{Config: s.settings}, s.settings)
	access := &oauth2.HandleHelper{AccessTokenStrategy: s.strategy, AccessTokenStorage: s.store, Config: s.settings}
	s.settings.TokenEndpointHandlers = fosite.TokenEndpointHandlers{
		&oauth2.ClientCredentialsGrantHandler{HandleHelper: access, Config: s.settings},
		&oauth2.RefreshTokenGrantHandler{
			AccessTokenStrategy: s.strategy, RefreshTokenStrategy: s.strategy, TokenRevocationStorage: s.store, Config: s.settings,
		},
	}
	s.settings.RevocationHandlers = fosite.RevocationHandlers{&oauth2.TokenRevocationHandler{
		TokenRevocationStorage: s.store, AccessTokenStrategy: s.strategy, RefreshTokenStrategy: s.strategy,
	}}
	s.settings.TokenIntrospectionHandlers = fosite.TokenIntrospectionHandlers{&oauth2.CoreValidator{
		CoreStrategy: s.strategy, CoreStorage: s.store, Config: s.settings,
	}}
	s.provider = &fosite.Fosite{Store: s.store, Config: s.settings}
}

// Issuer is the server's name and address.
func (s *Server) Issuer() string { return "https://" + s.Address() }

// Address is host and port.
func (s *Server) Address() string { return s.http.Listener.Addr().String() }

// Roots holds the authority that the server's certificate is of.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.http.Certificate())
	return pool
}

// RootsPEM is the same for another process.
func (s *Server) RootsPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Away makes the server end each connection at once; Back ends that.
func (s *Server) Away(testing.TB) { s.away.Store(true) }

// Back is the end of Away.
func (s *Server) Back(testing.TB) { s.away.Store(false) }

// gate is a listener that can be shut.
type gate struct {
	net.Listener
	shut *atomic.Bool
}

// Accept is net.Listener's.
func (g gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil || !g.shut.Load() {
			return c, err
		}
		_ = c.Close()
	}
}

// BeforeAnswer calls fn when a request was carried out and before its answer is
// sent, with the request's path; nil for nothing.
func (s *Server) BeforeAnswer(fn func(path string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = fn
}

// Calls is how many requests there were for a path, such as "/token".
func (s *Server) Calls(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls[r.URL.Path]++
	before := s.answer
	s.mu.Unlock()
	held := httptest.NewRecorder()
	s.mux().ServeHTTP(held, r)
	if before != nil {
		before(r.URL.Path)
	}
	for name, values := range held.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(held.Code)
	_, _ = w.Write(held.Body.Bytes())
}

func (s *Server) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata)
	m.HandleFunc("POST /token", s.token)
	m.HandleFunc("POST /introspect", s.introspect)
	m.HandleFunc("POST /revoke", s.revoke)
	m.HandleFunc("POST /register", s.register)
	m.HandleFunc("PUT /register/{id}", s.update)
	m.HandleFunc("DELETE /register/{id}", s.remove)
	return m
}

// session is what a token is about.
func session() fosite.Session { return &fosite.DefaultSession{} }

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	req, err := s.provider.NewAccessRequest(ctx, r, session())
	if err != nil {
		s.provider.WriteAccessError(ctx, w, req, err)
		return
	}
	for _, scope := range req.GetRequestedScopes() {
		req.GrantScope(scope)
	}
	resp, err := s.provider.NewAccessResponse(ctx, req)
	if err != nil {
		s.provider.WriteAccessError(ctx, w, req, err)
		return
	}
	s.provider.WriteAccessResponse(ctx, w, req, resp)
}

func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	if s.cfg.NoIntrospection {
		http.NotFound(w, r)
		return
	}
	ctx := r.Context()
	resp, err := s.provider.NewIntrospectionRequest(ctx, r, session())
	if err != nil {
		s.provider.WriteIntrospectionError(ctx, w, err)
		return
	}
	s.provider.WriteIntrospectionResponse(ctx, w, resp)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	if s.cfg.NoRevocation {
		http.NotFound(w, r)
		return
	}
	s.provider.WriteRevocationResponse(r.Context(), w, s.provider.NewRevocationRequest(r.Context(), r))
}

// Working counts the access and the refresh tokens of a client that still work.
func (s *Server) Working(t testing.TB, client string) (access, refresh int) {
	t.Helper()
	return s.store.working(context.WithoutCancel(t.Context()), client)
}

// Active tells whether an access token works.
func (s *Server) Active(t testing.TB, access string) bool {
	t.Helper()
	_, _, err := s.provider.IntrospectToken(context.WithoutCancel(t.Context()), access, fosite.AccessToken, session())
	return err == nil
}

// ActiveRefresh tells whether a refresh token can still be spent.
func (s *Server) ActiveRefresh(t testing.TB, refresh string) bool {
	t.Helper()
	_, _, err := s.provider.IntrospectToken(context.WithoutCancel(t.Context()), refresh, fosite.RefreshToken, session())
	return err == nil
}
