package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/servertest"
)

// balancer sends requests to the API nodes that say they are ready, in turn,
// as any load balancer does. It repeats nothing.
type balancer struct {
	url   string
	next  atomic.Uint64
	nodes []*backend
}

type backend struct {
	node  *servertest.Server
	proxy *httputil.ReverseProxy
	ready atomic.Bool
}

// probeEvery is how often a node is asked; its drain delay is longer.
const probeEvery = 100 * time.Millisecond

func newBalancer(t *testing.T, nodes []*servertest.Server) *balancer {
	t.Helper()
	pem, err := os.ReadFile(nodes[0].CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 32}
	b := &balancer{}
	for _, n := range nodes {
		target, err := url.Parse(n.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		back := &backend{node: n, proxy: &httputil.ReverseProxy{
			Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host // it is signed
			},
		}}
		back.ready.Store(true)
		b.nodes = append(b.nodes, back)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); back.probe(ctx, transport) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	front := httptest.NewServer(b)
	t.Cleanup(func() { front.Close(); transport.CloseIdleConnections() })
	b.url = front.URL
	return b
}

// ServeHTTP is http.Handler's.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	turn := b.next.Add(1) // of this request alone: others take theirs meanwhile
	for i := range uint64(len(b.nodes)) {
		if n := b.nodes[(turn+i)%uint64(len(b.nodes))]; n.ready.Load() {
			n.proxy.ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "no node is ready", http.StatusServiceUnavailable)
}

// whole tells whether every node is in use.
func (b *balancer) whole() bool {
	return !slices.ContainsFunc(b.nodes, func(n *backend) bool { return !n.ready.Load() })
}

// probe asks for readiness over connections of its own, each time a new one.
func (b *backend) probe(ctx context.Context, like *http.Transport) {
	transport := like.Clone()
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.node.Endpoint+"/readyz", nil)
		if err != nil {
			return
		}
		answer, err := client.Do(req)
		if err == nil {
			_ = answer.Body.Close()
		}
		b.ready.Store(err == nil && answer.StatusCode == http.StatusOK)
	}
}
