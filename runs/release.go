package runs

import (
	"context"
	"fmt"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/store"
)

// Release lets an old credential go.
type Release struct {
	// Version is the one to let go; empty for every one that waits.
	Version lockstep.VersionID
	// Override lets go what its policy would still keep: a delay that has not
	// passed, or an idle credential that the next Run would replace. Without
	// it, only what waits for a person, or for another try, is let go.
	Override bool
	// By names the person in the Event.
	By string
}

// Released is what a Release came to.
type Released struct {
	Secret *lockstep.Secret
	// Versions are those that are removed at the target as soon as a worker
	// comes to it.
	Versions []lockstep.VersionID
}

// ReleaseRetirement starts retirements that wait. Each leaves an Event that
// names who said so.
// Errors: Refusals of kind ErrNotFound, ErrState (rotation is off, or nothing
// waits that may be let go without an override).
func (s *Service) ReleaseRetirement(ctx context.Context, ref keeper.Ref, in Release) (Released, error) {
	var out Released
	err := s.store.Update(ctx, func(tx store.Tx) error {
		secret, err := keeper.LockLive(tx, ref)
		if err != nil {
			return err
		}
		out = Released{Secret: secret}
		if !secret.RotationEnabled() {
			return lockstep.Refuse(lockstep.ErrState, "Rotation of secret %s is off: nothing acts on its target.", secret.Name)
		}
		b, _, err := s.open(tx, secret)
		if err != nil {
			return err
		}
		if out.Versions, err = releaseAll(tx, b, in); err != nil {
			return err
		}
		if err := b.AskNextRetirement(); err != nil {
			return err
		}
		secret.Touch(b.Now)
		return b.Close()
	})
	return out, err
}

func releaseAll(tx store.Tx, b *ledger.Book, in Release) ([]lockstep.VersionID, error) {
	live, err := tx.LiveVersions(b.Secret.ID)
	if err != nil {
		return nil, fmt.Errorf("read live versions: %w", err)
	}
	var released []lockstep.VersionID
	var kept error
	for _, v := range live {
		if in.Version != "" && v.ID != in.Version {
			continue
		}
		why, waits := mayRelease(b, v, in)
		if waits != nil {
			kept = waits
		}
		if why == "" {
			continue
		}
		if err := release(tx, b, v, why); err != nil {
			return nil, err
		}
		released = append(released, v.ID)
	}
	switch {
	case len(released) > 0:
		return released, nil
	case kept != nil:
		return nil, kept
	}
	return nil, lockstep.Refuse(lockstep.ErrState, "No old credential of secret %s waits to be retired.", b.Secret.Name)
}

// mayRelease gives the reason for which a Version is let go; empty if it is not,
// and then what keeps it, if an override would help.
func mayRelease(b *ledger.Book, v *lockstep.Version, in Release) (why string, kept error) {
	switch {
	case v.Retirement == lockstep.RetirementIdle && in.Override:
		return "override by " + in.By + " of the policy next-run", nil
	case v.Retirement == lockstep.RetirementIdle:
		return "", lockstep.Refuse(lockstep.ErrState,
			"Version %s lives until the next rotation takes its place. To remove it now, override the policy (--override).", v.ID)
	case !v.Retirement.Blocks():
		return "", nil
	case ledger.WaitsForAPerson(v), !v.RetireAt.After(b.Now):
		return "released by " + in.By, nil
	case in.Override:
		return fmt.Sprintf("override by %s of the delay until %s", in.By, v.RetireAt.Format(time.RFC3339)), nil
	}
	return "", lockstep.Refuse(lockstep.ErrState,
		"Version %s is kept until %s by the policy delay. To remove it now, override the policy (--override).", v.ID, v.RetireAt.Format(time.RFC3339))
}

// release makes a retirement due now. One that a worker has begun is only tried
// again.
func release(tx store.Tx, b *ledger.Book, v *lockstep.Version, why string) error {
	if v.Retirement == lockstep.RetirementIdle {
		v.Retirement = lockstep.RetirementDue
	}
	v.RetireAt, v.RetireRetryAt = b.Now, time.Time{}
	if err := tx.SaveVersion(v); err != nil {
		return fmt.Errorf("save version: %w", err)
	}
	return b.Emit(lockstep.EventRetireReleased, lockstep.EventData{VersionID: v.ID, Reason: why})
}
