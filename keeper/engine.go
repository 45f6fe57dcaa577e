package keeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lockstep"
	"lockstep/store"
)

// EngineValues is what a worker needs to act on a Secret's target.
type EngineValues struct {
	Secret *lockstep.Secret
	// CurrentID names the Version that Current is of.
	CurrentID lockstep.VersionID
	// Pending is zero if the Version asked for has no value.
	Pending lockstep.Value
	Current lockstep.Value
	// Live is the rest of what the target may accept, AWSPREVIOUS first, then
	// the youngest.
	Live []lockstep.Value
	// Admin is AWSCURRENT of the secret that Current names as its masterarn;
	// zero if it names none. AdminID is that secret.
	Admin   lockstep.Value
	AdminID lockstep.SecretID
	// AdminARN is its ARN.
	AdminARN lockstep.ARN
	// NoAdmin says that the secret which Current names as its masterarn is gone
	// (ErrNotFound); nil if it is there, or none is named. What needs no admin, such
	// as undoing with the value's own login, goes on.
	NoAdmin error
}

// EngineValues opens what a worker needs for the given pending Version (empty:
// none). It is for the engine alone: no access is checked and no read noted.
// Errors: ErrNotFound if the Secret is gone; keys' errors.
func (k *Keeper) EngineValues(ctx context.Context, id lockstep.SecretID, pending lockstep.VersionID) (EngineValues, error) {
	rows, err := k.engineRows(ctx, id, pending)
	if err != nil {
		return EngineValues{}, err
	}
	out := EngineValues{Secret: rows.secret}
	arn := rows.secret.ARN
	if out.Pending, err = k.openRow(ctx, arn, rows.pending); err != nil {
		return EngineValues{}, err
	}
	if out.Current, err = k.openRow(ctx, arn, rows.current); err != nil {
		return EngineValues{}, err
	}
	if rows.current != nil {
		out.CurrentID = rows.current.ID
	}
	for _, v := range rows.live {
		value, err := k.openRow(ctx, arn, v)
		if err != nil {
			return EngineValues{}, err
		}
		if !value.IsZero() {
			out.Live = append(out.Live, value)
		}
	}
	if err := k.addAdmin(ctx, &out); err != nil {
		return EngineValues{}, err
	}
	return out, nil
}

// RetiredValues opens the newest limit Versions whose credential was removed at
// the target, so that a Look can see that they are refused; but none whose value
// another Version has that the target may accept. It is for the engine alone.
// Errors: ErrNotFound if the Secret is gone; keys' errors.
func (k *Keeper) RetiredValues(ctx context.Context, id lockstep.SecretID, limit int) (map[lockstep.VersionID]lockstep.Value, error) {
	var secret *lockstep.Secret
	var retired, inUse []*lockstep.Version
	err := k.store.View(ctx, func(tx store.ReadTx) (err error) {
		retired, inUse = nil, nil
		if secret, err = tx.Secret(id); err != nil {
			return fmt.Errorf("read secret: %w", err)
		}
		stages, err := tx.Stages(id)
		if err != nil {
			return fmt.Errorf("read labels: %w", err)
		}
		versions, err := tx.Versions(id)
		if err != nil {
			return fmt.Errorf("read versions: %w", err)
		}
		for _, v := range slices.Backward(versions) {
			switch {
			case v.MaybeLive, v.ID == stages[lockstep.Current]:
				inUse = append(inUse, v)
			case v.Retirement == lockstep.RetirementRetired && len(retired) < limit:
				retired = append(retired, v)
			}
		}
		return nil
	})
	if err != nil || len(retired) == 0 {
		return nil, err
	}
	live, err := k.openAll(ctx, secret.ARN, inUse)
	if err != nil {
		return nil, err
	}
	out, err := k.openAll(ctx, secret.ARN, retired)
	maps.DeleteFunc(out, func(_ lockstep.VersionID, v lockstep.Value) bool {
		for _, l := range live {
			if l.Equal(v) {
				return true
			}
		}
		return false
	})
	return out, err
}

// IdleValues opens the Versions that live until the next Run takes their place at
// the target, and what Runs that ended have left there: all that may be live but
// AWSCURRENT, the given pending Version, and what waits for its retirement. It is
// for the engine alone. Errors: ErrNotFound if the Secret is gone; keys' errors.
func (k *Keeper) IdleValues(ctx context.Context, id lockstep.SecretID, pending lockstep.VersionID) (map[lockstep.VersionID]lockstep.Value, error) {
	rows, err := k.engineRows(ctx, id, pending)
	if err != nil {
		return nil, err
	}
	idle := slices.DeleteFunc(rows.live, func(v *lockstep.Version) bool { return !v.MaybeLive || v.Retirement.Blocks() })
	return k.openAll(ctx, rows.secret.ARN, idle)
}

