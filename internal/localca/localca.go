// Package localca is a small certificate authority of the server's own. It
// exists so that TLS is on from the first start, without a certificate bought
// or fetched from anywhere: the first Open makes a CA certificate (ECDSA
// P-256, ten years) in the data directory, and server certificates are made
// from it on demand, kept in memory only, and replaced before they expire.
//
// Two files live in the directory: ca.pem (0644), which clients are given to
// trust, and ca-key.pem (0600), which never leaves the machine. The key is
// written first and the certificate last, each under a temporary name and
// renamed, so that a crash leaves either nothing, a key alone (which the next
// Open completes), or both.
//
// It is not a general CA: it issues server certificates for this process
// alone, revokes nothing, and knows no intermediates.
package localca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"lockstep"
)

// The names of the two files in the directory.
const (
	CertFile = "ca.pem"
	KeyFile  = "ca-key.pem"
)

const (
	caLife = 10 * 365 * 24 * time.Hour
	// backdate allows for clients whose clock is a little behind.
	backdate = time.Hour
)

// CA issues certificates. It may be used concurrently.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string
	now  func() time.Time
}

// Open reads the CA of a directory, or makes one if there is none; the
// directory is created (0700) if need be. Only one process may make the CA of
// a directory at a time: the caller holds the data directory's lock.
//
// Errors: ErrInvalid if a file is damaged, the two do not belong together, the
// key is missing beside a certificate, the certificate has expired, or others
// may read the key. Nothing is overwritten then: the text says what to do.
func Open(dir string) (*CA, error) {
	return open(dir, time.Now)
}

func open(dir string, now func() time.Time) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create directory of the certificate authority: %w", err)
	}
	ca := &CA{path: filepath.Join(dir, CertFile), now: now}
	keyPath := filepath.Join(dir, KeyFile)
	certPEM, certErr := os.ReadFile(ca.path)
	if certErr != nil && !errors.Is(certErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("read CA certificate: %w", certErr)
	}
	var err error
	ca.key, err = readKey(keyPath)
	switch {
	case errors.Is(err, fs.ErrNotExist) && certErr == nil:
		return nil, fmt.Errorf("%s exists but its key %s does not: restore the key, or remove %s to make a new authority that clients must trust anew: %w",
			ca.path, KeyFile, CertFile, lockstep.ErrInvalid)
	case errors.Is(err, fs.ErrNotExist):
		ca.key, err = makeKey(keyPath)
	}
	if err != nil {
		return nil, err
	}
	if certErr != nil {
		certPEM, err = ca.makeCert()
		if err != nil {
			return nil, err
		}
	}
	return ca, ca.load(certPEM)
}

// load checks the certificate against the key and the clock.
func (ca *CA) load(certPEM []byte) error {
	block, rest := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		return fmt.Errorf("%s is damaged: not one PEM certificate: %w", ca.path, lockstep.ErrInvalid)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s is damaged: %v: %w", ca.path, err, lockstep.ErrInvalid)
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(&ca.key.PublicKey) {
		return fmt.Errorf("%s and %s do not belong together: restore the pair from one backup: %w", ca.path, KeyFile, lockstep.ErrInvalid)
	}
	if !cert.IsCA || ca.now().After(cert.NotAfter) {
		return fmt.Errorf("%s is not a CA certificate that is still valid: remove it to make a new one with the same key: %w", ca.path, lockstep.ErrInvalid)
	}
	ca.cert = cert
	return nil
}

// CertPath is the file that clients are given to trust.
func (ca *CA) CertPath() string { return ca.path }

// Pool returns a pool with this CA alone, for clients of this server.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// makeCert self-signs the key's certificate and stores it.
func (ca *CA) makeCert() ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := ca.now()
	point, err := ca.key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode CA key: %w", err)
	}
	id := sha256.Sum256(point)
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Lockstep local CA"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: id[:20],
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &ca.key.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return out, writeAtomically(ca.path, out, 0o644)
}

// newSerial draws a random serial number of 127 bits.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw certificate serial: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}
