package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"lockstep"
	"lockstep/client/admin"
	"lockstep/cmd/lockstep/manifest"
)

// absent tells whether an error says that something is not there.
func absent(err error) bool { return errors.Is(err, lockstep.ErrNotFound) }

// sameJSON compares two documents but for white space.
func sameJSON(a, b string) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, []byte(a)) != nil || json.Compact(&y, []byte(b)) != nil {
		return a == b
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}

// set notes a change of a text that the document gives.
func (d *difference) set(field string, have *string, want *string) (changed bool) {
	if want == nil || *want == *have {
		return false
	}
	*have = *want
	d.Changes = append(d.Changes, field)
	return true
}

func sortedTags(tags map[string]string) []admin.Tag {
	var out []admin.Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, admin.Tag{Key: k, Value: tags[k]})
	}
	return out
}

// setTags notes a change of tags, if the document gives any.
func (d *difference) setTags(have *[]admin.Tag, want map[string]string) (changed bool) {
	now := map[string]string{}
	for _, t := range *have {
		now[t.Key] = t.Value
	}
	if want == nil || maps.Equal(now, want) {
		return false
	}
	*have = sortedTags(want)
	d.Changes = append(d.Changes, "tags")
	return true
}

// save notes one step for the fields that changed; what they are stands in
// Changes already.
func (d *difference) save(step func(context.Context) error) {
	if d.Action == verbUnchanged {
		d.Action = verbChange
	}
	d.steps = append(d.steps, step)
}

func (a *applier) policy(ctx context.Context, p *manifest.Policy, d *difference) error {
	have, err := a.admin.Policy(ctx, p.Name)
	spec := admin.PolicySpec{Name: p.Name, Description: have.Description, Document: string(p.Document)}
	if absent(err) {
		if p.Description != nil {
			spec.Description = *p.Description
		}
		d.create(func(ctx context.Context) error { _, err := a.admin.CreatePolicy(ctx, spec); return err })
		return nil
	}
	if err != nil {
		return err
	}
	changed := d.set("description", &spec.Description, p.Description)
	if !sameJSON(have.Document, spec.Document) {
		d.Changes, changed = append(d.Changes, "document"), true
	}
	if changed {
		d.save(func(ctx context.Context) error { _, err := a.admin.SetPolicy(ctx, spec); return err })
	}
	return nil
}

// attach makes the policies of something those that the document lists; nil
// lists nothing and leaves them.
func (a *applier) attach(d *difference, to admin.Holder, have, want []string) {
	if want == nil {
		return
	}
	for _, name := range want {
		if !slices.Contains(have, name) {
			d.add("+policy "+name, func(ctx context.Context) error { return a.admin.Attach(ctx, name, to) })
		}
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			d.add("-policy "+name, func(ctx context.Context) error { return a.admin.Detach(ctx, name, to) })
		}
	}
}

