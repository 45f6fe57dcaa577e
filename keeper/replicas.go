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

// ReplicaSpec is a replica as it is asked for.
type ReplicaSpec struct {
	Region lockstep.Region
	// KMSKeyID is the master key there; empty for the region's default key.
	KMSKeyID string
}

// ReplicateInput asks for replicas. With Force, a Secret that has the name in
// such a region already is deleted for good and replaced.
type ReplicateInput struct {
	Add   []ReplicaSpec
	Force bool
}

// ReplicaStatus is a replica as a client sees it.
type ReplicaStatus struct {
	lockstep.Replica
	// Accessed is the day of its last read.
	Accessed time.Time
}

// errReplica refuses what only the primary's region may do.
var errReplica = lockstep.Refuse(lockstep.ErrInvalid,
	"Operation not permitted on a replica secret. Call must be made in primary secret's region.")

// AddReplicas makes replicas of a Secret, and has them filled before it
// returns if that is possible. A region that has one already stays as it is;
// one that failed is tried again. A replica that cannot be made is listed as
// Failed, with the reason; that is no error.
// Errors: Refusals of kind ErrNotFound, ErrState, ErrInvalid.
func (k *Keeper) AddReplicas(ctx context.Context, ref Ref, in ReplicateInput) (Description, error) {
	seen, err := k.Describe(ctx, ref)
	if err != nil {
		return Description{}, err
	}
	faults, err := k.keyFaults(ctx, seen.Secret.Account, in)
	if err != nil {
		return Description{}, err
	}
	err = k.change(ctx, ref, func(b *ledger.Book, tx store.Tx) error {
		return k.placeReplicas(tx, b, in, faults)
	})
	if err != nil {
		return Description{}, err
	}
	return k.Describe(ctx, ref)
}

// keyFaults says of which regions the master key cannot be used, and why.
func (k *Keeper) keyFaults(ctx context.Context, account lockstep.AccountID, in ReplicateInput) (map[lockstep.Region]string, error) {
	faults := map[lockstep.Region]string{}
	for _, r := range in.Add {
		err := k.sealer.CanSeal(ctx, store.Owner{Account: account, Region: r.Region}, r.KMSKeyID)
		switch {
		case errors.Is(err, lockstep.ErrNotFound) || errors.Is(err, lockstep.ErrState) || errors.Is(err, lockstep.ErrInvalid):
			faults[r.Region] = keyFault(r.Region)
		case err != nil:
			return nil, fmt.Errorf("look at the master key in %s: %w", r.Region, err)
		}
	}
	return faults, nil
}

func keyFault(r lockstep.Region) string {
	return fmt.Sprintf("Replication failed: the KMS key for region %s does not exist or is not enabled.", r)
}

// placeReplicas makes the rows of replicas, still without Versions.
func (k *Keeper) placeReplicas(tx store.Tx, b *ledger.Book, in ReplicateInput, faults map[lockstep.Region]string) error {
	s := b.Secret
	for _, spec := range in.Add {
		at := slices.IndexFunc(s.Replicas, func(r lockstep.Replica) bool { return r.Region == spec.Region })
		if at >= 0 && s.Replicas[at].Status != lockstep.ReplicaFailed {
			continue
		}
		r := lockstep.Replica{Region: spec.Region, KMSKeyID: spec.KMSKeyID, Status: lockstep.ReplicaInProgress}
		fault, err := faults[spec.Region], error(nil)
		if fault == "" {
			fault, err = k.placeReplica(tx, s, spec, in.Force)
		}
		if err != nil {
			return err
		}
		if fault != "" {
			r.Status, r.Message = lockstep.ReplicaFailed, fault
		}
		if at >= 0 {
			s.Replicas[at] = r
			continue
		}
		s.Replicas = append(s.Replicas, r)
	}
	s.PrimaryRegion = s.Region
	s.Touch(b.Now)
	return nil
}

