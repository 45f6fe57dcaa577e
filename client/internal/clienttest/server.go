// Package clienttest gives the tests of the client packages a real server: one
// whole node with SQLite and NATS embedded, on free ports, with TLS.
package clienttest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/auth"
	"lockstep/client"
	"lockstep/internal/node"
)

// Region is the server's.
const Region = "us-east-1"

// Server is a running node.
type Server struct {
	Dir string
	// API is AWS's own client of it.
	API *secretsmanager.Client

	cfg  node.Config
	node *node.Node
	key  auth.Credentials
}

// Start starts a server; it ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	// Trouble of the server belongs to the test's output only if it fails.
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := &Server{Dir: t.TempDir()}
	s.cfg = node.Config{
		DataDir: s.Dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0",
		MinInterval: 100 * time.Millisecond, Version: "test", Logger: log,
	}
	s.Resume(t)
	t.Cleanup(s.Stop)
	// A restart uses the same addresses.
	s.cfg.Listen = strings.TrimPrefix(s.node.URL(), "https://")
	s.cfg.NATSListen = strings.TrimPrefix(s.node.NATSURL(), "tls://")
	var err error
	if s.key, err = auth.ReadCredentials(filepath.Join(s.Dir, "credentials")); err != nil {
		t.Fatal(err)
	}
	s.API = secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: aws.String(s.URL()), Region: Region, Credentials: s.Credentials(),
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: s.TLS(t)}},
	})
	return s
}

// Stop ends the node; its data stays. It may be called again.
func (s *Server) Stop() {
	if s.node != nil {
		s.node.Stop()
		s.node = nil
	}
}

// Resume starts the node again.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	n, err := node.Start(context.WithoutCancel(t.Context()), s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.node = n
}

// Wipe removes the JetStream directory of a stopped node.
func (s *Server) Wipe(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.Dir, "jetstream")); err != nil {
		t.Fatal(err)
	}
}

// URL is the server's address.
func (s *Server) URL() string { return "https://" + s.cfg.Listen }

// Credentials are the root user's.
func (s *Server) Credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(s.key.AccessKeyID, s.key.SecretKey.Reveal(), "")
}

// CAFile is what clients trust.
func (s *Server) CAFile() string { return filepath.Join(s.Dir, "ca.pem") }

// TLS trusts the server.
func (s *Server) TLS(t testing.TB) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// Config is a client's.
func (s *Server) Config() client.Config {
	return client.Config{Endpoint: s.URL(), Region: Region, Credentials: s.Credentials(), CAFile: s.CAFile()}
}

// Client makes a client; it is closed with the test.
func (s *Server) Client(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.New(t.Context(), s.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Create makes a secret and returns its ARN.
func (s *Server) Create(t testing.TB, name, value string) string {
	t.Helper()
	out, err := s.API.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ARN
}

// Put makes a new current version and returns its id.
func (s *Server) Put(t testing.TB, name, value string) string {
	t.Helper()
	out, err := s.API.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value})
	if err != nil {
		t.Fatal(err)
	}
	return *out.VersionId
}
