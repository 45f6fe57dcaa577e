package workers

import (
	"context"
	"fmt"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/rotators"
	"lockstep/store"
)

// plan answers a dry run. It changes nothing and takes no slot.
func (p *Pool) plan(ctx context.Context, id lockstep.SecretID, plan string) error {
	answer, err := p.makePlan(ctx, id)
	return p.cfg.Engine.AnswerPlan(ctx, plan, func(row *store.Plan) {
		row.Actions = answer.Actions
		for _, problem := range answer.Problems {
			row.Problems = append(row.Problems, store.PlanProblem{Step: problem.Step, Problem: problem.Problem, Hint: problem.Hint})
		}
		if err != nil {
			row.Error = err.Error()
		}
	})
}

func (p *Pool) makePlan(ctx context.Context, id lockstep.SecretID) (rotators.Plan, error) {
	values, err := p.cfg.Vault.EngineValues(ctx, id, "")
	if err != nil {
		return rotators.Plan{}, fmt.Errorf("open values: %w", err)
	}
	if values.NoAdmin == nil && values.Secret.Rotation != nil && values.Secret.Rotation.Custom {
		return p.planFunction(ctx, values)
	}
	rotator, request, err := p.subjectOf(ctx, values, "has no dry run")
	if err != nil {
		return rotators.Plan{}, err
	}
	planner, ok := rotator.(rotators.Planner)
	if !ok {
		return rotators.Plan{}, fmt.Errorf("this rotator has no dry run: %w", lockstep.ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.CallTimeout)
	defer cancel()
	return planner.Plan(ctx, request)
}

// subject is what a question about a Secret's target needs; lacks says what a
// custom rotator cannot do.
func (p *Pool) subject(ctx context.Context, id lockstep.SecretID, lacks string) (rotators.Rotator, *rotators.Request, error) {
	values, err := p.cfg.Vault.EngineValues(ctx, id, "")
	if err != nil {
		return nil, nil, fmt.Errorf("open values: %w", err)
	}
	return p.subjectOf(ctx, values, lacks)
}

func (p *Pool) subjectOf(ctx context.Context, values keeper.EngineValues, lacks string) (rotators.Rotator, *rotators.Request, error) {
	if values.NoAdmin != nil {
		return nil, nil, values.NoAdmin
	}
	rotation := values.Secret.Rotation
	if rotation == nil {
		return nil, nil, fmt.Errorf("secret has no rotation: %w", lockstep.ErrState)
	}
	if rotation.Custom {
		return nil, nil, fmt.Errorf("rotator %s is a custom one, which %s: %w", rotation.Rotator, lacks, lockstep.ErrInvalid)
	}
	rotator, err := p.rotatorOf(ctx, values.Secret)
	if err != nil {
		return nil, nil, err
	}
	return rotator, &rotators.Request{
		ARN: values.Secret.ARN, Name: values.Secret.Name, Since: values.Secret.LastRotated,
		Current: values.Current, Live: values.Live, Admin: values.Admin, Passwords: passwordsOf(values.Secret),
	}, nil
}

// sessions answers who uses a Secret's credentials. It changes nothing and takes
// no slot.
func (p *Pool) sessions(ctx context.Context, id lockstep.SecretID, plan string) error {
	found, err := p.findSessions(ctx, id)
	return p.cfg.Engine.AnswerPlan(ctx, plan, func(row *store.Plan) {
		row.Sessions = found
		if err != nil {
			row.Error = err.Error()
			if hint := lockstep.AsTargetError(err).Hint; hint != "" {
				row.Error += " (" + hint + ")"
			}
		}
	})
}

func (p *Pool) findSessions(ctx context.Context, id lockstep.SecretID) ([]store.PlanSession, error) {
	rotator, request, err := p.subject(ctx, id, "has no witness")
	if err != nil {
		return nil, err
	}
	witness, tells := rotator.(rotators.Witness)
	chooser, chooses := rotator.(rotators.Chooser)
	if !tells || !chooses {
		return nil, fmt.Errorf("this rotator's target does not tell who uses a credential: %w", lockstep.ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.CallTimeout)
	defer cancel()
	// A value that is made and thrown away stands for each older one: it is of
	// the account that AWSCURRENT left, or of its own with another password.
	other, err := chooser.Create(ctx, request)
	if err != nil {
		return nil, err
	}
	var out []store.PlanSession
	for _, one := range []struct {
		value lockstep.Value
		old   bool
	}{{other, true}, {request.Current, false}} {
		list, err := witness.Sessions(ctx, request, one.value)
		if err != nil {
			return nil, err
		}
		user := ""
		if id, ok := rotator.(rotators.Identifier); ok {
			if a, err := id.Account(one.value); err == nil {
				user = a.User
			}
		}
		for _, s := range list {
			out = append(out, store.PlanSession{
				Old: one.old, User: user, Address: s.Address, Application: s.Application,
				Since: sinceOf(s), Count: s.Count, Certain: s.Certain,
			})
		}
	}
	return out, nil
}

func sinceOf(s rotators.Session) *time.Time {
	if s.Since.IsZero() {
		return nil
	}
	at := s.Since.UTC().Truncate(time.Second)
	return &at
}