// openAll opens those that have a value.
func (k *Keeper) openAll(ctx context.Context, arn lockstep.ARN, list []*lockstep.Version) (map[lockstep.VersionID]lockstep.Value, error) {
	out := make(map[lockstep.VersionID]lockstep.Value, len(list))
	for _, v := range list {
		value, err := k.openRow(ctx, arn, v)
		if err != nil {
			return nil, err
		}
		if !value.IsZero() {
			out[v.ID] = value
		}
	}
	return out, nil
}

type engineRows struct {
	secret           *lockstep.Secret
	pending, current *lockstep.Version
	live             []*lockstep.Version
}

func (k *Keeper) engineRows(ctx context.Context, id lockstep.SecretID, pending lockstep.VersionID) (engineRows, error) {
	var rows engineRows
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		rows = engineRows{}
		var err error
		if rows.secret, err = tx.Secret(id); err != nil {
			return fmt.Errorf("read secret: %w", err)
		}
		stages, err := tx.Stages(id)
		if err != nil {
			return fmt.Errorf("read labels: %w", err)
		}
		live, err := tx.LiveVersions(id)
		if err != nil {
			return fmt.Errorf("read live versions: %w", err)
		}
		if rows.pending, err = amongOr(tx, live, id, pending); err != nil {
			return err
		}
		if rows.current, err = amongOr(tx, live, id, stages[lockstep.Current]); err != nil {
			return err
		}
		previous, err := amongOr(tx, live, id, stages[lockstep.Previous])
		if err != nil {
			return err
		}
		rows.live = otherLive(live, previous, pending, stages[lockstep.Current])
		return nil
	})
	return rows, err
}

func versionOrNil(tx store.ReadTx, id lockstep.SecretID, v lockstep.VersionID) (*lockstep.Version, error) {
	if v == "" {
		return nil, nil
	}
	row, err := tx.Version(id, v)
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		return nil, fmt.Errorf("read version: %w", err)
	}
	return row, nil
}

// amongOr is a Version out of a list, or else read by itself; nil if there is
// none.
func amongOr(tx store.ReadTx, list []*lockstep.Version, id lockstep.SecretID, v lockstep.VersionID) (*lockstep.Version, error) {
	if i := slices.IndexFunc(list, func(l *lockstep.Version) bool { return l.ID == v }); i >= 0 {
		return list[i], nil
	}
	return versionOrNil(tx, id, v)
}

// otherLive is AWSPREVIOUS and the maybe-live Versions, without pending and
// AWSCURRENT. AWSPREVIOUS is tried even if it is thought dead: a hand may have
// put it back at the target.
func otherLive(live []*lockstep.Version, previous *lockstep.Version, pending, current lockstep.VersionID) []*lockstep.Version {
	slices.SortFunc(live, func(a, b *lockstep.Version) int { return b.Created.Compare(a.Created) })
	out := make([]*lockstep.Version, 0, len(live)+1)
	for _, v := range append([]*lockstep.Version{previous}, live...) {
		if v == nil || v.ID == pending || v.ID == current {
			continue
		}
		if !slices.ContainsFunc(out, func(o *lockstep.Version) bool { return o.ID == v.ID }) {
			out = append(out, v)
		}
	}
	return out
}

func (k *Keeper) openRow(ctx context.Context, arn lockstep.ARN, v *lockstep.Version) (lockstep.Value, error) {
	if v == nil || v.Sealed == nil {
		return lockstep.Value{}, nil
	}
	value, err := k.sealer.Open(ctx, v.Sealed, binding(arn, v.ID))
	if err != nil {
		return lockstep.Value{}, fmt.Errorf("open version %s: %w", v.ID, err)
	}
	return value, nil
}

// addAdmin opens the admin secret that the value names.
func (k *Keeper) addAdmin(ctx context.Context, out *EngineValues) error {
	ref := masterARN(out.Current)
	if ref == "" {
		return nil // no JSON, or no admin: the rotator says so if it needs one
	}
	var admin *lockstep.Secret
	var row *lockstep.Version
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		if admin, err = FindAdmin(tx, out.Secret, ref); err != nil {
			return err
		}
		stages, err := tx.Stages(admin.ID)
		if err != nil {
			return err
		}
		row, err = versionOrNil(tx, admin.ID, stages[lockstep.Current])
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		out.NoAdmin = fmt.Errorf("admin secret %q, which the value names as masterarn: %w", ref, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read admin secret: %w", err)
	}
	out.AdminID, out.AdminARN = admin.ID, admin.ARN
	out.Admin, err = k.openRow(ctx, admin.ARN, row)
	return err
}

