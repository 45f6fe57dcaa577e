package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// masterKey is a master key with its material in clear. It is not changed once
// it is in the cache.
type masterKey struct {
	id       string
	owner    store.Owner
	row      *store.MasterKey
	current  int
	versions map[int]clearVersion
	// checked is when its row was read.
	checked time.Time
	state   store.KeyState
}

// clearVersion is the material of one version, and since when it is in clear.
type clearVersion struct {
	material []byte
	since    time.Time
}

// version is the material of one version.
func (mk *masterKey) version(number int) ([]byte, error) {
	v, ok := mk.versions[number]
	if !ok {
		return nil, fmt.Errorf("master key %s has no version %d: %w", mk.id, number, lockstep.ErrDecrypt)
	}
	return v.material, nil
}

// ErrDisabled marks the use of a key that is disabled. It is an ErrState.
var ErrDisabled = fmt.Errorf("key is disabled: %w", lockstep.ErrState)

// sealingKey is the master key that an owner's reference names.
func (s *Service) sealingKey(ctx context.Context, owner store.Owner, ref string) (*masterKey, error) {
	name, err := parseName(owner, ref)
	if err != nil {
		return nil, err
	}
	switch {
	case name.isDefault():
		cached := "default/" + string(owner.Account) + "/" + string(owner.Region)
		return s.usable(ctx, cached, func() (*store.MasterKey, error) { return s.defaultKey(ctx, owner, purposeSecrets) })
	case name.alias != "":
		return s.usable(ctx, aliasCacheName(owner, name.alias), func() (*store.MasterKey, error) { return s.byAlias(ctx, owner, name.alias) })
	}
	mk, err := s.master(ctx, name.id)
	if err == nil && mk.owner != owner {
		// Whether it exists elsewhere is not this owner's to know.
		return nil, fmt.Errorf("read master key %s: %w", ref, lockstep.ErrNotFound)
	}
	return mk, err
}

func (s *Service) byAlias(ctx context.Context, owner store.Owner, alias string) (*store.MasterKey, error) {
	var row *store.MasterKey
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		a, err := tx.KeyAlias(owner, alias)
		if err == nil {
			row, err = tx.MasterKey(a.KeyID)
		}
		return err
	})
	return row, err
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
		if errors.Is(err, lockstep.ErrNotFound) {
			s.forget(id) // it was deleted: its material goes as well
		}
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
	switch mk.state {
	case store.KeyEnabled:
		return mk, nil
	case store.KeyDisabled:
		return nil, fmt.Errorf("master key %s: %w", mk.id, ErrDisabled)
	}
	return nil, fmt.Errorf("master key %s is %s: %w", mk.id, mk.state, lockstep.ErrState)
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
	made, err := newRow(owner)
	if err != nil {
		return nil, err
	}
	made.Purpose = purpose
	row, err = s.insert(ctx, made)
	if errors.Is(err, lockstep.ErrExists) {
		err = s.store.View(ctx, read)
	}
	if err != nil {
		return nil, fmt.Errorf("make master key for %s: %w", purpose, err)
	}
	return row, nil
}

// newRow is a key without material.
func newRow(owner store.Owner) (*store.MasterKey, error) {
	uuid, err := lockstep.NewVersionID()
	if err != nil {
		return nil, err
	}
	return &store.MasterKey{ID: string(uuid), Account: owner.Account, Region: owner.Region, State: store.KeyEnabled}, nil
}

// insert gives a new key its first material and stores it.
func (s *Service) insert(ctx context.Context, k *store.MasterKey) (*store.MasterKey, error) {
	err := s.wrapNew(ctx, k.ID, 1, func(tx store.Tx, v store.KeyVersion) error {
		k.Created, k.Versions = v.Created, []store.KeyVersion{v}
		return tx.InsertMasterKey(k)
	})
	return k, err
}

// wrapNew draws material for a version of a key, wraps it by the present root
// key and has it written. If the root key changes meanwhile, it is done again.
func (s *Service) wrapNew(ctx context.Context, id string, number int, write func(store.Tx, store.KeyVersion) error) error {
	material, err := randomKey()
	if err != nil {
		return err
	}
	defer clear(material)
	for {
		root := s.roots.now()
		wrapped, err := root.Wrap(ctx, material, masterAAD(id, number))
		if err != nil {
			return fmt.Errorf("wrap master key: %w", err)
		}
		err = s.store.Update(ctx, func(tx store.Tx) error {
			if err := stillRoot(tx, root); err != nil {
				return err
			}
			return write(tx, store.KeyVersion{Number: number, RootID: root.ID(), Wrapped: wrapped, Created: tx.Now()})
		})
		if !errors.Is(err, errRootMoved) {
			return err
		}
		if err := s.refreshRoots(ctx); err != nil {
			return err
		}
	}
}

// unwrap opens every version of a master key. What is in clear already is used
// again while it is fresh; in the second half of its time, only if the root key
// does not answer.
func (s *Service) unwrap(ctx context.Context, row *store.MasterKey) (*masterKey, error) {
	mk := &masterKey{
		id: row.ID, owner: row.Owner(), row: row,
		state: row.State, versions: make(map[int]clearVersion, len(row.Versions)),
	}
	known := s.stale(row.ID)
	for _, v := range row.Versions {
		mk.current = max(mk.current, v.Number)
		held, there := known[v.Number]
		age := s.now().Sub(held.since)
		if there && age < s.holdFor/2 {
			mk.versions[v.Number] = held
			continue
		}
		fresh, err := s.unwrapVersion(ctx, row.ID, v)
		away := errors.Is(err, lockstep.ErrSealed) || errors.Is(err, lockstep.ErrBusy)
		if away && there && age < s.holdFor {
			fresh, err = held, nil
		}
		if err != nil {
			return nil, err
		}
		mk.versions[v.Number] = fresh
	}
	if mk.current == 0 {
		return nil, fmt.Errorf("master key %s has no material: %w", row.ID, lockstep.ErrDecrypt)
	}
	return mk, nil
}

func (s *Service) unwrapVersion(ctx context.Context, id string, v store.KeyVersion) (clearVersion, error) {
	at := s.now()
	root, err := s.rootOf(ctx, v.RootID)
	if err != nil {
		return clearVersion{}, fmt.Errorf("master key %s: %w", id, err)
	}
	material, err := root.Unwrap(ctx, v.Wrapped, masterAAD(id, v.Number))
	if err != nil {
		return clearVersion{}, fmt.Errorf("unwrap master key %s version %d: %w", id, v.Number, err)
	}
	return clearVersion{material, at}, nil
}
