package runs

import (
	"context"
	"fmt"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/schedule"
	"lockstep/store"
)

// Fire is one date of a preview.
type Fire struct {
	At time.Time
	// Until is the end of the window that it stands in; zero if none bounds it.
	Until time.Time
	// Why is "regular", or the rule that moved it: a freeze ("frozen"), the
	// maximum age ("deadline").
	Why string
}

// Preview is what a schedule comes to.
type Preview struct {
	// Zone is the name of the zone in which a person wants to see the fires.
	Zone  string
	Fires []Fire
}

// PreviewExpression gives the next n fires of a schedule that no Secret has.
// Errors: a Refusal of kind ErrInvalid, with an example that works.
func (s *Service) PreviewExpression(ctx context.Context, in lockstep.Schedule, n int) (Preview, error) {
	var out Preview
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = Preview{}
		if in.Anchor.IsZero() {
			in.Anchor = tx.Now()
		}
		sched, err := ledger.ParseSchedule(in, "", s.minInterval)
		if err != nil {
			return lockstep.Refuse(lockstep.ErrInvalid, "The schedule can't be used: %s.", err)
		}
		out.Zone = sched.Location().String()
		for _, at := range sched.Preview(tx.Now(), n) {
			_, end := sched.Window(at)
			out.Fires = append(out.Fires, Fire{At: at, Until: end, Why: string(schedule.Regular)})
		}
		return nil
	})
	return out, err
}

// Preview gives the next n dates at which a Secret will rotate, as far as its
// schedule, its maximum age and the freezes that are known now tell.
// Errors: Refusals of kind ErrNotFound, ErrState (it has no schedule).
func (s *Service) Preview(ctx context.Context, ref keeper.Ref, n int) (Preview, error) {
	var out Preview
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		out = Preview{}
		secret, err := keeper.Find(tx, ref)
		if err != nil {
			return err
		}
		if !secret.RotationEnabled() || secret.Rotation.Schedule.IsZero() {
			return lockstep.Refuse(lockstep.ErrState, "Secret %s has no schedule; `lockstep schedule set` sets one.", secret.Name)
		}
		f, err := s.forecast(tx, secret)
		if err != nil {
			return err
		}
		out.Zone = f.sched.Location().String()
		for len(out.Fires) < n {
			fire := f.step()
			if fire.At.IsZero() {
				break
			}
			out.Fires = append(out.Fires, fire)
		}
		return nil
	})
	return out, err
}

// forecast walks through the dates of one Secret.
type forecast struct {
	sched *schedule.Schedule
	q     schedule.Situation
	age   time.Duration
}

func (s *Service) forecast(tx store.ReadTx, secret *lockstep.Secret) (*forecast, error) {
	sched, err := ledger.ParseStored(secret)
	if err != nil {
		return nil, err
	}
	holds, err := tx.Holds(store.Owner{Account: secret.Account, Region: secret.Region})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return newForecast(secret, sched, holds, tx.Now())
}

func newForecast(secret *lockstep.Secret, sched *schedule.Schedule, holds []*lockstep.Hold, now time.Time) (*forecast, error) {
	var mine []*lockstep.Hold
	for _, h := range holds {
		if h.Covers(secret) {
			mine = append(mine, h)
		}
	}
	r := secret.Rotation
	f := &forecast{sched: sched, age: r.Schedule.MaxAge, q: schedule.Situation{
		Fire: secret.NextRotation, Now: now, CatchUp: schedule.CatchUp(r.Schedule.CatchUp),
		Deadline: ageLimit(secret), Margin: ledger.AgeMargin(r),
	}}
	var err error
	if len(mine) > 0 {
		f.q.Calendar, err = calendarOf(mine)
	}
	return f, err
}

// step is the next date; zero if there is none.
func (f *forecast) step() Fire {
	due := f.sched.Due(f.q)
	if due.At.IsZero() {
		return Fire{}
	}
	fire := Fire{At: due.At, Until: due.Until, Why: string(due.Why)}
	if due.Why == schedule.Regular && due.At.After(f.q.Fire) && due.At.After(f.q.Now) || due.Why == schedule.CaughtUp && due.At.After(f.q.Now) {
		fire.Why = "frozen"
	}
	f.q.Now = due.At
	f.q.Fire = f.sched.Next(due.At)
	if f.age > 0 {
		f.q.Deadline = due.At.Add(f.age)
	}
	return fire
}

// The bounds of a load forecast: how far it looks, how many dates of one Secret
// it counts, and how many Secrets it reads at a time.
const (
	MaxLoadDays  = 31
	maxLoadFires = 5000
	loadPage     = 500
)

// Load is how many Runs come in each hour from a full hour on.
type Load struct {
	From time.Time
	// Hours has one number for each hour.
	Hours []int
	// Secrets is how many have a schedule.
	Secrets int
}

// Load counts the Runs of an owner's Secrets in the coming days, 1 to
// MaxLoadDays. It reads every Secret once, a page at a time.
func (s *Service) Load(ctx context.Context, owner store.Owner, days int) (Load, error) {
	var out Load
	q := store.SecretQuery{Owner: owner, Limit: loadPage}
	for {
		var page []*lockstep.Secret
		err := s.store.View(ctx, func(tx store.ReadTx) (err error) {
			if out.Hours == nil {
				out.From = tx.Now().Truncate(time.Hour)
				out.Hours = make([]int, 24*days)
			}
			if page, err = tx.ListSecrets(q); err != nil {
				return fmt.Errorf("list secrets: %w", err)
			}
			return nil
		})
		if err != nil {
			return out, err
		}
		holds, err := s.Holds(ctx, owner)
		if err != nil {
			return out, err
		}
		for _, secret := range page {
			out.add(secret, holds)
		}
		if len(page) < loadPage {
			return out, nil
		}
		q.After = page[len(page)-1]
	}
}

// add counts the dates of one Secret. What cannot be read counts for nothing.
func (l *Load) add(secret *lockstep.Secret, holds []*lockstep.Hold) {
	if !secret.RotationEnabled() || secret.NextRotation.IsZero() || secret.Rotation.Schedule.IsZero() {
		return
	}
	sched, err := ledger.ParseStored(secret)
	if err != nil {
		return
	}
	f, err := newForecast(secret, sched, holds, l.From)
	if err != nil {
		return
	}
	l.Secrets++
	end := l.From.Add(time.Duration(len(l.Hours)) * time.Hour)
	for range maxLoadFires {
		fire := f.step()
		if fire.At.IsZero() || !fire.At.Before(end) {
			return
		}
		l.Hours[int(fire.At.Sub(l.From)/time.Hour)]++
	}
}
