// Package providertest holds small servers that issue credentials as known
// providers do: the requests, statuses and shapes of their documents, as far as
// recipes use them, and nothing else. What each has issued is a [Keyring], which
// a test can look at without asking over HTTP.
//
// They listen on loopback, can be away and come back at the same address, and
// keep a log of what they were asked, as an access log would.
package providertest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Key is one credential that a provider has issued.
type Key struct {
	ID, Name, Value string
	// Day is when it was made.
	Day     time.Time
	revoked bool
	// lag is how many more times it is refused before it is known everywhere.
	lag int
}

// Keyring is what a provider has issued. It is safe for concurrent use.
type Keyring struct {
	mu   sync.Mutex
	keys []*Key
	lag  int
	most int
	log  strings.Builder
}

// Issue makes a credential with a value that begins with prefix. It returns nil
// if there are as many as may be.
func (k *Keyring) Issue(prefix, name string) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.most > 0 && len(k.valid()) >= k.most {
		return nil
	}
	key := &Key{ID: strconv.Itoa(100 + len(k.keys)), Name: name, Value: prefix + rand.Text(), Day: time.Now(), lag: k.lag}
	k.keys = append(k.keys, key)
	return key
}

// Lag has each new credential refused so many times before it is known.
func (k *Keyring) Lag(times int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lag = times
}

// AtMost bounds how many credentials may be valid at once; 0: no bound.
func (k *Keyring) AtMost(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.most = n
}

// Valid tells whether a value is accepted.
func (k *Keyring) Valid(value string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.valid() {
		if key.Value == value {
			return true
		}
	}
	return false
}

// use is Valid as a login sees it: a new value may not be known yet.
func (k *Keyring) use(value string) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.valid() {
		if key.Value != value {
			continue
		}
		if key.lag > 0 {
			key.lag--
			return nil
		}
		return key
	}
	return nil
}

// Keys lists those that are valid, the oldest first.
func (k *Keyring) Keys() []Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Key
	for _, key := range k.valid() {
		out = append(out, *key)
	}
	return out
}

func (k *Keyring) valid() []*Key {
	var out []*Key
	for _, key := range k.keys {
		if !key.revoked {
			out = append(out, key)
		}
	}
	return out
}

// Revoke ends the credential with an id; false if there is none.
func (k *Keyring) Revoke(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.valid() {
		if key.ID == id {
			key.revoked = true
			return true
		}
	}
	return false
}

// page cuts one page out of the valid credentials.
func (k *Keyring) page(first, number, size int) []Key {
	all := k.Keys()
	from := min(max(number-first, 0)*size, len(all))
	return all[from:min(from+size, len(all))]
}

// Log is what was asked: method and URL of each request.
func (k *Keyring) Log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.String()
}

func (k *Keyring) note(r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fmt.Fprintf(&k.log, "%s %s\n", r.Method, r.URL)
}

// Provider is one kind of server.
type Provider struct {
	// Prefix begins the values that it issues.
	Prefix string
	// serve registers what it answers.
	serve func(mux *http.ServeMux, k *Keyring)
}

// Server is a provider that listens.
type Server struct {
	*Keyring
	Address string
	handler http.Handler
	http    *http.Server
	done    chan struct{}
}

// Start starts a provider on a free port of loopback, until the test ends.
func Start(t testing.TB, p Provider) *Server {
	t.Helper()
	k := &Keyring{}
	mux := http.NewServeMux()
	p.serve(mux, k)
	s := &Server{Keyring: k, Address: "127.0.0.1:0", handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.note(r)
		mux.ServeHTTP(w, r)
	})}
	s.Back(t)
	t.Cleanup(func() { s.Away(t) })
	return s
}

// URL is where the server is.
func (s *Server) URL() string { return "http://" + s.Address }

// Back starts to listen, at the address of before.
func (s *Server) Back(t testing.TB) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	s.http, s.done = &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	go func(h *http.Server, done chan struct{}) {
		defer close(done)
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	}(s.http, s.done)
}

// Away stops to listen and closes all connections.
func (s *Server) Away(t testing.TB) {
	t.Helper()
	if err := s.http.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	<-s.done
}

// bearer is the token of an Authorization header; empty if there is none.
func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// body reads the JSON of a request into v; false after it has answered 400.
func body(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "bad body", http.StatusBadRequest)
		return false
	}
	return true
}

// answer writes JSON.
func answer(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, format, args...)
}

// number reads a number of the query.
func number(r *http.Request, name string) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return -1
	}
	return n
}

// list writes items of JSON with commas between.
func list(keys []Key, item func(Key) string) string {
	var items []string
	for _, k := range keys {
		items = append(items, item(k))
	}
	return "[" + strings.Join(items, ",") + "]"
}
