package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"lockstep"
	"lockstep/store"
)

// OpenedRoot is a root key that somebody has to close.
type OpenedRoot interface {
	RootKey
	Close() error
}

// Opener opens root keys by the line that names them.
type Opener interface {
	// Open opens one that exists.
	Open(ctx context.Context, line string) (OpenedRoot, error)
	// Make opens one, or makes it.
	Make(ctx context.Context, line string) (OpenedRoot, error)
}

// RootRef names a root key: for ever by ID, and how to open it by Line.
type RootRef struct {
	ID   string `json:"id"`
	Line string `json:"line"`
}

// RootRecord is what the store knows of its root key.
type RootRecord struct {
	// Current wraps what is new.
	Current RootRef `json:"current"`
	// Previous is set while master keys are being moved from it to Current.
	Previous *RootRef `json:"previous,omitempty"`
}

const settingRoot = "root-key"

// errRootMoved: another node has begun to move to another root key.
var errRootMoved = fmt.Errorf("the root key changed meanwhile: %w", lockstep.ErrConflict)

// ReadRoot reads the record. Errors: ErrNotFound if the store was never used
// with one.
func ReadRoot(ctx context.Context, s store.Store) (RootRecord, error) {
	var out RootRecord
	err := s.View(ctx, func(tx store.ReadTx) error {
		var err error
		out, err = rootRecord(tx)
		return err
	})
	return out, err
}

func rootRecord(tx store.ReadTx) (RootRecord, error) {
	raw, err := tx.Setting(settingRoot)
	if err != nil {
		return RootRecord{}, err
	}
	var out RootRecord
	if err := json.Unmarshal(raw, &out); err != nil {
		return RootRecord{}, fmt.Errorf("read the record of the root key: %w: %w", err, lockstep.ErrDecrypt)
	}
	return out, nil
}

func saveRoot(tx store.Tx, r RootRecord) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the record of the root key: %w", err)
	}
	return tx.SaveSetting(settingRoot, raw)
}

// stillRoot makes sure that what a root key wrapped may be stored: that no move
// away from it has begun, which would not see it.
func stillRoot(tx store.ReadTx, root RootKey) error {
	r, err := rootRecord(tx)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if err == nil && r.Current.ID != root.ID() {
		err = errRootMoved
	}
	return err
}

// roots are the root keys at hand.
type roots struct {
	opener Opener
	mu     sync.Mutex
	// current wraps; byID holds it as well, and the former one during a move.
	current RootKey
	byID    map[string]RootKey
	// opened are those to close.
	opened []OpenedRoot
}

func (r *roots) now() RootKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

func (r *roots) find(id string) RootKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// adopt takes a root key that was opened for a reference. Another that was
// opened for it in the same moment stays, and this one is closed.
func (r *roots) adopt(root OpenedRoot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[root.ID()] != nil {
		return root.Close()
	}
	r.byID[root.ID()] = root
	r.opened = append(r.opened, root)
	return nil
}

// use makes one that is at hand the one that wraps.
func (r *roots) use(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if root := r.byID[id]; root != nil {
		r.current = root
	}
}

// Root is the root key that wraps at present.
func (s *Service) Root() RootKey { return s.roots.now() }

// Close closes the root keys that the Service opened itself, not Config.Root.
func (s *Service) Close() error {
	s.roots.mu.Lock()
	defer s.roots.mu.Unlock()
	var errs []error
	for _, r := range s.roots.opened {
		errs = append(errs, r.Close())
	}
	s.roots.opened = nil
	return errors.Join(errs...)
}

// openRoots compares the root key with the store's record and, in the middle
// of a move, opens the other one.
func (s *Service) openRoots(ctx context.Context, cfg Config) error {
	s.roots.opener, s.roots.current = cfg.Roots, cfg.Root
	s.roots.byID = map[string]RootKey{cfg.Root.ID(): cfg.Root}
	record, err := ReadRoot(ctx, cfg.Store)
	if errors.Is(err, lockstep.ErrNotFound) {
		return s.firstRecord(ctx, cfg)
	}
	if err != nil {
		return fmt.Errorf("read the record of the root key: %w", err)
	}
	known := []string{record.Current.ID}
	if record.Previous != nil {
		known = append(known, record.Previous.ID)
	}
	if !slices.Contains(known, cfg.Root.ID()) {
		return fmt.Errorf("the store's keys are wrapped by root key %s (%s), and this is root key %s; start with that one: %w",
			record.Current.ID, record.Current.Line, cfg.Root.ID(), lockstep.ErrDecrypt)
	}
	if cfg.RootLine != "" && cfg.Root.ID() == record.Current.ID && cfg.RootLine != record.Current.Line {
		if err := s.renameRoot(ctx, cfg); err != nil {
			return err
		}
	}
	return s.refreshRoots(ctx)
}

// firstRecord is for a store that has none: new, or of an older version.
func (s *Service) firstRecord(ctx context.Context, cfg Config) error {
	return s.store.Update(ctx, func(tx store.Tx) error {
		n, err := tx.VersionsNotUnder(cfg.Root.ID())
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("the store's keys are wrapped by another root key than %s: %w", cfg.Root.ID(), lockstep.ErrDecrypt)
		}
		return saveRoot(tx, RootRecord{Current: RootRef{ID: cfg.Root.ID(), Line: cfg.RootLine}})
	})
}

// renameRoot notes where the same root key is found now.
func (s *Service) renameRoot(ctx context.Context, cfg Config) error {
	return s.store.Update(ctx, func(tx store.Tx) error {
		r, err := rootRecord(tx)
		if err != nil || r.Current.ID != cfg.Root.ID() {
			return err
		}
		r.Current.Line = cfg.RootLine
		return saveRoot(tx, r)
	})
}

// rootOf is the root key of that id, opened if the record names it.
func (s *Service) rootOf(ctx context.Context, id string) (RootKey, error) {
	if r := s.roots.find(id); r != nil {
		return r, nil
	}
	if err := s.refreshRoots(ctx); err != nil {
		return nil, err
	}
	if r := s.roots.find(id); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("it was wrapped by root key %s, and this is %s: %w", id, s.roots.now().ID(), lockstep.ErrDecrypt)
}

// refreshRoots opens what the record names and is not at hand, and wraps by
// the current one from now on.
func (s *Service) refreshRoots(ctx context.Context) error {
	record, err := ReadRoot(ctx, s.store)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the record of the root key: %w", err)
	}
	for _, ref := range record.refs() {
		if s.roots.find(ref.ID) != nil {
			continue
		}
		if s.roots.opener == nil {
			return fmt.Errorf("root key %s is needed and cannot be opened here: %w", ref.ID, lockstep.ErrSealed)
		}
		root, err := s.roots.opener.Open(ctx, ref.Line)
		if err != nil {
			return fmt.Errorf("open root key %s: %w", ref.ID, err)
		}
		if root.ID() != ref.ID {
			return errors.Join(fmt.Errorf("%s is root key %s, and %s is needed: %w", ref.Line, root.ID(), ref.ID, lockstep.ErrDecrypt), root.Close())
		}
		if err := s.roots.adopt(root); err != nil {
			return err
		}
	}
	s.roots.use(record.Current.ID)
	return nil
}

func (r RootRecord) refs() []RootRef {
	out := []RootRef{r.Current}
	if r.Previous != nil {
		out = append(out, *r.Previous)
	}
	return out
}
