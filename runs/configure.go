package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/keeper"
	"lockstep/ledger"
	"lockstep/password"
	"lockstep/store"
)

// configured applies the settings of a request to the locked Secret and then
// runs fn in the same transaction. What the settings say about the value (its
// Accounts at the target) is found before, and found again if the value
// changed meanwhile. A test gets a copy of the value for its own Version.
func (s *Service) configured(ctx context.Context, ref keeper.Ref, in RotateInput, fn func(store.Tx, *ledger.Book, *lockstep.Sealed) error) error {
	for {
		rotation, secret, err := s.plannedRotation(ctx, ref, in)
		if err != nil {
			return err
		}
		accounts, err := s.accounts(ctx, secret, rotation.Rotator)
		if err != nil {
			return err
		}
		var copied *lockstep.Sealed
		if in.TestOnly {
			if copied, err = s.vault.SealCopy(ctx, secret.ID, accounts.Current, in.Token); err != nil {
				return err
			}
		}
		err = s.store.Update(ctx, func(tx store.Tx) error {
			locked, err := keeper.LockLive(tx, ref)
			if err != nil {
				return err
			}
			b, _, err := s.open(tx, locked)
			if err != nil {
				return err
			}
			if b.Stages[lockstep.Current] != accounts.Current || locked.ID != secret.ID || !sameRotation(locked, secret) {
				return errMoved
			}
			if err := s.enable(tx, b, rotation, accounts); err != nil {
				return err
			}
			if b, _, err = s.open(tx, locked); err != nil { // with the new rotator's Traits
				return err
			}
			if err := fn(tx, b, copied); err != nil {
				return err
			}
			return b.Close()
		})
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// sameRotation tells whether the Rotation is still the one that the request
// was laid over: two requests at once that set different parts of it both count.
func sameRotation(now, seen *lockstep.Secret) bool {
	if now.Rotation == nil || seen.Rotation == nil {
		return now.Rotation == seen.Rotation
	}
	return *now.Rotation == *seen.Rotation
}

var errMoved = fmt.Errorf("secret changed meanwhile: %w", lockstep.ErrConflict)

// plannedRotation is the Rotation as it would be after the request, checked.
func (s *Service) plannedRotation(ctx context.Context, ref keeper.Ref, in RotateInput) (lockstep.Rotation, *lockstep.Secret, error) {
	var secret *lockstep.Secret
	var now time.Time
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		now = tx.Now()
		secret, err = keeper.FindLive(tx, ref)
		return err
	})
	if err != nil {
		return lockstep.Rotation{}, nil, err
	}
	var r lockstep.Rotation
	if secret.Rotation != nil {
		r = *secret.Rotation
	}
	if err := s.applyRotator(ctx, &r, in, secret.Account); err != nil {
		return r, nil, err
	}
	if err := s.applySchedule(&r, in, secret, now); err != nil {
		return r, nil, err
	}
	if in.Retirement != nil {
		if err := checkRetirement(*in.Retirement); err != nil {
			return r, nil, err
		}
		r.Retirement = *in.Retirement
	}
	if in.Passwords != nil {
		if _, err := password.ForRotation().With(*in.Passwords); err != nil {
			return r, nil, lockstep.Refuse(lockstep.ErrInvalid, "The password policy can't be used: %s.", err)
		}
		r.Passwords = *in.Passwords
	}
	if in.VerifyEvery != nil {
		if r.VerifyEvery = *in.VerifyEvery; r.VerifyEvery > 0 && r.VerifyEvery < time.Minute {
			return r, nil, lockstep.Refuse(lockstep.ErrInvalid, "AWSCURRENT can be verified once a minute at the most, for example every \"6h\".")
		}
	}
	r.Enabled = true
	return r, secret, nil
}

