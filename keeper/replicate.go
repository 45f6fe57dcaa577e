package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// replicationRetry is how long a replication that failed waits for its next
// try.
const replicationRetry = 15 * time.Second

// replicationTries bounds how often one call follows a primary that is changed
// again and again; the mark stays, so nothing is lost.
const replicationTries = 8

// Replicate brings the replicas of a primary up to date: Versions, labels,
// description, tags and resource policy. Each value is opened and sealed again
// for its place, under the key of the replica's region. Without a change to
// tell of it does nothing.
// Errors: ErrSealed, ErrBusy; what keeps a single replica from being written is
// its status instead, and is tried again.
func (k *Keeper) Replicate(ctx context.Context, primary lockstep.SecretID) error {
	for range replicationTries {
		done, err := k.replicateOnce(ctx, primary)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// replicateNow replicates within a call that has just changed a primary. If it
// cannot, the mark is still there, and the Replicator goes on.
func (k *Keeper) replicateNow(ctx context.Context, s *lockstep.Secret) {
	if s != nil && len(s.Replicas) > 0 {
		_ = k.Replicate(ctx, s.ID)
	}
}

// original is a primary as one snapshot shows it.
type original struct {
	secret   *lockstep.Secret
	stages   lockstep.Stages
	versions []*lockstep.Version
	mark     store.ReplicationMark
	copies   []*replica
}

// replica is what one replica lacks.
type replica struct {
	region lockstep.Region
	row    *lockstep.Secret // nil: it was never made
	has    map[lockstep.VersionID]bool
	sealed map[lockstep.VersionID]*lockstep.Sealed
	fault  string
}

func (k *Keeper) replicateOnce(ctx context.Context, id lockstep.SecretID) (done bool, err error) {
	o, err := k.readOriginal(ctx, id)
	if err != nil || o == nil {
		return true, err
	}
	for _, r := range o.copies {
		if r.row == nil {
			continue
		}
		if err := k.sealFor(ctx, o, r); err != nil {
			return true, err
		}
	}
	err = k.store.Update(ctx, func(tx store.Tx) error { return applyCopies(tx, o) })
	if errors.Is(err, errMoved) {
		return false, nil
	}
	return true, err
}

// readOriginal is nil if there is nothing to do.
func (k *Keeper) readOriginal(ctx context.Context, id lockstep.SecretID) (*original, error) {
	var o *original
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		o = nil
		mark, err := tx.Replication(id)
		if errors.Is(err, lockstep.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read replication: %w", err)
		}
		seen := &original{mark: mark}
		if seen.secret, err = tx.Secret(id); err != nil {
			return fmt.Errorf("read primary: %w", err)
		}
		if seen.stages, err = tx.Stages(id); err != nil {
			return fmt.Errorf("read labels: %w", err)
		}
		if seen.versions, err = tx.Versions(id); err != nil {
			return fmt.Errorf("read versions: %w", err)
		}
		for _, r := range seen.secret.Replicas {
			c, err := readCopy(tx, seen.secret, r.Region)
			if err != nil {
				return err
			}
			seen.copies = append(seen.copies, c)
		}
		o = seen
		return nil
	})
	return o, err
}

func readCopy(tx store.ReadTx, s *lockstep.Secret, region lockstep.Region) (*replica, error) {
	r := &replica{region: region, has: map[lockstep.VersionID]bool{}, sealed: map[lockstep.VersionID]*lockstep.Sealed{}}
	row, err := tx.FindSecret(store.Owner{Account: s.Account, Region: region}, string(s.ARN.In(region)))
	if errors.Is(err, lockstep.ErrNotFound) || err == nil && !isReplicaOf(row, s) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find replica: %w", err)
	}
	versions, err := tx.Versions(row.ID)
	if err != nil {
		return nil, fmt.Errorf("read versions of the replica: %w", err)
	}
	r.row = row
	for _, v := range versions {
		r.has[v.ID] = v.Sealed != nil
	}
	return r, nil
}

// sealFor seals what a replica lacks for its place. A key that cannot be used
// is the replica's fault; that the root key is away is nobody's, and ends the
// try.
func (k *Keeper) sealFor(ctx context.Context, o *original, r *replica) error {
	for _, v := range o.versions {
		if v.Sealed == nil || r.has[v.ID] {
			continue
		}
		value, err := k.openRow(ctx, o.secret.ARN, v)
		if err == nil {
			r.sealed[v.ID], err = k.sealer.Seal(ctx, ownerOf(r.row), r.row.KMSKeyID, value, binding(r.row.ARN, v.ID))
		}
		switch {
		case err == nil:
		case errors.Is(err, lockstep.ErrNotFound), errors.Is(err, lockstep.ErrState), errors.Is(err, lockstep.ErrDecrypt):
			r.fault = keyFault(r.region)
			return nil
		default:
			return fmt.Errorf("seal version %s for %s: %w", v.ID, r.region, err)
		}
	}
	return nil
}

