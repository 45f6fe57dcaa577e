package auth

import (
	"context"
	"errors"

	"lockstep"
	"lockstep/auth/policy"
	"lockstep/store"
)

// GroupDetails is a group with what hangs on it, by name.
type GroupDetails struct {
	*store.Group
	Members  []string
	Policies []string
}

// CreateGroup makes an empty group.
func (i *Identities) CreateGroup(ctx context.Context, account lockstep.AccountID, name string) error {
	if err := checkName(KindGroup, name); err != nil {
		return err
	}
	arn := IdentityARN(account, KindGroup, name)
	return i.apply(ctx, change{kind: KindGroup, name: name, write: func(tx store.Tx) error {
		return tx.InsertGroup(&store.Group{ARN: arn, Account: account, Name: name, Created: tx.Now()})
	}})
}

// DeleteGroup removes a group; its members stay users.
func (i *Identities) DeleteGroup(ctx context.Context, account lockstep.AccountID, name string) error {
	arn := IdentityARN(account, KindGroup, name)
	return i.apply(ctx, change{kind: KindGroup, name: name, touches: membersOf(arn), write: func(tx store.Tx) error {
		return tx.DeleteGroup(arn)
	}})
}

// Groups lists by name.
func (i *Identities) Groups(ctx context.Context, q store.NameQuery) (out []*store.Group, err error) {
	err = i.view(ctx, KindGroup, "", func(tx store.ReadTx) (err error) {
		out, err = tx.Groups(q)
		return err
	})
	return out, err
}

// Group reads one.
func (i *Identities) Group(ctx context.Context, account lockstep.AccountID, name string) (d GroupDetails, err error) {
	arn := IdentityARN(account, KindGroup, name)
	err = i.view(ctx, KindGroup, name, func(tx store.ReadTx) (err error) {
		if d.Group, err = tx.Group(arn); err != nil {
			return err
		}
		members, err := tx.Members(arn)
		if err != nil {
			return err
		}
		d.Members = namesOf(members)
		d.Policies, err = attachedNames(tx, arn)
		return err
	})
	return d, err
}

// AddMember puts a user into a group; it may be in already. The root user is
// in none: policies do not bind it.
func (i *Identities) AddMember(ctx context.Context, account lockstep.AccountID, group, user string) error {
	groupARN, userARN := IdentityARN(account, KindGroup, group), IdentityARN(account, KindUser, user)
	return i.apply(ctx, change{kind: KindUser, name: user, touches: justThis(userARN), write: func(tx store.Tx) error {
		if user == rootName {
			return lockstep.Refuse(lockstep.ErrState, "The root user is in no group.")
		}
		if _, err := tx.Group(groupARN); err != nil {
			return described(err, KindGroup, group)
		}
		if err := tx.AddMember(groupARN, userARN); err != nil {
			return err
		}
		in, err := tx.GroupsOf(userARN)
		if err == nil && len(in) > MaxGroups {
			err = lockstep.Refuse(lockstep.ErrState, "A user is in at most %d groups.", MaxGroups)
		}
		return err
	}})
}

// RemoveMember takes a user out of a group.
func (i *Identities) RemoveMember(ctx context.Context, account lockstep.AccountID, group, user string) error {
	groupARN, userARN := IdentityARN(account, KindGroup, group), IdentityARN(account, KindUser, user)
	return i.apply(ctx, change{kind: KindUser, name: user, touches: justThis(userARN), write: func(tx store.Tx) error {
		err := tx.RemoveMember(groupARN, userARN)
		if errors.Is(err, lockstep.ErrNotFound) {
			return lockstep.Refuse(lockstep.ErrNotFound, "The user %q is not in the group %q.", user, group)
		}
		return err
	}})
}

// RoleSpec is what a role is made or changed to.
type RoleSpec struct {
	Account     lockstep.AccountID
	Name        string
	Description string
	// Trust is the policy that says who may assume the role.
	Trust string
	Tags  []lockstep.Tag
	// Boundary is the name of a policy; empty for none.
	Boundary string
}

func (s RoleSpec) check() error {
	return errors.Join(checkName(KindRole, s.Name), checkDescription(s.Description), checkTags(s.Tags),
		checkDocument(s.Trust, policy.TrustPolicy))
}

// RoleDetails is a role with the names of its policies.
type RoleDetails struct {
	*store.Role
	Policies []string
}

// CreateRole makes a role that may nothing.
func (i *Identities) CreateRole(ctx context.Context, spec RoleSpec) error {
	return i.putRole(ctx, spec, store.Tx.InsertRole)
}

// ChangeRole replaces everything but name and policies.
func (i *Identities) ChangeRole(ctx context.Context, spec RoleSpec) error {
	return i.putRole(ctx, spec, store.Tx.SaveRole)
}

func (i *Identities) putRole(ctx context.Context, spec RoleSpec, put func(store.Tx, *store.Role) error) error {
	if err := spec.check(); err != nil {
		return err
	}
	arn := IdentityARN(spec.Account, KindRole, spec.Name)
	return i.apply(ctx, change{kind: KindRole, name: spec.Name, touches: justThis(arn), write: func(tx store.Tx) error {
		boundary, err := boundaryARN(tx, spec.Account, spec.Boundary)
		if err != nil {
			return err
		}
		return put(tx, &store.Role{
			ARN: arn, Account: spec.Account, Name: spec.Name, Description: spec.Description,
			Trust: spec.Trust, Tags: spec.Tags, Boundary: boundary, Created: tx.Now(),
		})
	}})
}

// DeleteRole removes a role with its attachments.
func (i *Identities) DeleteRole(ctx context.Context, account lockstep.AccountID, name string) error {
	arn := IdentityARN(account, KindRole, name)
	return i.apply(ctx, change{kind: KindRole, name: name, touches: justThis(arn), write: func(tx store.Tx) error {
		return tx.DeleteRole(arn)
	}})
}

// Roles lists by name.
func (i *Identities) Roles(ctx context.Context, q store.NameQuery) (out []*store.Role, err error) {
	err = i.view(ctx, KindRole, "", func(tx store.ReadTx) (err error) {
		out, err = tx.Roles(q)
		return err
	})
	return out, err
}

// Role reads one.
func (i *Identities) Role(ctx context.Context, account lockstep.AccountID, name string) (d RoleDetails, err error) {
	arn := IdentityARN(account, KindRole, name)
	err = i.view(ctx, KindRole, name, func(tx store.ReadTx) (err error) {
		if d.Role, err = tx.Role(arn); err != nil {
			return err
		}
		d.Policies, err = attachedNames(tx, arn)
		return err
	})
	return d, err
}