// applyRotator looks the name up among the native rotators first, then among
// those that the account has registered.
func (s *Service) applyRotator(ctx context.Context, r *lockstep.Rotation, in RotateInput, account lockstep.AccountID) error {
	if in.RotatorARN != nil && *in.RotatorARN != "" {
		r.RotatorARN, r.Rotator = *in.RotatorARN, rotatorName(*in.RotatorARN)
	}
	if r.Rotator == "" {
		return lockstep.Refuse(lockstep.ErrState, "No Lambda rotation function ARN is associated with this secret.")
	}
	_, err := s.rotators.Traits(r.Rotator)
	r.Custom, r.Recipe, r.Declared = false, false, lockstep.Traits{}
	if errors.Is(err, lockstep.ErrUnknownRotator) {
		var found *store.Rotator
		if found, err = s.registered(ctx, r.Rotator, account, err); err == nil {
			return s.applyRegistered(r, in, found)
		}
	}
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, lockstep.ErrUnknownRotator):
		return err
	case r.RotatorARN != r.Rotator:
		return lockstep.Refuse(lockstep.ErrDenied, "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.")
	}
	return lockstep.Refuse(lockstep.ErrUnknownRotator, "RotationLambdaARN names no rotator: %s.", err)
}

// registered finds a rotator that an account has registered; unknown is the
// error if it has not.
func (s *Service) registered(ctx context.Context, name string, account lockstep.AccountID, unknown error) (found *store.Rotator, err error) {
	err = s.store.View(ctx, func(tx store.ReadTx) error {
		found, err = tx.Rotator(name)
		if errors.Is(err, lockstep.ErrNotFound) || err == nil && found.Account != account {
			return unknown
		}
		return err
	})
	return found, err
}

// applyRegistered takes a rotator that was registered: a recipe, which is carried
// as a rotator of Lockstep's own is, or somebody's function.
func (s *Service) applyRegistered(r *lockstep.Rotation, in RotateInput, found *store.Rotator) error {
	if found.Kind != store.RotatorRecipe {
		r.Custom = true
		return s.applicable(r, in)
	}
	if s.recipeTraits == nil {
		return lockstep.Refuse(lockstep.ErrState, "This server cannot read recipes, and %s is one.", r.Rotator)
	}
	r.Recipe = true
	var err error
	if r.Declared, err = s.recipeTraits(found.Target); err != nil {
		return fmt.Errorf("read recipe %s: %w", r.Rotator, err)
	}
	return nil
}

// applicable refuses what a custom rotator cannot do: it has no step in which
// it would remove an old credential.
func (s *Service) applicable(r *lockstep.Rotation, in RotateInput) error {
	policy := r.Retirement
	if in.Retirement != nil {
		policy = *in.Retirement
	}
	if policy.After == "" || policy.After == lockstep.RetireNextRun {
		return nil
	}
	return lockstep.Refuse(lockstep.ErrInvalid, "Rotator %s is a custom one, which can't remove an old credential; its retirement policy is next-run.", r.Rotator)
}

// schedule is the one that the input asks for, over the present one.
func (in RotateInput) schedule(present lockstep.Schedule) (next lockstep.Schedule, given bool) {
	switch {
	case in.Schedule != nil:
		return *in.Schedule, true
	case in.Rules != nil:
		next = present
		next.Expression, next.AfterDays, next.Duration = in.Rules.Expression, in.Rules.AfterDays, in.Rules.Duration
		return next, true
	}
	return next, false
}

func (s *Service) applySchedule(r *lockstep.Rotation, in RotateInput, secret *lockstep.Secret, now time.Time) error {
	next, given := in.schedule(r.Schedule)
	if !given {
		return nil
	}
	next.Anchor = r.Schedule.Anchor
	if next != r.Schedule || next.Anchor.IsZero() {
		next.Anchor = now
	}
	r.Schedule = next
	if next.IsZero() && next.MaxAge != 0 {
		return lockstep.Refuse(lockstep.ErrInvalid, "A maximum age needs a schedule beside it, for example rate(30 days) with a maximum age of 2160h.")
	}
	if next.IsZero() {
		return nil
	}
	if next.MaxAge < 0 || next.MaxAge > 0 && next.MaxAge < s.minInterval {
		return lockstep.Refuse(lockstep.ErrInvalid, "The maximum age must be %s at least, for example \"2160h\" (90 days).", s.minInterval)
	}
	sched, err := ledger.ParseSchedule(next, secret.ARN, s.minInterval)
	if err != nil {
		return lockstep.Refuse(lockstep.ErrInvalid, "The schedule can't be used: %s.", err)
	}
	if sched.Next(now).IsZero() {
		return lockstep.Refuse(lockstep.ErrInvalid, "The schedule %q never fires again. Choose one with a fire in the future, for example rate(30 days).", next.Expression)
	}
	return nil
}

