package runs

import (
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/schedule"
)

// ageLimit is when a Secret's credential gets too old; zero if it may get any
// age. One that was never rotated is as old as its Secret.
func ageLimit(s *lockstep.Secret) time.Time {
	if s.Rotation == nil || s.Rotation.Schedule.MaxAge <= 0 {
		return time.Time{}
	}
	from := s.LastRotated
	if from.IsZero() {
		from = s.Created
	}
	return from.Add(s.Rotation.Schedule.MaxAge)
}

// situation is what the schedule decides about: the fire in question, and what
// bounds it. Rotated is when the credential was made that must not get too old;
// zero for the present one.
func (g *gate) situation(b *ledger.Book, fire, rotated time.Time) (schedule.Situation, error) {
	r := b.Secret.Rotation
	q := schedule.Situation{
		Fire: fire, Now: b.Now, CatchUp: schedule.CatchUp(r.Schedule.CatchUp), Deadline: ageLimit(b.Secret), Margin: ledger.AgeMargin(r),
	}
	if !rotated.IsZero() && r.Schedule.MaxAge > 0 {
		q.Deadline = rotated.Add(r.Schedule.MaxAge)
	}
	var err error
	q.Calendar, err = g.calendar(b.Secret)
	return q, err
}

// next plans the date after now: the next fire, or earlier if the credential
// that there will be since rotated would get too old before it. A freeze that is
// known already is not waited for but gone before.
func (g *gate) next(b *ledger.Book, sched *schedule.Schedule, rotated time.Time) (time.Time, error) {
	fire := sched.Next(b.Now)
	if b.Secret.Rotation.Schedule.MaxAge <= 0 {
		return fire, nil
	}
	q, err := g.situation(b, fire, rotated)
	if err != nil {
		return fire, err
	}
	if due := sched.Due(q); !due.At.IsZero() {
		return due.At, nil
	}
	return fire, nil
}
