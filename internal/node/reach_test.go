package node_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryAddress: a server that listens on every address is named by one that
// a client can connect to, and that its certificate is for.
func TestEveryAddress(t *testing.T) {
	cfg := config(t)
	cfg.PlainHTTP, cfg.Listen, cfg.NATSListen = false, "0.0.0.0:0", "0.0.0.0:0"
	n := start(t, cfg)
	if !strings.HasPrefix(n.URL(), "https://127.0.0.1:") || !strings.HasPrefix(n.NATSURL(), "tls://127.0.0.1:") {
		t.Fatalf("at %s and %s", n.URL(), n.NATSURL())
	}
	pem, err := os.ReadFile(filepath.Join(cfg.DataDir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s, %v", resp.Status, err)
	}
}
