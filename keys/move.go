package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/store"
)

// RootStatus tells which root key wraps, and how far a move to it is.
type RootStatus struct {
	RootRecord
	// Remaining is how many key versions the former root key still wraps.
	Remaining int
}

// RootStatus reads the status.
func (s *Service) RootStatus(ctx context.Context) (RootStatus, error) {
	var out RootStatus
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = RootStatus{}
		var err error
		if out.RootRecord, err = rootRecord(tx); err != nil {
			return err
		}
		out.Remaining, err = tx.VersionsNotUnder(out.Current.ID)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("read the state of the root key: %w", err)
	}
	return out, nil
}

// MigrateRoot moves the store to the root key that the line names, which is
// made if it does not exist: every master key is wrapped by it instead, and no
// value is touched. What is interrupted, Maintain goes on with. Repeating the
// call does nothing, and naming the former root key during a move turns it back.
// Errors: ErrState during a move between two others; ErrInvalid for a line that
// cannot be read or where root keys cannot be opened; those of opening it.
func (s *Service) MigrateRoot(ctx context.Context, line string) (RootStatus, error) {
	if s.roots.opener == nil {
		return RootStatus{}, fmt.Errorf("move to another root key: root keys cannot be opened here: %w", lockstep.ErrInvalid)
	}
	root, err := s.roots.opener.Make(ctx, line)
	if err != nil {
		return RootStatus{}, fmt.Errorf("open the new root key: %w", err)
	}
	id := root.ID()
	if err := tryRoot(ctx, root); err != nil {
		return RootStatus{}, errors.Join(err, root.Close())
	}
	if err := s.roots.adopt(root); err != nil {
		return RootStatus{}, fmt.Errorf("close what was opened twice: %w", err)
	}
	err = s.store.Update(ctx, func(tx store.Tx) error { return beginMove(tx, RootRef{ID: id, Line: line}) })
	if err != nil {
		return RootStatus{}, err
	}
	s.roots.use(id)
	if err := s.moveRoot(ctx); err != nil {
		return RootStatus{}, err
	}
	return s.RootStatus(ctx)
}

// tryRoot makes sure that a root key opens what it wraps before anything
// depends on it.
func tryRoot(ctx context.Context, root RootKey) error {
	probe := []byte("lockstep root key probe")
	wrapped, err := root.Wrap(ctx, probe, probe)
	if err != nil {
		return fmt.Errorf("try the new root key: %w", err)
	}
	got, err := root.Unwrap(ctx, wrapped, probe)
	if err == nil && !bytes.Equal(got, probe) {
		err = lockstep.ErrDecrypt
	}
	if err != nil {
		return fmt.Errorf("try the new root key: %w", err)
	}
	return nil
}

func beginMove(tx store.Tx, to RootRef) error {
	r, err := rootRecord(tx)
	if err != nil {
		return err
	}
	switch {
	case r.Current.ID == to.ID:
		// How it is found stays as it is: an HSM that is in use already does not
		// look at another PIN. The server's start does (Config.RootLine).
		return nil
	case r.Previous == nil || r.Previous.ID == to.ID:
		r.Previous = &RootRef{ID: r.Current.ID, Line: r.Current.Line}
		r.Current = to
	default:
		return lockstep.Refuse(lockstep.ErrState, "A move from root key %s to %s is under way. Wait for its end (lockstep keys root status).",
			r.Previous.ID, r.Current.ID)
	}
	return saveRoot(tx, r)
}

// moveBatch is how many keys are looked up at once.
const moveBatch = 50

// moveRoot wraps every master key by the current root key. A key that cannot be
// moved does not hold up the others.
func (s *Service) moveRoot(ctx context.Context) error {
	record, err := ReadRoot(ctx, s.store)
	// A node that slept through the whole of a move has to follow it, too.
	here := err == nil && record.Current.ID == s.roots.now().ID()
	if errors.Is(err, lockstep.ErrNotFound) || here && record.Previous == nil {
		return nil
	}
	if err == nil {
		err = s.refreshRoots(ctx)
	}
	if err != nil {
		return err
	}
	var failures []error
	after := ""
	for {
		var ids []string
		err := s.store.View(ctx, func(tx store.ReadTx) error {
			var err error
			ids, err = tx.KeysNotUnder(record.Current.ID, after, moveBatch)
			return err
		})
		if err != nil {
			return errors.Join(append(failures, err)...)
		}
		for _, id := range ids {
			if err := s.moveKey(ctx, id, record.Current.ID); err != nil {
				failures = append(failures, fmt.Errorf("move master key %s: %w", id, err))
			}
			after = id
		}
		if len(ids) < moveBatch {
			break
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	return s.endMove(ctx, record)
}

// moveKey wraps the versions of one key anew, outside of the transaction, and
// writes those that are still as they were read.
func (s *Service) moveKey(ctx context.Context, id, to string) error {
	var row *store.MasterKey
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		row, err = tx.MasterKey(id)
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	root, err := s.rootOf(ctx, to)
	if err != nil {
		return err
	}
	moved := make(map[int][]byte)
	for _, v := range row.Versions {
		if v.RootID == to {
			continue
		}
		fresh, err := s.unwrapVersion(ctx, id, v)
		if err != nil {
			return err
		}
		moved[v.Number], err = root.Wrap(ctx, fresh.material, masterAAD(id, v.Number))
		clear(fresh.material)
		if err != nil {
			return fmt.Errorf("wrap: %w", err)
		}
	}
	return s.store.Update(ctx, func(tx store.Tx) error { return replaceWrappings(tx, row, root, moved) })
}

func replaceWrappings(tx store.Tx, read *store.MasterKey, root RootKey, moved map[int][]byte) error {
	if err := stillRoot(tx, root); err != nil {
		return err
	}
	row, err := tx.LockMasterKey(read.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, v := range read.Versions {
		if moved[v.Number] == nil || !bytes.Equal(row.Versions[i].Wrapped, v.Wrapped) {
			continue
		}
		row.Versions[i].RootID, row.Versions[i].Wrapped = root.ID(), moved[v.Number]
	}
	return tx.SaveMasterKey(row)
}

// endMove lets go of the former root key once nothing needs it.
func (s *Service) endMove(ctx context.Context, began RootRecord) error {
	return s.store.Update(ctx, func(tx store.Tx) error {
		r, err := rootRecord(tx)
		if err != nil || r.Current.ID != began.Current.ID {
			return err
		}
		left, err := tx.VersionsNotUnder(r.Current.ID)
		if err != nil || left > 0 {
			return err
		}
		r.Previous = nil
		return saveRoot(tx, r)
	})
}