func checkRetirement(r lockstep.Retirement) error {
	switch r.After {
	case "", lockstep.RetireNextRun, lockstep.RetireManual:
		if r.Delay != 0 {
			return lockstep.Refuse(lockstep.ErrInvalid, "A retirement delay needs the policy \"delay\".")
		}
		return nil
	case lockstep.RetireDelay:
		if r.Delay <= 0 || r.Delay > 365*24*time.Hour {
			return lockstep.Refuse(lockstep.ErrInvalid, "The retirement delay must be above zero and at most 8760h, for example \"1h\".")
		}
		return nil
	}
	return lockstep.Refuse(lockstep.ErrInvalid, "Unknown retirement policy %q; there are next-run, delay and manual.", r.After)
}

// accounts finds the Accounts of AWSCURRENT under the rotator; a value that
// the rotator cannot use is refused here, before anything is stored.
func (s *Service) accounts(ctx context.Context, secret *lockstep.Secret, rotator string) (keeper.TargetAccounts, error) {
	accounts, err := s.vault.TargetAccounts(ctx, secret.ID, rotator)
	if errors.Is(err, lockstep.ErrInvalid) {
		return accounts, lockstep.Refuse(lockstep.ErrState,
			"Secret %s can't be rotated by %s (step create): %s. AWSCURRENT stays as it was; put a corrected value and try again.", secret.Name, rotator, err)
	}
	return accounts, err
}

// enable writes the Rotation, the next date, and who holds the Accounts.
func (s *Service) enable(tx store.Tx, b *ledger.Book, r lockstep.Rotation, accounts keeper.TargetAccounts) error {
	secret := b.Secret
	if err := keeper.NameAdmin(tx, secret, accounts.AdminRef); err != nil {
		return err
	}
	old := secret.Rotation
	unchanged := old != nil && *old == r
	if unchanged && (!secret.NextRotation.IsZero() || r.Schedule.IsZero()) {
		return nil
	}
	if err := mayChangeRotator(b, r); err != nil {
		return err
	}
	secret.Rotation = &r
	if old != nil && old.Retirement != r.Retirement {
		if err := reopenRetirements(tx, b); err != nil {
			return err
		}
	}
	if err := s.planDates(tx, b, old); err != nil {
		return err
	}
	renewed, traits, err := s.open(tx, secret) // with the new rotator's Traits
	if err != nil {
		return err
	}
	if err := renewed.PlanRenewal(); err != nil {
		return err
	}
	secret.Target = accounts.Target
	secret.Touch(b.Now)
	if err := hold(tx, secret, accounts); err != nil {
		return err
	}
	if err := markCurrentLive(tx, secret, traits, accounts); err != nil {
		return err
	}
	return b.Close()
}

// planDates sets the next dates of a Secret whose Rotation has just been set; was
// is the former one, nil if there was none.
func (s *Service) planDates(tx store.Tx, b *ledger.Book, was *lockstep.Rotation) error {
	secret := b.Secret
	traits, err := s.traits(secret)
	if err != nil {
		return err
	}
	if was == nil || !was.Enabled || was.VerifyEvery != secret.Rotation.VerifyEvery || was.Rotator != secret.Rotation.Rotator {
		planVerify(b, traits)
	}
	secret.NextRotation = time.Time{}
	if secret.Rotation.Schedule.IsZero() {
		return nil
	}
	sched, err := ledger.ParseStored(secret)
	if err != nil {
		return err
	}
	g := s.gate(tx)
	if err := g.checkAge(secret, b.Now); err != nil {
		return err
	}
	secret.NextRotation, err = g.next(b, sched, time.Time{})
	return err
}