// applyCopies writes what was prepared, if the primary is still as it was seen.
func applyCopies(tx store.Tx, o *original) error {
	s, err := tx.LockSecret(o.secret.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil // purged: the mark went with it
	}
	if err != nil {
		return fmt.Errorf("lock primary: %w", err)
	}
	mark, err := tx.Replication(s.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil // another node was faster
	}
	if err != nil {
		return fmt.Errorf("read replication: %w", err)
	}
	if mark.Seq != o.mark.Seq {
		return errMoved
	}
	failed := false
	for _, r := range o.copies {
		if r.row == nil {
			continue // its status says since it was asked for why it is not there
		}
		if r.fault == "" {
			if err := applyCopy(tx, o, r); err != nil {
				return err
			}
		}
		failed = failed || r.fault != ""
		setStatus(s, r)
	}
	if err := tx.SaveSecret(s); err != nil {
		return fmt.Errorf("save primary: %w", err)
	}
	if failed {
		return tx.DelayReplication(mark, tx.Now().Add(replicationRetry))
	}
	return tx.ReplicationDone(mark)
}

func setStatus(s *lockstep.Secret, r *replica) {
	at := slices.IndexFunc(s.Replicas, func(o lockstep.Replica) bool { return o.Region == r.region })
	if at < 0 {
		return
	}
	s.Replicas[at].Status, s.Replicas[at].Message = lockstep.ReplicaInSync, ""
	if r.fault != "" {
		s.Replicas[at].Status, s.Replicas[at].Message = lockstep.ReplicaFailed, r.fault
	}
}

func applyCopy(tx store.Tx, o *original, r *replica) error {
	row, err := tx.LockSecret(r.row.ID)
	if err != nil {
		return fmt.Errorf("lock replica: %w", err)
	}
	if row.Gone || !isReplicaOf(row, o.secret) {
		return errMoved
	}
	b, err := ledger.Open(tx, row, lockstep.Traits{})
	if err != nil {
		return err
	}
	for _, v := range o.versions {
		if err := copyVersion(tx, r, v); err != nil {
			return err
		}
	}
	if err := b.Mirror(o.secret, o.stages); err != nil {
		return err
	}
	for id := range r.has {
		if slices.ContainsFunc(o.versions, func(v *lockstep.Version) bool { return v.ID == id }) {
			continue
		}
		if err := tx.DeleteVersion(row.ID, id); err != nil && !errors.Is(err, lockstep.ErrNotFound) {
			return fmt.Errorf("delete version of the replica: %w", err)
		}
	}
	return b.Close()
}

// copyVersion writes one Version of a replica, or the value that it lacked.
func copyVersion(tx store.Tx, r *replica, v *lockstep.Version) error {
	valued, there := r.has[v.ID]
	made := &lockstep.Version{Secret: r.row.ID, ID: v.ID, Created: v.Created, Sealed: r.sealed[v.ID]}
	var err error
	switch {
	case !there:
		err = tx.InsertVersion(made)
	case !valued && made.Sealed != nil:
		err = tx.SaveVersion(made)
	}
	if errors.Is(err, lockstep.ErrExists) || errors.Is(err, lockstep.ErrNotFound) {
		return errMoved // another node writes the same replica
	}
	if err != nil {
		return fmt.Errorf("copy version %s: %w", v.ID, err)
	}
	return nil
}

// ReplicateDue replicates what is due, and says when it has to be called again
// at the latest; zero if nothing waits. One primary that cannot be replicated
// does not hold up the others.
// Errors: ErrBusy.
func (k *Keeper) ReplicateDue(ctx context.Context) (next time.Duration, err error) {
	const batch = 100
	var due []store.ReplicationMark
	if err := k.store.View(ctx, func(tx store.ReadTx) (err error) {
		due, err = tx.DueReplications(batch)
		return err
	}); err != nil {
		return 0, fmt.Errorf("list due replications: %w", err)
	}
	for _, m := range due {
		if err := k.Replicate(ctx, m.Primary); err != nil {
			if err := k.store.Update(ctx, func(tx store.Tx) error {
				return tx.DelayReplication(m, tx.Now().Add(replicationRetry))
			}); err != nil {
				return 0, fmt.Errorf("delay replication: %w", err)
			}
		}
	}
	err = k.store.View(ctx, func(tx store.ReadTx) error {
		at, err := tx.NextReplication()
		next = 0
		if err == nil && !at.IsZero() {
			next = max(at.Sub(tx.Now()), time.Millisecond)
		}
		return err
	})
	return next, err
}
