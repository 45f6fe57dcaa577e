package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// WAIT of ROTATION-PROTOCOL.md section 2 has two halves for a Secret whose
// changes an admin Secret makes. The first is here: no set begins while the
// admin's own Run is at the target. The second, an admin's Run that waits for
// its users, is not needed: a user whose admin login was refused meanwhile
// asks [Claim.AdminBusy], takes the refusal for a passing one, and tries again
// with the admin's new value.

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
	if !run.State.TargetTouched() {
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
