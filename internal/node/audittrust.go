package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"lockstep"
	"lockstep/audit"
	"lockstep/keys"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

// AuditTrust reads what audit logs are held against from the store of a
// Config, and the key of the macs if its root key can be opened. The server may
// be running. keyless says why the key of the macs is missing; nil if it is there.
// Errors: lockstep.ErrNotFound if there is no store.
func AuditTrust(ctx context.Context, cfg Config) (trust audit.Trust, keyless error, err error) {
	if cfg.Store == "" {
		cfg.Store = "sqlite:" + filepath.Join(cfg.DataDir, "lockstep.db")
	}
	if path, ok := strings.CutPrefix(cfg.Store, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return trust, nil, fmt.Errorf("no store at %s; name the data directory, or the store by --store: %w", path, errors.Join(lockstep.ErrNotFound, err))
		}
	}
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: cfg.Store, Logger: cfg.Logger})
	if err != nil {
		return trust, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if trust, err = readTrust(ctx, s); err != nil {
		return trust, nil, err
	}
	trust.MACKey, keyless = macKey(ctx, s, cfg)
	return trust, keyless, nil
}

// readTrust reads heads and public keys.
func readTrust(ctx context.Context, s store.Store) (audit.Trust, error) {
	trust := audit.Trust{Public: audit.PublicKeys{}}
	err := s.View(ctx, func(tx store.ReadTx) error {
		heads, err := tx.AuditHeads()
		if err != nil {
			return err
		}
		trust.Heads = nil
		for _, h := range heads {
			trust.Heads = append(trust.Heads, headOf(h))
		}
		rows, err := tx.AuditKeys()
		for _, k := range rows {
			public, bad := ParseAuditKey(k.Public)
			if bad != nil {
				return fmt.Errorf("read public key %s: %w", k.RootID, bad)
			}
			trust.Public[k.RootID] = public
		}
		return err
	})
	return trust, err
}

// ParseAuditKey reads a public key in DER form (PKIX). Errors:
// lockstep.ErrInvalid.
func ParseAuditKey(der []byte) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w: %w", err, lockstep.ErrInvalid)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("parse public key: it is not ECDSA: %w", lockstep.ErrInvalid)
	}
	return public, nil
}

// macKey derives the key of the macs.
func macKey(ctx context.Context, s store.Store, cfg Config) (key []byte, err error) {
	used, err := keys.Initialised(ctx, s)
	if err != nil {
		return nil, err
	}
	if !used {
		return nil, fmt.Errorf("the store was never used: %w", lockstep.ErrNotFound)
	}
	n := Node{cfg: cfg, store: s}
	spec, err := n.rootSpec(ctx)
	if err != nil {
		return nil, err
	}
	root, err := spec.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	service, err := keys.New(ctx, keys.Config{Store: s, Root: root, Roots: opener{}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, service.Close()) }()
	return service.Derive(auditMAC), nil
}

// EncodeAuditKey is the reverse of ParseAuditKey.
func EncodeAuditKey(public *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return der, nil
}
