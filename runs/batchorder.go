package runs

import (
	"errors"
	"fmt"

	"lockstep"
	"lockstep/keeper"
	"lockstep/store"
)

// awaited is the Secret of the Batch whose Run has to end before the given one's
// begins: its admin, unless that is over, or not in the Batch. Of Secrets that
// manage each other one goes first.
func (g *gate) awaited(b *store.Batch, s *lockstep.Secret) (lockstep.SecretID, error) {
	if s.AdminRef == "" || !s.RotationEnabled() {
		return 0, nil
	}
	admin, err := keeper.FindAdmin(g.tx, s, s.AdminRef)
	if errors.Is(err, lockstep.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find admin secret: %w", err)
	}
	item, err := g.tx.BatchItem(b.ID, admin.ID)
	if errors.Is(err, lockstep.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	over, err := g.over(item)
	if err != nil || over {
		return 0, err
	}
	if item.State == store.ItemStarted {
		return admin.ID, nil
	}
	circular, err := g.managedBy(admin, s)
	if err != nil || circular {
		return 0, err
	}
	return admin.ID, nil
}

// managedBy tells whether a Secret is managed by another, over however many.
func (g *gate) managedBy(s, by *lockstep.Secret) (bool, error) {
	for range maxUpstream {
		if s.AdminRef == "" {
			return false, nil
		}
		admin, err := keeper.FindAdmin(g.tx, s, s.AdminRef)
		if errors.Is(err, lockstep.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("find admin secret: %w", err)
		}
		if admin.ID == by.ID {
			return true, nil
		}
		s = admin
	}
	return true, nil
}

// over tells whether nothing about an item is still to come or under way.
func (g *gate) over(i store.BatchItem) (bool, error) {
	switch i.State {
	case store.ItemPending, store.ItemWaiting:
		return false, nil
	case store.ItemStarted:
		run, err := g.tx.Run(i.Run)
		if errors.Is(err, lockstep.ErrNotFound) {
			return true, nil
		}
		return err == nil && run.State.Final(), err
	}
	return true, nil
}
