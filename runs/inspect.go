package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep"
	"lockstep/store"
)

// inspectionKept is how long an Inspection can be read.
const inspectionKept = 7 * 24 * time.Hour

// lookPatience is how long a worker has for a Look before another is asked, and
// lookTries how often: then the Look stays unseen.
const (
	lookPatience = 2 * time.Minute
	lookTries    = 5
)

// shareOfLooks is which part of each of the governor's limits Looks may take, so
// that Runs go on beside an Inspection.
const shareOfLooks = 4

// Inspect starts to look at the targets of an owner's Secrets; workers do it. One
// that is under way already is given back instead.
func (s *Service) Inspect(ctx context.Context, owner store.Owner, by string) (*store.Inspection, error) {
	id, err := lockstep.NewID("inspection")
	if err != nil {
		return nil, err
	}
	var out *store.Inspection
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if err := s.gate(tx).lock(); err != nil { // two that ask at once get the same
			return err
		}
		out, err = tx.ActiveInspection(owner)
		if !errors.Is(err, lockstep.ErrNotFound) {
			return err
		}
		out = &store.Inspection{ID: id, Owner: owner, By: by, Active: true, Created: tx.Now()}
		if err := tx.DeleteInspectionsBefore(out.Created.Add(-inspectionKept)); err != nil {
			return err
		}
		return tx.InsertInspection(out)
	})
	return out, err
}

// Inspection reads one. Errors: a Refusal of kind ErrNotFound.
func (s *Service) Inspection(ctx context.Context, owner store.Owner, id string) (*store.Inspection, error) {
	var out *store.Inspection
	err := s.store.View(ctx, func(tx store.ReadTx) (err error) {
		out, err = ownInspection(tx, owner, id)
		return err
	})
	return out, err
}

func ownInspection(tx store.ReadTx, owner store.Owner, id string) (*store.Inspection, error) {
	i, err := tx.Inspection(id)
	if errors.Is(err, lockstep.ErrNotFound) || (err == nil && i.Owner != owner) {
		return nil, lockstep.Refuse(lockstep.ErrNotFound, "There is no inspection %s; they are kept for seven days.", id)
	}
	return i, err
}

// Findings lists up to limit Looks of an Inspection that are broken or unseen,
// above a Secret's number. Errors: a Refusal of kind ErrNotFound.
func (s *Service) Findings(ctx context.Context, owner store.Owner, id string, after lockstep.SecretID, limit int) ([]store.Look, error) {
	var out []store.Look
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		if _, err := ownInspection(tx, owner, id); err != nil {
			return err
		}
		var err error
		out, err = tx.LooksFound(id, after, limit)
		return err
	})
	return out, err
}

// advanceInspection does the next thing about the oldest Inspection that is under
// way, for up to limit Secrets. It returns limit as long as there is more to do
// at once; an answer wakes the scheduler.
func (s *Service) advanceInspection(ctx context.Context, limit int) (int, error) {
	more := 0
	err := s.store.Update(ctx, func(tx store.Tx) error {
		more = 0
		g := s.gate(tx)
		if err := g.lock(); err != nil {
			return err
		}
		i, err := tx.WorkingInspection()
		if errors.Is(err, lockstep.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the next inspection: %w", err)
		}
		if ended, err := tx.EndInspection(i); ended || err != nil {
			return err
		}
		if !i.Expanded {
			more = limit
			if err := tx.ExpandInspection(i, limit); err != nil {
				return err
			}
		}
		if err := g.askLost(limit); err != nil {
			return err
		}
		return g.askLooks(i, limit)
	})
	return more, err
}

// askLooks gives Looks to workers, as far as the limits allow.
func (g *gate) askLooks(i *store.Inspection, limit int) error {
	t, err := g.count()
	if err != nil {
		return err
	}
	room := min(limit, t.limits.Total/shareOfLooks+1-t.looks, t.limits.Total-t.total)
	if room <= 0 {
		return nil
	}
	waiting, err := g.tx.WaitingLooks(i.ID, t.fullOfLooks(), room)
	if err != nil {
		return fmt.Errorf("read looks that wait: %w", err)
	}
	for _, l := range waiting {
		if t.noLook(l) {
			continue // its target was filled by one before it
		}
		if err := g.askLook(l); err != nil {
			return err
		}
		t.add(l.Rotator, l.Target, 1)
		t.addLooks(l.Rotator, l.Target, 1)
	}
	return nil
}

// askLost asks again for Looks that nobody has answered: their Job is gone, or
// who had it is.
func (g *gate) askLost(limit int) error {
	lost, err := g.tx.LostLooks(g.tx.Now().Add(-lookPatience), limit)
	if err != nil {
		return err
	}
	for _, l := range lost {
		if l.Tries < lookTries {
			err = g.askLook(l)
		} else {
			l.Verdict = store.LookUnseen
			l.Found = []store.Violation{{Rule: RuleUnseen, ARN: l.ARN, Detail: "no worker answered"}}
			err = g.tx.AnswerLook(l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *gate) askLook(l store.Look) error {
	if err := g.tx.AskLook(l); err != nil {
		return err
	}
	return g.tx.AddJob(&store.Job{
		Kind: store.JobLook, Secret: l.Secret, Account: l.Account, Region: l.Region, Name: l.Name, Plan: l.Inspection, Seq: l.Tries,
	})
}

// addLooks counts Looks, which are among the places that are taken.
func (t *tally) addLooks(rotator string, target lockstep.TargetKey, n int) {
	t.looks += n
	t.looksByRotator[rotator] += n
	if target != "" {
		t.looksByTarget[target] += n
	}
}

// lookLimit is how many Looks a limit of the governor allows; at least one.
func lookLimit(limit int) int { return limit/shareOfLooks + 1 }

// noLook tells whether there is no place for a Look now.
func (t *tally) noLook(l store.Look) bool {
	atTarget := l.Target != "" && t.looksByTarget[l.Target] >= lookLimit(t.limits.PerTarget)
	ofRotator := t.limits.PerRotator > 0 && t.looksByRotator[l.Rotator] >= lookLimit(t.limits.PerRotator)
	return atTarget || ofRotator || t.full(store.Place{Rotator: l.Rotator, Target: l.Target}) != ""
}

// fullOfLooks is what has no place left for a Look.
func (t *tally) fullOfLooks() store.FullList {
	out := t.fullList()
	for target, n := range t.looksByTarget {
		if n >= lookLimit(t.limits.PerTarget) {
			out.Targets = append(out.Targets, target)
		}
	}
	for rotator, n := range t.looksByRotator {
		if t.limits.PerRotator > 0 && n >= lookLimit(t.limits.PerRotator) {
			out.Rotators = append(out.Rotators, rotator)
		}
	}
	return out
}