// known refuses names that neither the server has nor a document makes, so
// that a dry run finds what applying would.
func (a *applier) known(ctx context.Context, kind manifest.Kind, names []string) error {
	for _, name := range names {
		if name == "" || a.coming[string(kind)+" "+name] {
			continue
		}
		var err error
		if kind == manifest.KindPolicy {
			_, err = a.admin.Policy(ctx, name)
		} else {
			_, err = a.admin.Group(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) group(ctx context.Context, g *manifest.Group, d *difference) error {
	if err := a.known(ctx, manifest.KindPolicy, g.Policies); err != nil {
		return err
	}
	have, err := a.admin.Group(ctx, g.Name)
	if absent(err) {
		d.create(func(ctx context.Context) error { _, err := a.admin.CreateGroup(ctx, g.Name); return err })
	} else if err != nil {
		return err
	}
	a.attach(d, admin.Holder{Group: g.Name}, have.Policies, g.Policies)
	return nil
}

func (a *applier) role(ctx context.Context, r *manifest.Role, d *difference) error {
	if err := a.known(ctx, manifest.KindPolicy, append(slices.Clone(r.Policies), textOr(r.Boundary))); err != nil {
		return err
	}
	have, err := a.admin.Role(ctx, r.Name)
	made := absent(err)
	if err != nil && !made {
		return err
	}
	spec := admin.RoleSpec{Name: r.Name, Description: have.Description, Trust: string(r.Trust), Tags: have.Tags, Boundary: have.Boundary}
	fields := &difference{Action: verbUnchanged}
	changed := fields.set("description", &spec.Description, r.Description)
	changed = fields.setTags(&spec.Tags, r.Tags) || changed
	changed = fields.set("boundary", &spec.Boundary, r.Boundary) || changed
	if !sameJSON(have.Trust, spec.Trust) {
		fields.Changes, changed = append(fields.Changes, "trust"), true
	}
	switch {
	case made:
		d.create(func(ctx context.Context) error { _, err := a.admin.CreateRole(ctx, spec); return err })
	case changed:
		d.Changes = fields.Changes
		d.save(func(ctx context.Context) error { _, err := a.admin.SetRole(ctx, spec); return err })
	}
	a.attach(d, admin.Holder{Role: r.Name}, have.Policies, r.Policies)
	return nil
}

func textOr(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (a *applier) user(ctx context.Context, u *manifest.User, d *difference) error {
	if err := a.known(ctx, manifest.KindPolicy, append(slices.Clone(u.Policies), textOr(u.Boundary))); err != nil {
		return err
	}
	if err := a.known(ctx, manifest.KindGroup, u.Groups); err != nil {
		return err
	}
	have, err := a.admin.User(ctx, u.Name)
	made := absent(err)
	if err != nil && !made {
		return err
	}
	spec := admin.UserSpec{Name: u.Name, Tags: have.Tags, Boundary: have.Boundary}
	fields := &difference{Action: verbUnchanged}
	changed := fields.setTags(&spec.Tags, u.Tags)
	changed = fields.set("boundary", &spec.Boundary, u.Boundary) || changed
	switch {
	case made:
		d.create(func(ctx context.Context) error { _, err := a.admin.CreateUser(ctx, spec); return err })
	case changed:
		d.Changes = fields.Changes
		d.save(func(ctx context.Context) error { _, err := a.admin.SetUser(ctx, spec); return err })
	}
	a.join(d, have, u)
	a.attach(d, admin.Holder{User: u.Name}, have.Policies, u.Policies)
	return nil
}

// join makes the groups of a user those that the document lists.
func (a *applier) join(d *difference, have admin.User, u *manifest.User) {
	if u.Groups == nil {
		return
	}
	for _, name := range u.Groups {
		if !slices.Contains(have.Groups, name) {
			d.add("+group "+name, func(ctx context.Context) error { return a.admin.AddMember(ctx, name, u.Name) })
		}
	}
	for _, name := range have.Groups {
		if !slices.Contains(u.Groups, name) {
			d.add("-group "+name, func(ctx context.Context) error { return a.admin.RemoveMember(ctx, name, u.Name) })
		}
	}
}

func (a *applier) rotation(ctx context.Context, r *manifest.Rotation, d *difference) error {
	change := admin.RotationChange{Rotator: r.Rotator}
	if s := r.Schedule; s != nil {
		change.Schedule = &admin.Schedule{
			Expression: s.Expression, AfterDays: s.AfterDays, Duration: s.Window, TimeZone: s.TimeZone, Jitter: s.Jitter, CatchUp: s.CatchUp,
		}
	}
	if r.Retirement != nil {
		change.Retirement = &admin.Retirement{After: lockstep.RetireAfter(r.Retirement.After), Delay: r.Retirement.Delay}
		if change.Retirement.After == "" {
			change.Retirement.After = lockstep.RetireNextRun
		}
	}
	if r.Passwords != nil {
		own := r.Passwords.Policy()
		change.Passwords = &own
	}
	set := func(ctx context.Context) error { _, err := a.admin.SetRotation(ctx, r.Secret, change); return err }
	if a.coming[string(manifest.KindSecret)+" "+r.Secret] {
		d.create(set)
		return nil
	}
	have, err := a.admin.Rotation(ctx, r.Secret)
	if err != nil {
		return err
	}
	if have.Rotator == "" {
		d.create(set)
		return nil
	}
	if changes := rotationChanges(have, change); len(changes) > 0 {
		d.add(strings.Join(changes, "; "), set)
	}
	return nil
}

// passwordsOf is the policy that is set now.
func passwordsOf(have admin.Rotation) lockstep.PasswordPolicy {
	if have.Passwords == nil {
		return lockstep.PasswordPolicy{}
	}
	return *have.Passwords
}

func rotationChanges(have admin.Rotation, want admin.RotationChange) (changes []string) {
	if !have.Enabled {
		changes = append(changes, "turned on")
	}
	if r := want.Rotator; r != nil && *r != have.Rotator && *r != have.RotatorARN {
		changes = append(changes, "rotator")
	}
	if want.Schedule != nil && (have.Schedule == nil || *have.Schedule != *want.Schedule) {
		changes = append(changes, "schedule")
	}
	if want.Retirement != nil && (have.Retirement == nil || *have.Retirement != *want.Retirement) {
		changes = append(changes, "retirement")
	}
	if want.Passwords != nil && *want.Passwords != passwordsOf(have) {
		changes = append(changes, "passwords")
	}
	return changes
}
