package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// WAIT of ROTATION-PROTOCOL.md section 2 has two halves for a Secret whose
// changes an admin Secret makes: no set begins while the admin's own Run is at
// the target, or waits to be; and the admin's Run waits until every Run that uses
// its credential is over. A use is noted on the Run's place. Should a user all the
// same meet a refused admin login, since a person changed it, it asks
// [Claim.AdminBusy] and tries again with the new value.

// waitsForUses is why an admin's Run waits; new uses queue behind it.
const waitsForUses = "waits until the runs that use this admin credential are over"

// waitForUses says that an admin's Run must not begin now. An emergency does.
func waitForUses(tx store.ReadTx, b *ledger.Book, run *lockstep.Run) (*Waiting, error) {
	if run.Trigger == lockstep.TriggerEmergency {
		return nil, nil
	}
	used, err := tx.AdminUsed(b.Secret.ID)
	if err != nil || !used {
		return nil, err
	}
	return &Waiting{Reason: waitsForUses, Until: b.Now.Add(adminAgain)}, nil
}

// adminAgain is how soon a Run that waits for its admin's Run looks again: one
// that goes forward is over in a moment, one that rolls back may take hours.
const adminAgain = 5 * time.Second

// waitForAdmin says that a set must not begin now.
func waitForAdmin(tx store.ReadTx, now time.Time, admin lockstep.SecretID) (*Waiting, error) {
	if admin == 0 {
		return nil, nil
	}
	run, err := tx.OpenRun(admin)
	if errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the admin secret's run: %w", err)
	}
	if !run.State.TargetTouched() && run.Reason != waitsForUses {
		return nil, nil
	}
	again := adminAgain
	if run.State == lockstep.RunUndo {
		again = waitAgain
	}
	return &Waiting{Reason: fmt.Sprintf("the admin secret is being rotated by run %s", run.ID), Until: now.Add(again)}, nil
}

// AdminBusy tells whether the admin Secret's own Run is at the target now.
func (c *Claim) AdminBusy(ctx context.Context, admin lockstep.SecretID) (bool, error) {
	var wait *Waiting
	err := c.service.store.View(ctx, func(tx store.ReadTx) (err error) {
		wait, err = waitForAdmin(tx, tx.Now(), admin)
		return err
	})
	return wait != nil, err
}
