package keys

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/store"
)

// sealingKey is the master key for new values of an owner.
func (s *Service) sealingKey(ctx context.Context, owner store.Owner, keyID string) (*masterKey, error) {
	if keyID == "" {
		name := "default/" + string(owner.Account) + "/" + string(owner.Region)
		return s.usable(ctx, name, func() (*store.MasterKey, error) { return s.defaultKey(ctx, owner, purposeSecrets) })
	}
	mk, err := s.master(ctx, keyID)
	if err == nil && mk.owner != owner {
		// Whether it exists elsewhere is not this owner's to know.
		return nil, fmt.Errorf("read master key %s: %w", keyID, lockstep.ErrNotFound)
	}
	return mk, err
}

// master is a master key by id.
func (s *Service) master(ctx context.Context, id string) (*masterKey, error) {
	return s.usable(ctx, id, func() (*store.MasterKey, error) {
		var row *store.MasterKey
		err := s.store.View(ctx, func(tx store.ReadTx) error {
			var err error
			row, err = tx.MasterKey(id)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read master key %s: %w", id, err)
		}
		return row, nil
	})
}

// usable is a master key that is enabled, from the cache if its state was
// checked lately, else as read says.
func (s *Service) usable(ctx context.Context, name string, read func() (*store.MasterKey, error)) (*masterKey, error) {
	mk := s.cached(name)
	if mk == nil {
		// Its age counts from before the read: what changes while it is on
		// its way is not known.
		at := s.now()
		row, err := read()
		if err != nil {
			return nil, err
		}
		if mk, err = s.unwrap(ctx, row); err != nil {
			return nil, err
		}
		mk.checked = at
		s.remember(name, mk)
	}
	if mk.state != stateEnabled {
		return nil, fmt.Errorf("master key %s is %s: %w", mk.id, mk.state, lockstep.ErrState)
	}
	return mk, nil
}

// defaultKey reads the owner's key for a purpose, making it on first use. Two
// that make it at once agree on the first.
func (s *Service) defaultKey(ctx context.Context, owner store.Owner, purpose string) (*store.MasterKey, error) {
	var row *store.MasterKey
	read := func(tx store.ReadTx) error {
		var err error
		row, err = tx.DefaultKey(owner, purpose)
		return err
	}
	err := s.store.View(ctx, read)
	if !errors.Is(err, lockstep.ErrNotFound) {
		return row, err
	}
	made, err := s.newMaster(ctx, owner, purpose)
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		made.Created = tx.Now()
		made.Versions[0].Created = made.Created
		row = made
		return tx.InsertMasterKey(made)
	})
	if errors.Is(err, lockstep.ErrExists) {
		err = s.store.View(ctx, read)
	}
	if err != nil {
		return nil, fmt.Errorf("make master key for %s: %w", purpose, err)
	}
	return row, nil
}

func (s *Service) newMaster(ctx context.Context, owner store.Owner, purpose string) (*store.MasterKey, error) {
	uuid, err := lockstep.NewVersionID()
	if err != nil {
		return nil, err
	}
	id := string(uuid)
	material, err := randomKey()
	if err != nil {
		return nil, err
	}
	defer clear(material)
	wrapped, err := s.root.Wrap(ctx, material, masterAAD(id, 1))
	if err != nil {
		return nil, fmt.Errorf("wrap master key: %w", err)
	}
	return &store.MasterKey{
		ID: id, Account: owner.Account, Region: owner.Region, Purpose: purpose, State: stateEnabled,
		Versions: []store.KeyVersion{{Number: 1, RootID: s.root.ID(), Wrapped: wrapped}},
	}, nil
}

// unwrap opens every version of a master key. Where the same versions are
// already in clear in the cache, however old, they are taken from there: only
// the state had to be read again.
func (s *Service) unwrap(ctx context.Context, row *store.MasterKey) (*masterKey, error) {
	known := s.stale(row.ID)
	mk := &masterKey{
		id: row.ID, owner: store.Owner{Account: row.Account, Region: row.Region},
		state: row.State, versions: make(map[int][]byte),
	}
	for _, v := range row.Versions {
		mk.current = max(mk.current, v.Number)
		if known != nil && known.versions[v.Number] != nil {
			mk.versions[v.Number] = known.versions[v.Number]
			continue
		}
		if v.RootID != s.root.ID() {
			return nil, fmt.Errorf("master key %s was wrapped by root key %s, and this is %s: %w", row.ID, v.RootID, s.root.ID(), lockstep.ErrDecrypt)
		}
		material, err := s.root.Unwrap(ctx, v.Wrapped, masterAAD(row.ID, v.Number))
		if err != nil {
			return nil, fmt.Errorf("unwrap master key %s version %d: %w", row.ID, v.Number, err)
		}
		mk.versions[v.Number] = material
	}
	if mk.current == 0 {
		return nil, fmt.Errorf("master key %s has no material: %w", row.ID, lockstep.ErrDecrypt)
	}
	return mk, nil
}

func (s *Service) cached(name string) *masterKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	mk := s.cache[name]
	if mk == nil || s.now().Sub(mk.checked) > s.cacheFor {
		return nil
	}
	return mk
}

func (s *Service) stale(id string) *masterKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache[id]
}

func (s *Service) remember(name string, mk *masterKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[name] = mk
	s.cache[mk.id] = mk
}
