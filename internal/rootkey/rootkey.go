// Package rootkey opens the root key that an operator names in one line:
//
//	file:/var/lib/lockstep/root.key (or the path alone)
//	file:/var/lib/lockstep/root.key?passphrase-source=fd:3
//	pkcs11:token=lockstep;object=root?module-path=/usr/lib/libhsm.so&pin-source=file:/run/pin
//
// The PKCS#11 form is that of RFC 7512, as far as it names one token, one key
// and how to log in. A PIN or a passphrase never stands in the line, which the
// list of processes shows and the store keeps: the line says where it is read
// from, a file that its owner alone may read, or an open descriptor.
package rootkey

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/hsm"
	"lockstep/hsm/file"
	"lockstep/hsm/pkcs11"
)

// Open opens an existing root key. Errors: lockstep.ErrInvalid for a line that
// cannot be read, or keys that cannot work; lockstep.ErrNotFound if there is
// none; lockstep.ErrDenied for a refused PIN; lockstep.ErrSealed if the key
// cannot be reached or its passphrase is wrong.
func Open(ctx context.Context, line string) (hsm.Key, error) {
	s, err := Parse(line)
	if err != nil {
		return nil, err
	}
	return s.Open(ctx)
}

// Make opens a root key, or makes it if there is none. Errors: as Open.
func Make(ctx context.Context, line string) (hsm.Key, error) {
	s, err := Parse(line)
	if err != nil {
		return nil, err
	}
	return s.Make(ctx)
}

// Open opens the root key of the Spec; see the function Open.
func (s Spec) Open(ctx context.Context) (hsm.Key, error) {
	if s.Path == "" {
		return s.openToken(ctx, pkcs11.Config{})
	}
	passphrase, err := s.passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	k, err := file.Open(file.Config{Path: s.Path, Passphrase: passphrase})
	if err != nil {
		return nil, err // a nil *file.Key would not be a nil hsm.Key
	}
	return k, nil
}

// Make opens the root key of the Spec, or makes it; see the function Make.
func (s Spec) Make(ctx context.Context) (hsm.Key, error) {
	if s.Path == "" {
		return s.openToken(ctx, pkcs11.Config{Generate: true})
	}
	passphrase, err := s.passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	cfg := file.Config{Path: s.Path, Passphrase: passphrase}
	k, err := file.Open(cfg)
	if errors.Is(err, lockstep.ErrNotFound) {
		if k, err = file.Create(cfg); errors.Is(err, lockstep.ErrExists) {
			k, err = file.Open(cfg) // another node was faster
		}
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (s Spec) passphrase() ([]byte, error) {
	if s.Source == "" {
		return nil, nil
	}
	passphrase, err := ReadSource(s.Source)
	if err != nil {
		return nil, fmt.Errorf("read passphrase of root key: %w", err)
	}
	return passphrase, nil
}

func (s Spec) openToken(ctx context.Context, cfg pkcs11.Config) (hsm.Key, error) {
	pin, err := ReadSource(s.Source)
	if err != nil {
		return nil, fmt.Errorf("read PIN of token %q: %w", s.Token, err)
	}
	defer clear(pin)
	cfg.Module, cfg.TokenLabel, cfg.Label, cfg.PIN = s.Module, s.Token, s.Object, string(pin)
	return pkcs11.Open(ctx, cfg)
}
