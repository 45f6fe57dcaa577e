package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"lockstep/rotators"
)

// provision is what it takes to make the clone what it has to be.
type provision struct {
	// statements may be repeated; actions is what they do, for people.
	statements, actions []string
	// target are the entries of the user that gets the password, as they are
	// when the statements have run.
	target []*entry
	// gives is what the statements grant; roles: they choose a default role.
	gives grants
	roles bool
}

func (p *provision) add(action string, statements ...string) {
	if len(statements) > 0 {
		p.statements = append(p.statements, statements...)
		p.actions = append(p.actions, action)
	}
}

// provision lists the statements that bring the clone in line with its model:
// none if it is that already. While the clone is the one in use (the target is
// the model), it only gains rights; what it has to lose, it loses at its own
// turn. Errors: TargetErrors; FaultPermanent if the clone's name belongs to a
// user that is not a clone, which is then left alone.
func (s *server) provision(ctx context.Context, r *rotators.Request, p pair, target *value, marked bool) (*provision, error) {
	found, err := s.look(ctx, p.Both()...)
	if err != nil {
		return nil, err
	}
	models, clones := found[p.Owner], found[p.Clone]
	if len(models) == 0 {
		return nil, noUser(p.Owner, target)
	}
	ours, err := s.isOurs(ctx, r, p.Clone, marked)
	if err != nil {
		return nil, err
	}
	out := &provision{gives: make(grants), target: models}
	turn := target.User == p.Clone
	if turn {
		out.target = nil
	}
	for _, model := range models {
		i := slices.IndexFunc(clones, func(c *entry) bool { return c.host == model.host })
		var clone *entry
		if i >= 0 {
			clone = clones[i]
		}
		one := alignment{server: s, model: model, clone: clone, password: target.Password, turn: turn, ours: ours}
		if err := one.align(ctx, out); err != nil {
			return nil, err
		}
	}
	if turn {
		s.lockStrays(models, clones, out)
	}
	return out, nil
}

// isOurs tells whether our own marker says that the clone is one.
func (s *server) isOurs(ctx context.Context, r *rotators.Request, clone string, marked bool) (bool, error) {
	if !marked {
		return false, nil
	}
	found, err := s.claims(ctx, []string{clone})
	return err == nil && found[clone].secret == string(r.ARN), err
}

// lockStrays locks the clone where its model has no entry any more.
func (s *server) lockStrays(models, clones []*entry, out *provision) {
	for _, c := range clones {
		if !slices.ContainsFunc(models, func(m *entry) bool { return m.host == c.host }) {
			out.add(fmt.Sprintf("lock %s, since its model is gone", c.name()), "ALTER USER "+c.name()+" ACCOUNT LOCK")
		}
	}
}

// alignment is the work on one entry of the clone.
type alignment struct {
	*server
	model, clone *entry // clone is nil if it is missing
	password     string
	// turn: the clone is the one that gets the password, so nobody uses it.
	turn bool
	ours bool
}

func (a alignment) align(ctx context.Context, out *provision) error {
	if a.clone == nil && !a.turn {
		return nil // it needs a password, which it gets at its turn
	}
	made := *a.model
	made.user += CloneSuffix
	have := grants{}
	want, err := a.grantsOf(ctx, a.model)
	if err != nil {
		return err
	}
	if a.clone == nil {
		// Locked until it is complete; the password is the one that it gets.
		out.add(fmt.Sprintf("create user %s with the rights, limits and TLS requirements of %s", made.name(), a.model.name()),
			"CREATE USER IF NOT EXISTS "+made.name()+" "+a.method(a.model.plugin, a.password)+" ACCOUNT LOCK")
		a.clone = &entry{user: made.user, host: made.host, queries: "0", updates: "0", connections: "0", atOnce: "0", seconds: "0"}
		a.ours = true
	} else if have, err = a.grantsOf(ctx, a.clone); err != nil {
		return err
	}
	if a.turn {
		out.target = append(out.target, &made)
		if err := a.takeAway(have, want, out); err != nil {
			return err
		}
		have = have.without(want)
	}
	if missing := have.missing(want, made.name()); len(missing) > 0 {
		out.add(fmt.Sprintf("give %s the rights of %s", made.name(), a.model.name()), missing...)
		for _, g := range want {
			out.gives.add(g)
		}
	}
	if a.turn {
		a.attributes(&made, out)
	}
	return nil
}

// takeAway revokes what the clone has beyond its model. Only a user that is
// known to be a clone loses anything.
func (a alignment) takeAway(have, want grants, out *provision) error {
	surplus := have.surplus(want, a.clone.name())
	if len(surplus) == 0 {
		return nil
	}
	if !a.ours {
		return rotators.Permanent("if it is meant to be the clone, take that right away by hand: "+surplus[0],
			"user %s exists and has rights that %s lacks", a.clone.name(), a.model.name())
	}
	out.add(fmt.Sprintf("take from %s what %s does not have", a.clone.name(), a.model.name()), surplus...)
	return nil
}

// attributes brings limits, TLS requirements and the default role in line.
func (a alignment) attributes(made *entry, out *provision) {
	if want := a.attributesOf(made); want != a.attributesOf(a.clone) {
		out.add(fmt.Sprintf("bring limits and TLS requirements of %s in line with %s", made.name(), a.model.name()),
			"ALTER USER "+made.name()+" "+want)
	}
	if made.role != a.clone.role {
		out.roles = true
		out.add(fmt.Sprintf("give %s the default role of %s", made.name(), a.model.name()), a.defaultRole(made.name(), made.role))
	}
}

// attributesOf writes the TLS requirements and limits of an entry.
func (s *server) attributesOf(e *entry) string {
	out := fmt.Sprintf("REQUIRE %s WITH MAX_QUERIES_PER_HOUR %s MAX_UPDATES_PER_HOUR %s MAX_CONNECTIONS_PER_HOUR %s MAX_USER_CONNECTIONS %s",
		e.requirement(), e.queries, e.updates, e.connections, e.atOnce)
	if s.statementTime != "" {
		out += " " + s.statementTime + " " + strings.TrimSuffix(e.seconds, ".000000")
	}
	return out
}

func (e *entry) requirement() string {
	switch e.tls {
	case "ANY":
		return "SSL"
	case "X509":
		return "X509"
	case "SPECIFIED":
		var parts []string
		for _, p := range []struct{ word, text string }{{"SUBJECT", e.subject}, {"ISSUER", e.issuer}, {"CIPHER", e.cipher}} {
			if p.text != "" {
				parts = append(parts, p.word+" "+literal(p.text))
			}
		}
		return strings.Join(parts, " AND ")
	}
	return "NONE"
}

// without is g after what is not in want was revoked.
func (g grants) without(want grants) grants {
	out := make(grants)
	for key, have := range g {
		w, there := want[key]
		if have.isRole() {
			if there {
				out[key] = have
			}
			continue
		}
		have.privileges = slices.DeleteFunc(slices.Clone(have.privileges), func(p string) bool {
			return !slices.Contains(w.privileges, p) && !slices.Contains(w.privileges, allPrivileges)
		})
		if len(have.privileges) > 0 {
			out[key] = have
		}
	}
	return out
}
