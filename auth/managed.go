package auth

import (
	"context"
	"errors"

	"lockstep"
	"lockstep/auth/policy"
	"lockstep/store"
)

// PolicySpec is what a managed policy is made or changed to.
type PolicySpec struct {
	Account     lockstep.AccountID
	Name        string
	Description string
	// Document is an identity policy.
	Document string
}

func (s PolicySpec) check() error {
	return errors.Join(checkName(KindPolicy, s.Name), checkDescription(s.Description), checkDocument(s.Document, policy.IdentityPolicy))
}

// PolicyDetails is a policy with the ARNs of what it hangs on.
type PolicyDetails struct {
	*store.Policy
	Holders []string
}

// CreatePolicy makes a policy that hangs on nothing.
func (i *Identities) CreatePolicy(ctx context.Context, spec PolicySpec) error {
	if err := spec.check(); err != nil {
		return err
	}
	arn := IdentityARN(spec.Account, KindPolicy, spec.Name)
	return i.apply(ctx, change{kind: KindPolicy, name: spec.Name, write: func(tx store.Tx) error {
		return tx.InsertPolicy(&store.Policy{
			ARN: arn, Account: spec.Account, Name: spec.Name, Description: spec.Description,
			Document: spec.Document, Created: tx.Now(), Changed: tx.Now(),
		})
	}})
}

// ChangePolicy replaces description and document, wherever the policy hangs.
func (i *Identities) ChangePolicy(ctx context.Context, spec PolicySpec) error {
	if err := spec.check(); err != nil {
		return err
	}
	arn := IdentityARN(spec.Account, KindPolicy, spec.Name)
	return i.apply(ctx, change{kind: KindPolicy, name: spec.Name, touches: holdersOf(arn), write: func(tx store.Tx) error {
		return tx.SavePolicy(&store.Policy{ARN: arn, Description: spec.Description, Document: spec.Document, Changed: tx.Now()})
	}})
}

// DeletePolicy removes a policy that hangs on nothing.
func (i *Identities) DeletePolicy(ctx context.Context, account lockstep.AccountID, name string) error {
	arn := IdentityARN(account, KindPolicy, name)
	return i.apply(ctx, change{kind: KindPolicy, name: name, write: func(tx store.Tx) error {
		err := tx.DeletePolicy(arn)
		if errors.Is(err, lockstep.ErrState) {
			return lockstep.Refuse(lockstep.ErrState, "The policy %q is attached, or is a boundary, still; detach it first.", name)
		}
		return err
	}})
}

// Policies lists by name.
func (i *Identities) Policies(ctx context.Context, q store.NameQuery) (out []*store.Policy, err error) {
	err = i.view(ctx, KindPolicy, "", func(tx store.ReadTx) (err error) {
		out, err = tx.Policies(q)
		return err
	})
	return out, err
}

// Policy reads one.
func (i *Identities) Policy(ctx context.Context, account lockstep.AccountID, name string) (d PolicyDetails, err error) {
	arn := IdentityARN(account, KindPolicy, name)
	err = i.view(ctx, KindPolicy, name, func(tx store.ReadTx) (err error) {
		if d.Policy, err = tx.Policy(arn); err != nil {
			return err
		}
		d.Holders, err = tx.Holders(arn)
		return err
	})
	return d, err
}

// Attachment is a policy and what it hangs on, by name.
type Attachment struct {
	Account lockstep.AccountID
	Policy  string
	// Kind is KindUser, KindGroup or KindRole.
	Kind   IdentityKind
	Holder string
}

// HolderARN is what the policy hangs on.
func (a Attachment) HolderARN() string { return IdentityARN(a.Account, a.Kind, a.Holder) }

// PolicyARN is the policy.
func (a Attachment) PolicyARN() string { return IdentityARN(a.Account, KindPolicy, a.Policy) }

func (a Attachment) touches() func(store.ReadTx) ([]string, error) {
	if a.Kind == KindGroup {
		return membersOf(a.HolderARN())
	}
	return justThis(a.HolderARN())
}

// Attach hangs a policy on a user, group or role; it may hang there already.
func (i *Identities) Attach(ctx context.Context, a Attachment) error {
	return i.apply(ctx, change{kind: a.Kind, name: a.Holder, touches: a.touches(), write: func(tx store.Tx) error {
		if a.HolderARN() == RootARN(a.Account) {
			return lockstep.Refuse(lockstep.ErrState, "The root user may do everything; no policy can be attached to it.")
		}
		if _, err := tx.Policy(a.PolicyARN()); err != nil {
			return described(err, KindPolicy, a.Policy)
		}
		if err := tx.Attach(a.HolderARN(), a.PolicyARN()); err != nil {
			return err
		}
		held, err := tx.Attached(a.HolderARN())
		if err == nil && len(held) > MaxAttached {
			err = lockstep.Refuse(lockstep.ErrState, "A %s has at most %d policies.", a.Kind, MaxAttached)
		}
		return err
	}})
}

// Detach takes a policy off.
func (i *Identities) Detach(ctx context.Context, a Attachment) error {
	return i.apply(ctx, change{kind: a.Kind, name: a.Holder, touches: a.touches(), write: func(tx store.Tx) error {
		err := tx.Detach(a.HolderARN(), a.PolicyARN())
		if errors.Is(err, lockstep.ErrNotFound) {
			return lockstep.Refuse(lockstep.ErrNotFound, "The policy %q is not attached to the %s %q.", a.Policy, a.Kind, a.Holder)
		}
		return err
	}})
}
