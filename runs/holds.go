package runs

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"time"

	"lockstep"
	"lockstep/store"
)

// maxHolds bounds the Holds of an owner: all are read with each batch of Runs.
const maxHolds = 200

var holdName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._=@-]{0,127}$`)

// Holds lists the freezes and pauses of an owner, by name.
func (s *Service) Holds(ctx context.Context, owner store.Owner) ([]*lockstep.Hold, error) {
	var out []*lockstep.Hold
	err := s.store.View(ctx, func(tx store.ReadTx) (err error) {
		out, err = tx.Holds(owner)
		return err
	})
	return out, err
}

// SetHold stores a freeze or a pause; one of the same name is replaced. Runs
// that are under way go on; those that have not begun wait.
// Errors: Refusals of kind ErrInvalid (with an example that works), ErrLimit.
func (s *Service) SetHold(ctx context.Context, h lockstep.Hold) (*lockstep.Hold, error) {
	owner := store.Owner{Account: h.Account, Region: h.Region}
	err := s.store.Update(ctx, func(tx store.Tx) error {
		h.Created = tx.Now()
		if err := checkHold(&h); err != nil {
			return err
		}
		if err := s.checkAges(tx, &h); err != nil {
			return err
		}
		known, err := tx.Holds(owner)
		if err != nil {
			return err
		}
		if len(known) >= maxHolds {
			return lockstep.Refuse(lockstep.ErrLimit, "There are %d freezes and pauses already; remove one first.", len(known))
		}
		return tx.SaveHold(&h)
	})
	return &h, err
}

// RemoveHold ends a freeze or a pause: what waited for it goes on. Errors: a
// Refusal of kind ErrNotFound.
func (s *Service) RemoveHold(ctx context.Context, owner store.Owner, name string) error {
	err := s.store.Update(ctx, func(tx store.Tx) error { return tx.DeleteHold(owner, name) })
	if errors.Is(err, lockstep.ErrNotFound) {
		return lockstep.Refuse(lockstep.ErrNotFound, "There is no freeze or pause %q.", name)
	}
	return err
}

// EndRestores ends the pause after a restore for each owner of whom every Secret
// was seen to log in since, and returns them.
func (s *Service) EndRestores(ctx context.Context) ([]store.Owner, error) {
	var done []store.Owner
	look := func(tx store.ReadTx) (err error) {
		done, err = tx.RestoresVerified()
		return err
	}
	if err := s.store.View(ctx, look); err != nil || len(done) == 0 {
		return nil, err
	}
	err := s.store.Update(ctx, func(tx store.Tx) error {
		if err := look(tx); err != nil {
			return err
		}
		for _, o := range done {
			if err := tx.DeleteHold(o, lockstep.HoldRestored); err != nil {
				return fmt.Errorf("end the pause of a restore: %w", err)
			}
		}
		return nil
	})
	return done, err
}

func checkHold(h *lockstep.Hold) error {
	refuse := func(problem, example string) error {
		return lockstep.Refuse(lockstep.ErrInvalid, "The %s %q can't be set: %s; an example that works: %s.", h.Kind, h.Name, problem, example)
	}
	_, badMatch := path.Match(h.Match, "")
	once := !h.From.IsZero() || !h.To.IsZero()
	switch {
	case h.Kind != lockstep.HoldFreeze && h.Kind != lockstep.HoldPause:
		return refuse("its kind must be freeze or pause", "freeze")
	case !holdName.MatchString(h.Name):
		return refuse("its name must be 1 to 128 letters, digits and . _ = @ -", "year-end")
	case h.Match != "" && h.Tag != lockstep.Tag{}:
		return refuse("it selects by name or by tag, not both", "prod/*")
	case badMatch != nil:
		return refuse("its pattern is malformed", "prod/*")
	case h.Tag.Key == "" && h.Tag.Value != "":
		return refuse("its tag has no key", "env=prod")
	case h.Kind == lockstep.HoldPause && (once || h.Recurring.Expression != ""):
		return refuse("a pause lasts until it is resumed", "freeze --from 2026-12-20T00:00:00Z --to 2027-01-04T00:00:00Z")
	case h.Kind == lockstep.HoldFreeze && !once && h.Recurring.Expression == "":
		return refuse("it says neither when nor how often", "--from 2026-12-20T00:00:00Z --to 2027-01-04T00:00:00Z")
	case !h.To.IsZero() && !h.To.After(h.Created):
		return refuse("it is over already", "--to "+h.Created.Add(24*time.Hour).Format(time.RFC3339))
	}
	if _, err := calendarOf([]*lockstep.Hold{h}); err != nil {
		return lockstep.Refuse(lockstep.ErrInvalid, "The %s %q can't be set: %s.", h.Kind, h.Name, err)
	}
	return nil
}

// agePage is how many Secrets with a maximum age are looked at in one read.
const agePage = 500

// checkAges refuses a freeze that never ends over a Secret whose credential may
// not get old.
func (s *Service) checkAges(tx store.Tx, h *lockstep.Hold) error {
	if h.Kind != lockstep.HoldFreeze || !h.To.IsZero() || h.Recurring.Expression != "" {
		return nil
	}
	owner := store.Owner{Account: h.Account, Region: h.Region}
	g := s.gate(tx)
	g.held[owner] = []*lockstep.Hold{h}
	after := lockstep.SecretID(0)
	for {
		page, err := tx.HasMaxAge(owner, after, agePage)
		if err != nil {
			return fmt.Errorf("read secrets with a maximum age: %w", err)
		}
		for _, secret := range page {
			if err := g.checkAge(secret, h.Created); err != nil {
				return err
			}
			after = secret.ID
		}
		if len(page) < agePage {
			return nil
		}
	}
}
