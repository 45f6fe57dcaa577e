package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"lockstep"
)

// The environment variables that `lockstep env` sets.
const (
	EnvEndpoint = "AWS_ENDPOINT_URL_SECRETS_MANAGER"
	EnvCAFile   = "AWS_CA_BUNDLE"
	EnvNATSURL  = "LOCKSTEP_NATS_URL"
)

const defaultRegion = "us-east-1"

// Config says which server, and who asks. Every zero value has a meaning; see
// the exported Config types that this one is made from.
type Config struct {
	Endpoint    string
	Region      string
	Credentials aws.CredentialsProvider
	CAFile      string
	TLS         *tls.Config
	HTTPClient  *http.Client
	Logger      *slog.Logger
}

// Endpoint is a server as one caller sees it. It is safe for concurrent use.
type Endpoint struct {
	base   *url.URL
	region string
	creds  aws.CredentialsProvider
	tls    *tls.Config
	http   *http.Client
	log    *slog.Logger
	signer *v4.Signer
	// skew is what to add to our clock, in nanoseconds.
	skew atomic.Int64
}

// Open completes the Config from the environment. It makes no request.
// Errors: ErrInvalid (wrapped) if there is no endpoint, it is not usable, or
// the CA file is not readable.
func Open(ctx context.Context, c Config) (*Endpoint, error) {
	base, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{base: base, region: c.Region, creds: c.Credentials, http: c.HTTPClient, log: c.Logger, signer: v4.NewSigner()}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.tls, err = clientTLS(c); err != nil {
		return nil, err
	}
	if err := e.findCredentials(ctx); err != nil {
		return nil, err
	}
	if e.http == nil {
		e.http = newHTTPClient(e.tls)
	}
	return e, nil
}

func parseEndpoint(given string) (*url.URL, error) {
	if given == "" {
		given = os.Getenv(EnvEndpoint)
	}
	if given == "" {
		return nil, fmt.Errorf("no server is named: run eval \"$(lockstep env --data-dir DIR)\" or set %s: %w", EnvEndpoint, lockstep.ErrInvalid)
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("endpoint is not of the form https://host:port: %w", lockstep.ErrInvalid)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("endpoint must be https; plain http is for loopback addresses alone: %w", lockstep.ErrInvalid)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// clientTLS trusts the CA file alone if there is one, as AWS's tools do.
func clientTLS(c Config) (*tls.Config, error) {
	if c.TLS != nil {
		return c.TLS.Clone(), nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	path := c.CAFile
	if path == "" {
		path = os.Getenv(EnvCAFile)
	}
	if path == "" {
		return out, nil
	}
	pem, err := os.ReadFile(path) // #nosec G304 G703 -- the user names the CA file
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w: %w", err, lockstep.ErrInvalid)
	}
	out.RootCAs = x509.NewCertPool()
	if !out.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no PEM certificate: %w", path, lockstep.ErrInvalid)
	}
	return out, nil
}

// findCredentials asks the SDK's chain for what the Config does not say. The
// chain itself makes no request here; only signing retrieves credentials.
func (e *Endpoint) findCredentials(ctx context.Context) error {
	if e.creds == nil || e.region == "" {
		found, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return fmt.Errorf("read AWS configuration: %w", err)
		}
		if e.creds == nil {
			e.creds = found.Credentials
		}
		if e.region == "" {
			e.region = found.Region
		}
	}
	if e.region == "" {
		e.region = defaultRegion
	}
	return nil
}

// The bounds of one connection. The whole attempt is bounded by its deadline.
const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	idleTimeout      = 90 * time.Second
	idlePerHost      = 8
)

func newHTTPClient(t *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: t.Clone(),
			TLSHandshakeTimeout: handshakeTimeout, IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: idlePerHost,
			ForceAttemptHTTP2: true,
		},
		// A signature holds for one address; a redirect is an error.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Region is the one that requests are signed for.
func (e *Endpoint) Region() string { return e.region }

// Log is where the client tells of trouble that it overcomes by itself.
func (e *Endpoint) Log() *slog.Logger { return e.log }

// TLS returns the settings for connections to this server.
func (e *Endpoint) TLS() *tls.Config { return e.tls.Clone() }

// Now is our clock, corrected by the server's.
func (e *Endpoint) Now() time.Time { return time.Now().Add(time.Duration(e.skew.Load())) }

// Credentials retrieves the caller's credentials. Errors: the provider's.
func (e *Endpoint) Credentials(ctx context.Context) (aws.Credentials, error) {
	c, err := e.creds.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("get credentials: %w", err)
	}
	return c, nil
}

// CloseIdle closes connections that no request uses.
func (e *Endpoint) CloseIdle() { e.http.CloseIdleConnections() }
