package auth

import (
	"context"
	"errors"

	"lockstep"
	"lockstep/store"
)

// UserSpec is what a user is made or changed to.
type UserSpec struct {
	Account lockstep.AccountID
	Name    string
	Tags    []lockstep.Tag
	// Boundary is the name of a policy; empty for none.
	Boundary string
}

// UserDetails is a user with what hangs on it; the keys are without secrets.
type UserDetails struct {
	*store.User
	// Groups and Policies are names.
	Groups   []string
	Policies []string
	Keys     []*store.AccessKey
}

// CreateUser makes a user that may nothing.
func (i *Identities) CreateUser(ctx context.Context, spec UserSpec) error {
	if err := errors.Join(checkName(KindUser, spec.Name), checkTags(spec.Tags)); err != nil {
		return err
	}
	arn := IdentityARN(spec.Account, KindUser, spec.Name)
	return i.apply(ctx, change{kind: KindUser, name: spec.Name, write: func(tx store.Tx) error {
		boundary, err := boundaryARN(tx, spec.Account, spec.Boundary)
		if err != nil {
			return err
		}
		return tx.InsertUser(&store.User{
			ARN: arn, Account: spec.Account, Name: spec.Name, Tags: spec.Tags, Boundary: boundary, Created: tx.Now(),
		})
	}})
}

// ChangeUser replaces tags and boundary. The root user has neither.
func (i *Identities) ChangeUser(ctx context.Context, spec UserSpec) error {
	if err := checkTags(spec.Tags); err != nil {
		return err
	}
	arn := IdentityARN(spec.Account, KindUser, spec.Name)
	return i.apply(ctx, change{kind: KindUser, name: spec.Name, touches: justThis(arn), write: func(tx store.Tx) error {
		if spec.Name == rootName {
			return lockstep.Refuse(lockstep.ErrState, "The root user has no tags and no boundary.")
		}
		boundary, err := boundaryARN(tx, spec.Account, spec.Boundary)
		if err != nil {
			return err
		}
		return tx.SaveUser(&store.User{ARN: arn, Tags: spec.Tags, Boundary: boundary})
	}})
}

// DeleteUser removes a user with its keys, memberships and attachments.
func (i *Identities) DeleteUser(ctx context.Context, account lockstep.AccountID, name string) error {
	arn := IdentityARN(account, KindUser, name)
	return i.apply(ctx, change{kind: KindUser, name: name, touches: justThis(arn), write: func(tx store.Tx) error {
		if name == rootName {
			return lockstep.Refuse(lockstep.ErrState, "The root user cannot be deleted.")
		}
		return tx.DeleteUser(arn)
	}})
}

// Users lists by name.
func (i *Identities) Users(ctx context.Context, q store.NameQuery) (out []*store.User, err error) {
	err = i.view(ctx, KindUser, "", func(tx store.ReadTx) (err error) {
		out, err = tx.Users(q)
		return err
	})
	return out, err
}

// User reads one.
func (i *Identities) User(ctx context.Context, account lockstep.AccountID, name string) (d UserDetails, err error) {
	arn := IdentityARN(account, KindUser, name)
	err = i.view(ctx, KindUser, name, func(tx store.ReadTx) (err error) {
		if d.User, err = tx.User(arn); err != nil {
			return err
		}
		groups, err := tx.GroupsOf(arn)
		if err != nil {
			return err
		}
		if d.Policies, err = attachedNames(tx, arn); err != nil {
			return err
		}
		d.Groups = namesOf(groups)
		d.Keys, err = tx.AccessKeys(arn)
		return err
	})
	return d, err
}

func namesOf(arns []string) []string {
	out := make([]string, 0, len(arns))
	for _, a := range arns {
		out = append(out, NameOf(a))
	}
	return out
}

func attachedNames(tx store.ReadTx, arn string) ([]string, error) {
	found, err := tx.Attached(arn)
	out := make([]string, 0, len(found))
	for _, p := range found {
		out = append(out, p.Name)
	}
	return out, err
}

