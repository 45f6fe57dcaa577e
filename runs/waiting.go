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

// waiter is a Run that waits, with its Secret locked.
type waiter struct {
	book *ledger.Book
	run  *lockstep.Run
	wait store.Wait
}

// admitWaiting gives free places to Runs that wait, in their order, and looks
// again at those that a Hold kept back which has changed or ended. It returns
// how many it dealt with, at most limit of each.
func (s *Service) admitWaiting(ctx context.Context, limit int) (int, error) {
	n := 0
	err := s.store.Update(ctx, func(tx store.Tx) error {
		n = 0
		g := s.gate(tx)
		if err := g.lock(); err != nil {
			return err
		}
		thawed, err := g.thaw(limit)
		if err != nil {
			return err
		}
		admitted, err := g.fill(limit)
		n = max(thawed, admitted)
		return err
	})
	return n, err
}

// thaw looks again at Runs that were kept back.
func (g *gate) thaw(limit int) (int, error) {
	held, err := g.tx.HeldWaits(g.generation, limit)
	if err != nil {
		return 0, fmt.Errorf("read runs that are held: %w", err)
	}
	for _, w := range held {
		if err := g.look(w, g.free); err != nil {
			return 0, err
		}
	}
	return len(held), nil
}

// free puts a Run that nothing keeps back any more among those that wait for a
// place.
func (g *gate) free(v *waiter) error {
	v.wait.Held, v.wait.Until = 0, time.Time{}
	v.run.Reason = "waits for a place"
	if err := g.tx.SaveWait(v.wait); err != nil {
		return fmt.Errorf("let the run wait: %w", err)
	}
	return g.tx.SaveRun(v.run, nil)
}

// fill gives free places away.
func (g *gate) fill(limit int) (int, error) {
	t, err := g.count()
	if err != nil {
		return 0, err
	}
	given := 0
	for given < limit && t.total < t.limits.Total {
		list, err := g.tx.NextWaits(t.fullList(), min(limit-given, t.limits.Total-t.total))
		if err != nil {
			return given, fmt.Errorf("read runs that wait: %w", err)
		}
		if len(list) == 0 {
			break
		}
		for _, w := range list {
			if t.full(w.Place) != "" {
				continue // its target was filled by one before it
			}
			if err := g.look(w, g.letGo); err != nil {
				return given, err
			}
			given++
		}
	}
	return given, nil
}

// letGo gives the Run its place.
func (g *gate) letGo(v *waiter) error {
	if err := g.tx.LeaveWait(v.run.ID); err != nil {
		return fmt.Errorf("let the run go: %w", err)
	}
	v.run.Reason, v.run.RetryAt = "", time.Time{}
	if err := g.admit(v.book, v.run, v.wait.Place); err != nil {
		return err
	}
	return g.tx.SaveRun(v.run, nil)
}

// look locks the Secret of a Run that waits, forgets one that is over, keeps back
// one that a Hold covers, and gives the others to fn.
func (g *gate) look(w store.Wait, fn func(*waiter) error) error {
	run, secret, err := openRunOf(g.tx, w.Run)
	if errors.Is(err, ErrEnded) {
		return g.tx.LeaveWait(w.Run)
	}
	if err != nil {
		return err
	}
	b, _, err := g.service.open(g.tx, secret)
	if err != nil {
		return err
	}
	w.Target, w.Rotator = secret.Target, rotationOf(secret).Rotator
	h, err := g.holdNow(b, run)
	if err != nil {
		return err
	}
	if h == nil {
		err = fn(&waiter{book: b, run: run, wait: w})
	} else if err = g.keepBack(b, run, w, h); err == nil {
		err = g.tx.SaveRun(run, nil)
	}
	if err != nil {
		return err
	}
	return b.Close()
}

// regain gives a Run that was put aside its place back when it is claimed again;
// otherwise it waits for one, without a Job, and the answer says so.
func (s *Service) regain(tx store.Tx, p *parking) (*Waiting, error) {
	run := p.run
	if run.Stop != lockstep.StopNone || run.State.TargetTouched() || run.Reason == "" {
		return nil, nil
	}
	has, err := tx.HasPlace(run.ID)
	if has || err != nil {
		return nil, err
	}
	g := s.gate(tx)
	place := placeOf(p.book.Secret, run)
	h, err := g.holdNow(p.book, run)
	if err != nil {
		return nil, err
	}
	why, err := g.noPlace(place)
	if err != nil {
		return nil, err
	}
	if h == nil && why == "" {
		if err := tx.LeaveWait(run.ID); err != nil {
			return nil, err
		}
		return nil, tx.TakePlace(place)
	}
	if err := g.enter(p.book, run); err != nil {
		return nil, err
	}
	if err := tx.SaveRun(run, &p.lease); err != nil {
		return nil, fmt.Errorf("save run: %w", err)
	}
	if err := tx.ReleaseSlot(p.lease); err != nil {
		return nil, fmt.Errorf("release slot: %w", err)
	}
	return &Waiting{Reason: run.Reason}, p.book.Close()
}