// SealCopy seals the value of one Version again for the place of another; nil
// if there is no value. Errors: keys' errors.
func (k *Keeper) SealCopy(ctx context.Context, id lockstep.SecretID, of, as lockstep.VersionID) (*lockstep.Sealed, error) {
	var s *lockstep.Secret
	var v *lockstep.Version
	err := k.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		if s, err = tx.Secret(id); err != nil {
			return fmt.Errorf("read secret: %w", err)
		}
		v, err = versionOrNil(tx, id, of)
		return err
	})
	if err != nil {
		return nil, err
	}
	value, err := k.openRow(ctx, s.ARN, v)
	if err != nil {
		return nil, err
	}
	return k.seal(ctx, ownerOf(s), s.KMSKeyID, value, s.ARN, as)
}

// SealPending encrypts a Run's new value for its place, opens it again to see
// that it can be, and names the Account it logs in as (empty for a rotator
// without Accounts): the value goes to the target from where it was made, and
// what a target accepts must be in the store. Errors: keys' errors; ErrInvalid
// if the value lacks a field, ErrUnknownRotator.
func (k *Keeper) SealPending(ctx context.Context, s *lockstep.Secret, id lockstep.VersionID, v lockstep.Value) (*lockstep.Sealed, lockstep.AccountKey, error) {
	account, err := k.accountOf(s, v)
	if err != nil {
		return nil, "", err
	}
	return k.sealSeen(ctx, s, id, v, account)
}

// SealIssued is SealPending for what a target has issued: it is there, so an
// Account that cannot be told is none. Errors: keys' errors.
func (k *Keeper) SealIssued(ctx context.Context, s *lockstep.Secret, id lockstep.VersionID, v lockstep.Value) (*lockstep.Sealed, lockstep.AccountKey, error) {
	account, _ := k.accountOf(s, v)
	return k.sealSeen(ctx, s, id, v, account)
}

func (k *Keeper) sealSeen(ctx context.Context, s *lockstep.Secret, id lockstep.VersionID, v lockstep.Value, account lockstep.AccountKey) (*lockstep.Sealed, lockstep.AccountKey, error) {
	sealed, err := k.seal(ctx, ownerOf(s), s.KMSKeyID, v, s.ARN, id)
	if err != nil || sealed == nil {
		return nil, "", err
	}
	opened, err := k.sealer.Open(ctx, sealed, binding(s.ARN, id))
	if err != nil {
		return nil, "", fmt.Errorf("open what was sealed: %w", err)
	}
	if !opened.Equal(v) {
		return nil, "", fmt.Errorf("open what was sealed: another value: %w", lockstep.ErrDecrypt)
	}
	return sealed, account, nil
}

// TargetAccounts are the Accounts that a Secret's AWSCURRENT is about under a
// rotator.
type TargetAccounts struct {
	// Current is the Version that was looked at; empty if there is none.
	Current lockstep.VersionID
	// Own is the Account that it logs in as, Target where.
	Own    lockstep.AccountKey
	Target lockstep.TargetKey
	// AdminRef is what it names as its masterarn.
	AdminRef string
	// All are those that the Secret owns.
	All []lockstep.AccountKey
}

// TargetAccounts opens AWSCURRENT and names its Accounts under a rotator.
// A rotator that is not known here has no Accounts.
// Errors: ErrInvalid if the value lacks a field, keys' errors.
func (k *Keeper) TargetAccounts(ctx context.Context, id lockstep.SecretID, rotator string) (TargetAccounts, error) {
	rows, err := k.engineRows(ctx, id, "")
	if err != nil {
		return TargetAccounts{}, err
	}
	value, err := k.openRow(ctx, rows.secret.ARN, rows.current)
	if err != nil {
		return TargetAccounts{}, err
	}
	if value.IsZero() {
		return TargetAccounts{}, nil
	}
	out := TargetAccounts{Current: rows.current.ID, AdminRef: NamedAdmin(value)}
	names, err := k.targets.AccountNames(rotator, value)
	if errors.Is(err, lockstep.ErrUnknownRotator) {
		return out, nil // a custom one, which alone knows what its values mean
	}
	if err != nil {
		return TargetAccounts{}, err
	}
	for i, name := range names {
		key := k.sealer.AccountKey(name)
		if i == 0 {
			out.Own, out.Target = key, k.targetKey(name)
			continue
		}
		out.All = append(out.All, key)
	}
	return out, nil
}

// targetKey is the key of the target that an Account is at: what stands in its
// name before the user.
func (k *Keeper) targetKey(account string) lockstep.TargetKey {
	parts := strings.SplitN(account, "|", 4)
	return lockstep.TargetKey(k.sealer.AccountKey("target|" + strings.Join(parts[:min(len(parts), 3)], "|")))
}
