// Package tokentest is a provider of tokens for tests: a real HTTP server on
// loopback that issues tokens, keeps them in memory under the names it is given,
// lists them page by page, revokes them, and says whether one works. [Rotator] is
// the rotator for it, written as one for a real provider would be.
//
// A [Server] may be told to break calls where a network breaks them: before they
// have an effect, or after it and before the answer.
package tokentest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Call is a kind of call to the server.
type Call string

// The calls.
const (
	CallIssue  Call = "issue"
	CallList   Call = "list"
	CallRevoke Call = "revoke"
	CallTest   Call = "test"
)

// Cut is where a call breaks.
type Cut int

const (
	// CutBefore: the server never sees the call.
	CutBefore Cut = iota
	// CutAfter: the call has its effect, and the answer is lost.
	CutAfter
	// Refuse: the server answers 403.
	Refuse
	// Garble: the call has its effect, and the answer is no JSON.
	Garble
)

// pageSize is small, so that lists have pages.
const pageSize = 2

// Token is one that the server accepts.
type Token struct {
	ID, Name, Secret string
	// Expires is zero for one that does not.
	Expires time.Time
}

// Options is how a Server behaves.
type Options struct {
	// One: issuing a token kills all others of its owner.
	One bool
	// Life is how long a token works; zero: for ever.
	Life time.Duration
	// Address to listen on; empty: a free port.
	Address string
}

// Server is the provider. It has one owner, whose tokens may issue, list and
// revoke tokens.
type Server struct {
	options Options
	address string
	server  *http.Server
	mu      sync.Mutex
	tokens  []Token
	issued  int
	cuts    map[Call][]Cut
	calls   map[Call]int
	gate    func(ctx context.Context)
}

// Start starts a Server; it stops with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", o.Address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{options: o, address: l.Addr().String(), cuts: make(map[Call][]Cut), calls: make(map[Call]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tokens", s.serve(CallIssue, s.issue))
	mux.HandleFunc("GET /tokens", s.serve(CallList, s.list))
	mux.HandleFunc("DELETE /tokens/{id}", s.serve(CallRevoke, s.revoke))
	mux.HandleFunc("GET /me", s.serve(CallTest, func(*http.Request) (int, any) { return http.StatusOK, struct{}{} }))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.server.Serve(l) }()
	t.Cleanup(func() { _ = s.server.Close(); <-done })
	return s
}

// Address is where it listens, URL the same for a value.
func (s *Server) Address() string { return s.address }

// URL is the base of its addresses.
func (s *Server) URL() string { return "http://" + s.address }

// First makes a token by hand, as a person does to begin with.
func (s *Server) First(name string) Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(name)
}

// Break makes the next calls of a kind break, one way each, in order.
func (s *Server) Break(c Call, cuts ...Cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts[c] = append(s.cuts[c], cuts...)
}

// Hold has the next issue wait in gate after it has taken effect, before it is
// answered.
func (s *Server) Hold(gate func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

// Tokens are those that it accepts now.
func (s *Server) Tokens() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.tokens), expired)
}

// Accepts tells whether a token works, asked beside the network.
func (s *Server) Accepts(secret string) bool {
	return slices.ContainsFunc(s.Tokens(), func(t Token) bool { return t.Secret == secret })
}

// Calls is how many calls of a kind came in, broken ones too; Issued is how many
// tokens the network asked for and got.
func (s *Server) Calls(c Call) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[c]
}

// Issued is how many tokens were made by calls.
func (s *Server) Issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

// Kill makes the server forget a token by its secret, as somebody at the provider
// may.
func (s *Server) Kill(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = slices.DeleteFunc(s.tokens, func(t Token) bool { return t.Secret == secret })
}

func expired(t Token) bool { return !t.Expires.IsZero() && time.Now().After(t.Expires) }

func (s *Server) add(name string) Token {
	t := Token{ID: strings.ToLower(rand.Text()[:10]), Name: name, Secret: "tok-" + rand.Text()}
	if s.options.Life > 0 {
		t.Expires = time.Now().Add(s.options.Life).Truncate(time.Second)
	}
	s.tokens = append(s.tokens, t)
	return t
}

// serve answers one kind of call, or breaks it.
func (s *Server) serve(c Call, do func(*http.Request) (int, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cut := Cut(-1)
		s.mu.Lock()
		s.calls[c]++
		if queue := s.cuts[c]; len(queue) > 0 {
			cut, s.cuts[c] = queue[0], queue[1:]
		}
		s.mu.Unlock()
		if cut == CutBefore {
			panic(http.ErrAbortHandler)
		}
		status, body := http.StatusForbidden, any(map[string]string{"error": "not allowed"})
		secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case cut == Refuse:
		case !s.Accepts(secret):
			status, body = http.StatusUnauthorized, map[string]string{"error": "unknown token"}
		default:
			status, body = do(r)
		}
		if cut == CutAfter {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if cut == Garble {
			_, _ = w.Write([]byte("<html>"))
			return
		}
		if body != nil {
			_ = json.NewEncoder(w).Encode(body)
		}
	}
}

// issueAnswer is what a token's owner gets, once.
type issueAnswer struct {
	ID      string `json:"id"`
	Token   string `json:"token"`
	Expires int64  `json:"expires,omitempty"`
}

func (s *Server) issue(r *http.Request) (int, any) {
	var in struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&in); err != nil || in.Name == "" {
		return http.StatusBadRequest, map[string]string{"error": "a name is needed"}
	}
	s.mu.Lock()
	if s.options.One {
		s.tokens = nil
	}
	t := s.add(in.Name)
	s.issued++
	gate := s.gate
	s.gate = nil
	s.mu.Unlock()
	if gate != nil {
		gate(r.Context())
	}
	out := issueAnswer{ID: t.ID, Token: t.Secret}
	if !t.Expires.IsZero() {
		out.Expires = t.Expires.Unix()
	}
	return http.StatusCreated, out
}

// listed is one token in a list.
type listed struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// page is one page of a list; Next is zero on the last.
type page struct {
	Tokens []listed `json:"tokens"`
	Next   int      `json:"next,omitempty"`
}

func (s *Server) list(r *http.Request) (int, any) {
	from, _ := strconv.Atoi(r.URL.Query().Get("from"))
	all := s.Tokens()
	var out page
	for i := max(from, 0); i < len(all) && len(out.Tokens) < pageSize; i++ {
		out.Tokens = append(out.Tokens, listed{ID: all[i].ID, Name: all[i].Name})
		if i+1 < len(all) {
			out.Next = i + 1
		} else {
			out.Next = 0
		}
	}
	return http.StatusOK, out
}

func (s *Server) revoke(r *http.Request) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.tokens)
	s.tokens = slices.DeleteFunc(s.tokens, func(t Token) bool { return t.ID == r.PathValue("id") })
	if len(s.tokens) == before {
		return http.StatusNotFound, map[string]string{"error": "no such token"}
	}
	return http.StatusNoContent, nil
}
