package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// serverLife is short: the certificates cost nothing and live in memory.
	serverLife = 30 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced.
	renewBefore = 10 * 24 * time.Hour
)

// ServerConfig returns a TLS configuration that serves a certificate for the
// given host names and IP addresses; localhost, 127.0.0.1 and ::1 are always
// among them. The certificate is made at the first handshake, lives 30 days,
// and is replaced ten days before its end, without a restart. TLS 1.2 is the
// least version; a caller that wants 1.3 sets MinVersion on the result.
func (ca *CA) ServerConfig(hosts []string) *tls.Config {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	s := &serverCert{ca: ca, hosts: names}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.get()
		},
	}
}

// serverCert is the present certificate for one set of hosts.
type serverCert struct {
	ca    *CA
	hosts []string

	mu   sync.Mutex
	cert *tls.Certificate
}

func (s *serverCert) get() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert != nil && s.ca.now().Add(renewBefore).Before(s.cert.Leaf.NotAfter) {
		return s.cert, nil
	}
	c, err := s.ca.issue(terms{hosts: s.hosts, life: serverLife, uses: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return nil, err
	}
	s.cert = c
	return c, nil
}

// terms are what a certificate is issued for.
type terms struct {
	hosts []string
	life  time.Duration
	uses  []x509.ExtKeyUsage
}

// issue makes a server certificate that ends no later than the CA's own.
func (ca *CA) issue(what terms) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw server key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := ca.now()
	end := now.Add(what.life)
	if end.After(ca.cert.NotAfter) {
		end = ca.cert.NotAfter
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Lockstep server"},
		NotBefore: now.Add(-backdate), NotAfter: end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: what.uses,
	}
	addHosts(tmpl, what.hosts)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign server certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back server certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// addHosts sorts the hosts into addresses and names. Empty ones and the
// unspecified addresses, on which nobody can connect, are left out.
func addHosts(tmpl *x509.Certificate, hosts []string) {
	seen := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		ip := net.ParseIP(h)
		if h == "" || seen[h] || (ip != nil && ip.IsUnspecified()) {
			continue
		}
		seen[h] = true
		if ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
			continue
		}
		tmpl.DNSNames = append(tmpl.DNSNames, h)
	}
}