// checkAge refuses a maximum age that a freeze without an end makes impossible.
func (g *gate) checkAge(s *lockstep.Secret, now time.Time) error {
	limit := ageLimit(s)
	c, err := g.calendar(s)
	if c == nil || limit.IsZero() || err != nil {
		return err
	}
	if limit.Before(now) {
		limit = now
	}
	if err := c.CheckDeadline(limit); err != nil {
		return lockstep.Refuse(lockstep.ErrInvalid, "The maximum age of secret %s can't be kept: %s.", s.Name, err)
	}
	return nil
}

// mayChangeRotator keeps the rotator of a Run that is at the target: another
// kind of rotator could neither finish its work nor undo it.
func mayChangeRotator(b *ledger.Book, next lockstep.Rotation) error {
	old := b.Secret.Rotation
	if old == nil || old.Rotator == next.Rotator {
		return nil
	}
	run, err := b.OpenRun()
	if err != nil || run == nil || !run.State.TargetTouched() {
		return err
	}
	return lockstep.Refuse(lockstep.ErrState,
		"You can't change the rotation function while a rotation is in progress (run %s). Wait for its end, or cancel it.", run.ID)
}

// reopenRetirements puts the Versions that wait for their retirement under the
// policy that the request sets, so that a person can let a Run go on which
// waits for them.
func reopenRetirements(tx store.Tx, b *ledger.Book) error {
	live, err := tx.LiveVersions(b.Secret.ID)
	if err != nil {
		return fmt.Errorf("read live versions: %w", err)
	}
	for _, v := range live {
		if v.Retirement != lockstep.RetirementDue {
			continue
		}
		if err := b.RetireByPolicy(v); err != nil {
			return err
		}
	}
	return wakeOpenRun(tx, b)
}

// hold records the Accounts as this Secret's: two Secrets that set the
// password of one Account would undo each other's work.
func hold(tx store.Tx, secret *lockstep.Secret, accounts keeper.TargetAccounts) error {
	if err := tx.ReleaseAccounts(secret.ID); err != nil {
		return fmt.Errorf("release accounts: %w", err)
	}
	slices.Sort(accounts.All)
	for _, key := range slices.Compact(accounts.All) {
		err := tx.HoldAccount(key, secret.ID)
		if errors.Is(err, lockstep.ErrConflict) {
			return heldByAnother(tx, key)
		}
		if err != nil {
			return fmt.Errorf("hold account: %w", err)
		}
	}
	return nil
}

func heldByAnother(tx store.ReadTx, key lockstep.AccountKey) error {
	name := "another secret"
	if id, err := tx.AccountHolder(key); err == nil {
		if other, err := tx.Secret(id); err == nil {
			name = "secret " + string(other.ARN)
		}
	}
	return lockstep.Refuse(lockstep.ErrState,
		"Rotation can't be turned on: %s already rotates this account at the target. Cancel its rotation first, or use that secret.", name)
}

// markCurrentLive puts AWSCURRENT into the maybe-live set when rotation is
// turned on: the target is taken to accept it. What a target has issued need not
// name an Account.
func markCurrentLive(tx store.Tx, secret *lockstep.Secret, traits lockstep.Traits, accounts keeper.TargetAccounts) error {
	if accounts.Current == "" || accounts.Own == "" && traits.Chooser != lockstep.Issued {
		return nil
	}
	v, err := tx.Version(secret.ID, accounts.Current)
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	v.MaybeLive, v.Account = true, accounts.Own
	if err := tx.SaveVersion(v); err != nil {
		return fmt.Errorf("save version: %w", err)
	}
	return nil
}