// placeReplica makes one row, or says why it cannot.
func (k *Keeper) placeReplica(tx store.Tx, s *lockstep.Secret, spec ReplicaSpec, force bool) (fault string, err error) {
	there, err := tx.FindSecret(store.Owner{Account: s.Account, Region: spec.Region}, s.Name)
	switch {
	case errors.Is(err, lockstep.ErrNotFound):
		return "", insertReplica(tx, s, spec)
	case err != nil:
		return "", fmt.Errorf("look for the name in %s: %w", spec.Region, err)
	case isReplicaOf(there, s):
		return "", rekey(tx, there.ID, spec.KMSKeyID)
	case !force:
		return fmt.Sprintf("Replication failed: Secret name %s already exists in region %s.", s.Name, spec.Region), nil
	case there.IsReplica():
		return fmt.Sprintf("Replication failed: Secret name %s in region %s is the replica of another secret.", s.Name, spec.Region), nil
	case len(there.Replicas) > 0:
		return fmt.Sprintf("Replication failed: Secret name %s in region %s has replicas of its own.", s.Name, spec.Region), nil
	}
	if err := k.drop(tx, there.ID); err != nil {
		return "", err
	}
	return "", insertReplica(tx, s, spec)
}

func rekey(tx store.Tx, id lockstep.SecretID, keyID string) error {
	r, err := tx.LockSecret(id)
	if err != nil {
		return fmt.Errorf("lock replica: %w", err)
	}
	r.KMSKeyID = keyID
	if err := tx.SaveSecret(r); err != nil {
		return fmt.Errorf("save replica: %w", err)
	}
	return nil
}

func isReplicaOf(r, primary *lockstep.Secret) bool {
	return r.PrimaryRegion == primary.Region && r.IsReplica() && r.ARN == primary.ARN.In(r.Region)
}

// drop deletes a Secret for good.
func (k *Keeper) drop(tx store.Tx, id lockstep.SecretID) error {
	s, err := tx.LockSecret(id)
	if err != nil {
		return fmt.Errorf("lock secret: %w", err)
	}
	b, err := k.open(tx, s)
	if err != nil {
		return err
	}
	if err := markDeleted(b, DeleteInput{Force: true}); err != nil {
		return err
	}
	return b.Close()
}

func insertReplica(tx store.Tx, s *lockstep.Secret, spec ReplicaSpec) error {
	now := tx.Now()
	r := &lockstep.Secret{
		Account: s.Account, Region: spec.Region, Name: s.Name, ARN: s.ARN.In(spec.Region),
		Description: s.Description, Type: s.Type, KMSKeyID: spec.KMSKeyID, Tags: slices.Clone(s.Tags),
		ResourcePolicy: s.ResourcePolicy, PrimaryRegion: s.Region, Created: now.Truncate(time.Millisecond),
	}
	r.Touch(now)
	if err := tx.InsertSecret(r); err != nil {
		return fmt.Errorf("insert replica: %w", err)
	}
	b, err := ledger.Open(tx, r, lockstep.Traits{})
	if err != nil {
		return err
	}
	if err := b.Emit(lockstep.EventSecretCreated, lockstep.EventData{}); err != nil {
		return err
	}
	return b.Close()
}

// RemoveReplicas deletes the replicas in these regions; where there is none,
// nothing happens. After the last one the Secret is no primary any more.
// Errors: Refusals of kind ErrNotFound, ErrState, ErrInvalid (on a replica).
func (k *Keeper) RemoveReplicas(ctx context.Context, ref Ref, regions []lockstep.Region) (Description, error) {
	err := k.change(ctx, ref, func(b *ledger.Book, tx store.Tx) error {
		kept := slices.DeleteFunc(slices.Clone(b.Secret.Replicas), func(r lockstep.Replica) bool {
			return slices.Contains(regions, r.Region)
		})
		if len(kept) == len(b.Secret.Replicas) {
			return nil
		}
		for _, region := range regions {
			if err := k.dropReplica(tx, b.Secret, region); err != nil {
				return err
			}
		}
		setReplicas(b.Secret, kept, b.Now)
		return nil
	})
	if err != nil {
		return Description{}, err
	}
	return k.Describe(ctx, ref)
}

func (k *Keeper) dropReplica(tx store.Tx, s *lockstep.Secret, region lockstep.Region) error {
	r, err := tx.FindSecret(store.Owner{Account: s.Account, Region: region}, s.Name)
	if errors.Is(err, lockstep.ErrNotFound) || err == nil && !isReplicaOf(r, s) {
		return nil // it was never made
	}
	if err != nil {
		return fmt.Errorf("find replica: %w", err)
	}
	return k.drop(tx, r.ID)
}

func setReplicas(s *lockstep.Secret, to []lockstep.Replica, now time.Time) {
	s.Replicas = to
	if len(to) == 0 {
		s.Replicas, s.PrimaryRegion = nil, ""
	}
	s.Touch(now)
}

