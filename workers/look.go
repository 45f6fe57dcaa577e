package workers

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/bus"
	"lockstep/rotators"
	"lockstep/runs"
	"lockstep/store"
)

const (
	// maxRetiredLogins bounds the refused logins that one Look makes: targets
	// count them.
	maxRetiredLogins = 20
	// lookAgain is how often a Look is made anew because somebody acted at the
	// target meanwhile.
	lookAgain = 3
)

// look sees whether the target accepts what it should and refuses what it should.
// It changes nothing and takes no slot: that nobody acted at the target meanwhile
// is seen by the Scene before and after, which names the last claim.
func (p *Pool) look(ctx context.Context, job bus.JobMessage) error {
	l := store.Look{Inspection: job.Plan, Secret: job.SecretID}
	before, err := p.cfg.Engine.Scene(ctx, job.Plan, job.SecretID)
	for range lookAgain {
		if err != nil {
			return err
		}
		found := p.lookOnce(ctx, job.SecretID, before)
		after, err := p.cfg.Engine.Scene(ctx, job.Plan, job.SecretID)
		if err != nil {
			return err
		}
		if after == before {
			l.Verdict, l.Found = concluded(before, found)
			return p.cfg.Engine.AnswerLook(ctx, l)
		}
		before = after
	}
	l.Verdict, l.Found = concluded(before, []store.Violation{{
		Rule: runs.RuleUnseen, Detail: "runs acted at the target each time it was looked at",
	}})
	return p.cfg.Engine.AnswerLook(ctx, l)
}

func concluded(s runs.Scene, found []store.Violation) (store.LookVerdict, []store.Violation) {
	verdict := store.LookSound
	if s.Excuse != "" {
		verdict = store.LookExcused
	}
	for _, v := range found {
		if v.Rule != runs.RuleUnseen {
			return store.LookBroken, found
		}
		verdict = store.LookUnseen
	}
	return verdict, found
}

// lookOnce logs in with AWSCURRENT, unless that is excused, and with what was
// retired.
func (p *Pool) lookOnce(ctx context.Context, id lockstep.SecretID, s runs.Scene) []store.Violation {
	if s.Excuse != "" && s.Retired == 0 {
		return nil
	}
	v, err := p.visit(ctx, id)
	if err != nil {
		return []store.Violation{{Rule: runs.RuleUnseen, Detail: err.Error()}}
	}
	if s.Excuse == "" {
		v.seeCurrent(ctx)
	}
	if s.Retired > 0 {
		v.seeRetired(ctx)
	}
	return v.found
}

// visit is one look at a target, and what it found.
type visit struct {
	pool    *Pool
	secret  lockstep.SecretID
	rotator rotators.Rotator
	request *rotators.Request
	found   []store.Violation
}

func (p *Pool) visit(ctx context.Context, id lockstep.SecretID) (*visit, error) {
	values, err := p.cfg.Vault.EngineValues(ctx, id, "")
	if err != nil {
		return nil, fmt.Errorf("open values: %w", err)
	}
	if values.Secret.Rotation == nil {
		return nil, fmt.Errorf("secret has no rotation: %w", lockstep.ErrState)
	}
	rotator, err := p.rotatorOf(ctx, values.Secret)
	if err != nil {
		return nil, err
	}
	return &visit{pool: p, secret: id, rotator: rotator, request: &rotators.Request{
		ARN: values.Secret.ARN, Name: values.Secret.Name, Version: values.CurrentID,
		Current: values.Current, Live: values.Live, Admin: values.Admin,
	}}, nil
}

func (v *visit) seeCurrent(ctx context.Context) {
	err := v.login(ctx, v.request.Current)
	switch {
	case err == nil:
	case verdict(err) == noAnswer:
		v.add(runs.RuleUnseen, "AWSCURRENT: "+err.Error())
	default: // refused, or accepted with a right missing
		v.add(runs.RuleCurrent, err.Error())
	}
}

func (v *visit) seeRetired(ctx context.Context) {
	retired, err := v.pool.cfg.Vault.RetiredValues(ctx, v.secret, maxRetiredLogins)
	if err != nil {
		v.add(runs.RuleUnseen, "open retired versions: "+err.Error())
		return
	}
	for id, value := range retired {
		err := v.login(ctx, value)
		switch verdict(err) {
		case accepted:
			v.add(runs.RuleRetired, fmt.Sprintf("retired version %s logs in", id))
		case noAnswer:
			v.add(runs.RuleUnseen, fmt.Sprintf("retired version %s: %v", id, err))
		}
	}
}

func (v *visit) login(ctx context.Context, value lockstep.Value) error {
	if id, ok := v.rotator.(rotators.Identifier); ok {
		if _, err := id.Account(value); err != nil {
			return errors.Join(err, lockstep.ErrInvalid)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, v.pool.cfg.CallTimeout)
	defer cancel()
	return v.rotator.Test(ctx, v.request, value)
}

func (v *visit) add(rule, detail string) {
	v.found = append(v.found, store.Violation{Rule: rule, ARN: v.request.ARN, Detail: detail})
}
