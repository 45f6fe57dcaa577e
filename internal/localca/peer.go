package localca

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

// WritePeer issues a certificate for a server of another program, which also
// shows it when it connects to its peers, and writes it with its key to
// PATH.pem and PATH-key.pem (both 0600), in place of older ones. It ends after
// life, and no later than the authority.
func (ca *CA) WritePeer(path string, hosts []string, life time.Duration) error {
	c, err := ca.issue(terms{
		hosts: append([]string{"localhost", "127.0.0.1", "::1"}, hosts...), life: life,
		uses: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("write certificate: odd key %T", c.PrivateKey)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key of certificate: %w", err)
	}
	if err := writeAtomically(path+"-key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	return writeAtomically(path+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o600)
}