// Promote makes a replica a Secret of its own. Errors: Refusals of kind
// ErrNotFound, ErrState (marked for deletion, or no replica).
func (k *Keeper) Promote(ctx context.Context, ref Ref) (Description, error) {
	return k.onReplica(ctx, ref, func(p pair) error {
		p.replica.PrimaryRegion = ""
		if p.primary == nil {
			return nil
		}
		kept := slices.DeleteFunc(slices.Clone(p.primary.Replicas), p.is)
		setReplicas(p.primary, kept, p.now)
		return nil
	})
}

// rekeyReplica gives a replica another master key: the one thing that may be
// changed about it by itself. What is sealed already stays under the old one.
func (k *Keeper) rekeyReplica(ctx context.Context, ref Ref, keyID string) (Description, error) {
	return k.onReplica(ctx, ref, func(p pair) error {
		p.replica.KMSKeyID = keyID
		if p.primary == nil {
			return nil
		}
		if at := slices.IndexFunc(p.primary.Replicas, p.is); at >= 0 {
			p.primary.Replicas[at].KMSKeyID = keyID
		}
		return nil
	})
}

// pair is a replica and its primary, both locked; primary is nil if it is gone.
type pair struct {
	primary, replica *lockstep.Secret
	now              time.Time
}

func (p pair) is(r lockstep.Replica) bool { return r.Region == p.replica.Region }

// onReplica runs fn on a replica. The primary is locked first, as wherever both
// are.
func (k *Keeper) onReplica(ctx context.Context, ref Ref, fn func(pair) error) (Description, error) {
	err := k.store.Update(ctx, func(tx store.Tx) error {
		p, err := lockPair(tx, ref)
		if err != nil {
			return err
		}
		if err := fn(p); err != nil {
			return err
		}
		p.replica.Touch(p.now)
		for _, s := range []*lockstep.Secret{p.primary, p.replica} {
			if s == nil {
				continue
			}
			if err := tx.SaveSecret(s); err != nil {
				return fmt.Errorf("save secret: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return Description{}, err
	}
	return k.Describe(ctx, ref)
}

func lockPair(tx store.Tx, ref Ref) (pair, error) {
	p := pair{now: tx.Now()}
	seen, err := look(tx, ref)
	if err != nil {
		return p, err
	}
	if err := ref.ask(seen); err != nil {
		return p, err
	}
	if !seen.IsReplica() {
		return p, lockstep.Refuse(lockstep.ErrState, "You can't perform this operation on the secret because it is not a replica.")
	}
	primary, err := tx.FindSecret(store.Owner{Account: seen.Account, Region: seen.PrimaryRegion}, string(seen.ARN.In(seen.PrimaryRegion)))
	switch {
	case err == nil:
		if p.primary, err = tx.LockSecret(primary.ID); err != nil {
			return p, fmt.Errorf("lock primary: %w", err)
		}
	case !errors.Is(err, lockstep.ErrNotFound):
		return p, fmt.Errorf("find primary: %w", err)
	}
	if p.replica, err = tx.LockSecret(seen.ID); err != nil {
		return p, fmt.Errorf("lock replica: %w", err)
	}
	if p.replica.Deleted() || !p.replica.IsReplica() {
		return p, ErrMarkedForDeletion
	}
	return p, nil
}

// statusOf reads how a primary's replicas are.
func statusOf(tx store.ReadTx, s *lockstep.Secret) ([]ReplicaStatus, error) {
	if len(s.Replicas) == 0 {
		return nil, nil
	}
	_, err := tx.Replication(s.ID)
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		return nil, fmt.Errorf("read replication: %w", err)
	}
	waits := err == nil
	out := make([]ReplicaStatus, 0, len(s.Replicas))
	for _, r := range s.Replicas {
		st := ReplicaStatus{Replica: r}
		if waits && r.Status == lockstep.ReplicaInSync {
			st.Status = lockstep.ReplicaInProgress
		}
		row, err := tx.FindSecret(store.Owner{Account: s.Account, Region: r.Region}, string(s.ARN.In(r.Region)))
		if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
			return nil, fmt.Errorf("find replica: %w", err)
		}
		if err == nil && isReplicaOf(row, s) {
			st.Accessed = row.Accessed
		}
		out = append(out, st)
	}
	return out, nil
}
