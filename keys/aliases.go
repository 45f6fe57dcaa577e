package keys

import (
	"context"
	"errors"

	"lockstep"
	"lockstep/store"
)

// CreateAlias gives a key a second name. Errors: Refusals of kind ErrAliasName,
// ErrExists, ErrNotFound, ErrState (pending deletion), ErrDenied (the default
// key).
func (s *Service) CreateAlias(ctx context.Context, alias string, to Ref) error {
	return s.pointAlias(ctx, alias, to, func(tx store.Tx, a *store.KeyAlias) error {
		a.Created = tx.Now()
		a.Changed = a.Created
		err := tx.InsertKeyAlias(a)
		if errors.Is(err, lockstep.ErrExists) {
			return lockstep.Refuse(lockstep.ErrExists, "An alias with the name %s already exists", AliasARN(to.Owner, alias))
		}
		return err
	})
}

// MoveAlias points an alias at another key: what is sealed from then on is
// sealed under that one. allow is asked about the former key. Errors: as
// CreateAlias.
func (s *Service) MoveAlias(ctx context.Context, alias string, to Ref, allow func(*store.MasterKey) error) error {
	from := Ref{Owner: to.Owner, ID: alias, Allow: allow}
	return s.pointAlias(ctx, alias, to, func(tx store.Tx, a *store.KeyAlias) error {
		old, err := resolve(tx, from, name{alias: alias})
		if err != nil {
			return err
		}
		if err := from.ask(old); err != nil {
			return err
		}
		a.Changed = tx.Now()
		return tx.SaveKeyAlias(a)
	})
}

func (s *Service) pointAlias(ctx context.Context, alias string, to Ref, write func(store.Tx, *store.KeyAlias) error) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	_, err := s.change(ctx, to, func(tx store.Tx, k *store.MasterKey) error {
		if err := errors.Join(users(k), live(k)); err != nil {
			return err
		}
		return write(tx, &store.KeyAlias{Account: k.Account, Region: k.Region, Name: alias, KeyID: k.ID})
	})
	s.dropAliases(to.Owner, alias)
	return err
}

// DeleteAlias takes a name from a key; ref names the alias. Errors: Refusals of
// kind ErrAliasName, ErrNotFound; ref.Allow's.
func (s *Service) DeleteAlias(ctx context.Context, ref Ref) error {
	if err := checkAlias(ref.ID); err != nil {
		return err
	}
	err := s.store.Update(ctx, func(tx store.Tx) error {
		k, err := resolve(tx, ref, name{alias: ref.ID})
		if err != nil {
			return err
		}
		if err := ref.ask(k); err != nil {
			return err
		}
		return tx.DeleteKeyAlias(ref.Owner, ref.ID)
	})
	s.dropAliases(ref.Owner, ref.ID)
	return err
}

// dropAliases makes the next use of an alias look where it points.
func (s *Service) dropAliases(owner store.Owner, alias string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, aliasCacheName(owner, alias))
}

func aliasCacheName(owner store.Owner, alias string) string {
	return string(owner.Account) + "/" + string(owner.Region) + "/" + alias
}

// Aliases reads a page of aliases. q.KeyID selects those of one key.
func (s *Service) Aliases(ctx context.Context, q store.KeyQuery) ([]*store.KeyAlias, error) {
	var out []*store.KeyAlias
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		out, err = tx.KeyAliases(q)
		return err
	})
	return out, err
}

// DefaultKey is the key of what names none, nil if nothing needed it yet.
func (s *Service) DefaultKey(ctx context.Context, owner store.Owner) (*store.MasterKey, error) {
	var out *store.MasterKey
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		out, err = tx.DefaultKey(owner, purposeSecrets)
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil
	}
	return out, err
}
