package kms

import (
	"context"
	"slices"
	"strings"

	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/keys"
	"lockstep/store"
)

type aliasInput struct {
	Name   *string `json:"AliasName"`
	Target *string `json:"TargetKeyId"`
}

func (in *aliasInput) Check() error {
	var c checks
	c.alias(in.Name)
	c.Required(awsjson.Field{Path: "targetKeyId", Value: in.Target})
	c.optionalID("targetKeyId", in.Target)
	if err := c.Err(); err != nil {
		return err
	}
	return onlyKey(*in.Target)
}

// createAlias asks about the alias and about the key, as AWS does.
func (s *Service) createAlias(ctx context.Context, r *request, in *aliasInput) (any, error) {
	if err := s.mayOn(ctx, r, arnFor(r.Caller, *in.Name)); err != nil {
		return nil, err
	}
	return nil, s.keys.CreateAlias(ctx, *in.Name, s.ref(ctx, r, *in.Target))
}

func (s *Service) updateAlias(ctx context.Context, r *request, in *aliasInput) (any, error) {
	if err := s.mayOn(ctx, r, arnFor(r.Caller, *in.Name)); err != nil {
		return nil, err
	}
	to := s.ref(ctx, r, *in.Target)
	return nil, s.keys.MoveAlias(ctx, *in.Name, to, to.Allow)
}

type aliasNameInput struct {
	Name *string `json:"AliasName"`
}

func (in *aliasNameInput) Check() error {
	var c checks
	c.alias(in.Name)
	return c.Err()
}

func (s *Service) deleteAlias(ctx context.Context, r *request, in *aliasNameInput) (any, error) {
	if err := s.mayOn(ctx, r, arnFor(r.Caller, *in.Name)); err != nil {
		return nil, err
	}
	return nil, s.keys.DeleteAlias(ctx, s.ref(ctx, r, *in.Name))
}

type listAliasesInput struct {
	KeyID  *string `json:"KeyId"`
	Limit  *int64  `json:"Limit"`
	Marker *string `json:"Marker"`
}

func (in *listAliasesInput) Check() error {
	var c checks
	c.optionalID("keyId", in.KeyID)
	c.page(in.Limit, in.Marker)
	return c.Err()
}

type aliasEntry struct {
	Name    string       `json:"AliasName"`
	ARN     string       `json:"AliasArn"`
	Target  string       `json:"TargetKeyId,omitempty"`
	Created awsjson.Time `json:"CreationDate,omitzero"`
	Changed awsjson.Time `json:"LastUpdatedDate,omitzero"`
}

type listAliasesOutput struct {
	Aliases []aliasEntry `json:"Aliases"`
	listed
}

func (s *Service) listAliases(ctx context.Context, r *request, in *listAliasesInput) (any, error) {
	if err := s.mayOn(ctx, r, "*"); err != nil {
		return nil, err
	}
	p, err := pageOf(in.Limit, in.Marker, 50)
	if err != nil {
		return nil, err
	}
	owner := r.Caller.Owner()
	q := store.KeyQuery{Owner: owner, After: p.after, Limit: p.limit + 1}
	if in.KeyID != nil {
		// Whoever may list may know this much; AWS asks nothing else either.
		k, err := s.keys.Find(ctx, keys.Ref{Owner: owner, ID: *in.KeyID})
		if err != nil {
			return nil, err
		}
		q.KeyID = k.ID
	}
	list, err := s.keys.Aliases(ctx, q)
	if err != nil {
		return nil, err
	}
	entries, err := s.withDefault(ctx, r.Caller, q, list)
	if err != nil {
		return nil, err
	}
	entries, end := cut(entries, p, func(a aliasEntry) string { return a.Name })
	return listAliasesOutput{entries, end}, nil
}

// withDefault adds the alias of the service's own key in its place. Before the
// first use there is no key under it, and AWS shows it without one.
func (s *Service) withDefault(ctx context.Context, c auth.Caller, q store.KeyQuery, list []*store.KeyAlias) ([]aliasEntry, error) {
	out := make([]aliasEntry, 0, len(list)+1)
	for _, a := range list {
		out = append(out, aliasEntry{a.Name, keys.AliasARN(q.Owner, a.Name), a.KeyID, wire(a.Created), wire(a.Changed)})
	}
	if q.After >= keys.DefaultAlias {
		return out, nil
	}
	own := aliasEntry{Name: keys.DefaultAlias, ARN: keys.AliasARN(c.Owner(), keys.DefaultAlias)}
	k, err := s.keys.DefaultKey(ctx, q.Owner)
	if err != nil {
		return nil, err
	}
	if k != nil {
		own.Target, own.Created, own.Changed = k.ID, wire(k.Created), wire(k.Created)
	}
	if q.KeyID != "" && q.KeyID != own.Target {
		return out, nil
	}
	out = append(out, own)
	slices.SortFunc(out, func(a, b aliasEntry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
