package runs

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"lockstep"
	"lockstep/ledger"
	"lockstep/store"
)

// askVerifies asks for a look at up to limit Secrets whose NextVerify has come,
// in one transaction, and moves it on.
func (s *Service) askVerifies(ctx context.Context, limit int) (int, error) {
	n := 0
	err := s.store.Update(ctx, func(tx store.Tx) error {
		due, err := tx.ClaimVerifies(limit)
		if err != nil {
			return fmt.Errorf("claim secrets to verify: %w", err)
		}
		n = len(due)
		g := s.gate(tx)
		for _, secret := range due {
			if err := g.askVerify(secret); err != nil {
				return fmt.Errorf("verify %s: %w", secret.Name, err)
			}
		}
		return nil
	})
	return n, err
}

// askVerify adds the Job, unless the Secret is looked at anyhow or a Hold keeps
// hands off it.
func (g *gate) askVerify(secret *lockstep.Secret) error {
	b, traits, err := g.service.open(g.tx, secret)
	if err != nil {
		return err
	}
	was := secret.NextVerify
	every := secret.Rotation.VerifyInterval()
	if every == 0 || traits.Chooser == lockstep.ValueOnly {
		secret.NextVerify = time.Time{}
		return b.Close()
	}
	secret.NextVerify = was.Add((b.Now.Sub(was)/every + 1) * every)
	h, err := g.holding(b)
	if err != nil {
		return err
	}
	current := b.Stages[lockstep.Current]
	if h == nil && !secret.Unverified && current != "" {
		// After an outage many are due at once: they spread over what they missed.
		late := min(b.Now.Sub(was), every/4)
		err = b.AddJob(store.Job{Kind: store.JobVerify, Version: current, DueAt: b.Now.Add(fraction(secret.ARN, late))})
	}
	if err != nil {
		return err
	}
	return b.Close()
}

// planVerify sets NextVerify when rotation is turned on or its interval changes:
// in the second half of the interval, at a time that differs between Secrets.
func planVerify(b *ledger.Book, traits lockstep.Traits) {
	every := b.Secret.Rotation.VerifyInterval()
	if every == 0 || traits.Chooser == lockstep.ValueOnly {
		b.Secret.NextVerify = time.Time{}
		return
	}
	b.Secret.NextVerify = b.Now.Add(every/2 + fraction(b.Secret.ARN, every/2))
}

// fraction is a part of a duration that differs between Secrets and is always the
// same for one.
func fraction(arn lockstep.ARN, of time.Duration) time.Duration {
	if of <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(arn))
	part := time.Duration(h.Sum64() % uint64(of)) // #nosec G115 -- below a positive duration
	return part.Truncate(time.Millisecond)
}