// CreateKey makes an access key for a user; home names the region whose default
// master key seals it. The secret is in the Credentials and is not to be had
// again.
func (i *Identities) CreateKey(ctx context.Context, home store.Owner, name string) (Credentials, error) {
	arn := IdentityARN(home.Account, KindUser, name)
	made, sealed, err := newAccessKey(ctx, i.config.Sealer, home, arn)
	if err != nil {
		return Credentials{}, err
	}
	err = i.apply(ctx, change{kind: KindUser, name: name, write: func(tx store.Tx) error {
		held, err := tx.AccessKeys(arn)
		if err != nil {
			return err
		}
		if len(held) >= MaxKeys {
			return lockstep.Refuse(lockstep.ErrState, "The user %s has %d access keys already; delete one first.", name, len(held))
		}
		return tx.InsertAccessKey(&store.AccessKey{ID: made.AccessKeyID, UserARN: arn, Secret: sealed, Active: true, Created: tx.Now()})
	}})
	if err != nil {
		return Credentials{}, err
	}
	return made, nil
}

// Key reads one of an account, without its secret.
func (i *Identities) Key(ctx context.Context, account lockstep.AccountID, id string) (key *store.AccessKey, err error) {
	err = i.view(ctx, "access key", id, func(tx store.ReadTx) (err error) {
		key, err = keyIn(tx, account, id)
		return err
	})
	return key, err
}

// keyIn reads a key; those of other accounts are not there.
func keyIn(tx store.ReadTx, account lockstep.AccountID, id string) (*store.AccessKey, error) {
	k, err := tx.AccessKey(id)
	if err != nil {
		return nil, err
	}
	u, err := tx.User(k.UserARN)
	if err != nil {
		return nil, err
	}
	if u.Account != account {
		return nil, lockstep.ErrNotFound
	}
	return k, nil
}

// EnableKey lets a key sign again.
func (i *Identities) EnableKey(ctx context.Context, account lockstep.AccountID, id string) error {
	return i.changeKey(ctx, account, id, func(tx store.Tx, k *store.AccessKey) error {
		k.Active = true
		return tx.SaveAccessKey(k)
	})
}

// DisableKey makes a key useless until it is enabled. The root user's last
// active key cannot be disabled: nobody could undo it.
func (i *Identities) DisableKey(ctx context.Context, account lockstep.AccountID, id string) error {
	return i.changeKey(ctx, account, id, func(tx store.Tx, k *store.AccessKey) error {
		if err := notLast(tx, k, account); err != nil {
			return err
		}
		k.Active = false
		return tx.SaveAccessKey(k)
	})
}

// DeleteKey removes a key for good; not the root user's last active one.
func (i *Identities) DeleteKey(ctx context.Context, account lockstep.AccountID, id string) error {
	return i.changeKey(ctx, account, id, func(tx store.Tx, k *store.AccessKey) error {
		if err := notLast(tx, k, account); err != nil {
			return err
		}
		return tx.DeleteAccessKey(k.ID)
	})
}

func (i *Identities) changeKey(ctx context.Context, account lockstep.AccountID, id string, write func(store.Tx, *store.AccessKey) error) error {
	var owner string
	touches := func(store.ReadTx) ([]string, error) { return []string{owner}, nil }
	return i.apply(ctx, change{kind: "access key", name: id, touches: touches, write: func(tx store.Tx) error {
		k, err := keyIn(tx, account, id)
		if err != nil {
			return err
		}
		owner = k.UserARN
		return write(tx, k)
	}})
}

// notLast protects the root user from being locked out.
func notLast(tx store.ReadTx, k *store.AccessKey, account lockstep.AccountID) error {
	if k.UserARN != RootARN(account) || !k.Active {
		return nil
	}
	held, err := tx.AccessKeys(k.UserARN)
	if err != nil {
		return err
	}
	for _, other := range held {
		if other.ID != k.ID && other.Active {
			return nil
		}
	}
	return lockstep.Refuse(lockstep.ErrState, "This is the root user's only active access key; make another one first.")
}
