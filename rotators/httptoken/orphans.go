package httptoken

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"lockstep"
	"lockstep/rotators"
	"lockstep/rotators/jsonvalue"
)

// retiring is the ability to revoke an old value.
type retiring struct{ of *rotator }

// Retire implements rotators.Retirer.
func (a retiring) Retire(ctx context.Context, req *rotators.Request, old lockstep.Value) error {
	c, err := a.of.begin(req, old)
	if err != nil {
		return err
	}
	if err := c.differs(req.Current); err != nil {
		return err
	}
	gone, err := c.revoke(ctx, req)
	if err != nil || !gone {
		return err
	}
	return a.seeGone(ctx, req, old)
}

// seeGone tries a value of which the provider says that it is not there: it may
// be that the request named something else, such as a project that was moved.
func (a retiring) seeGone(ctx context.Context, req *rotators.Request, old lockstep.Value) error {
	err := a.of.testOnce(ctx, req, old)
	switch {
	case err == nil:
		return permanent(errors.New("revoke: the provider does not find the old value, but accepts it"),
			"see whether revoke names what issue has made; revoke the old one by hand")
	case lockstep.AsTargetError(err).Fault == lockstep.FaultRefusedLogin:
		return nil
	}
	return err
}

// differs sees that revoking the value does not revoke AWSCURRENT: by what
// revoke names it, and by what logs in.
func (c *conversation) differs(current lockstep.Value) error {
	now, err := jsonvalue.Parse(current)
	if err != nil {
		return permanent(fmt.Errorf("AWSCURRENT: %w", err), "put a JSON object with the recipe's fields")
	}
	same, credentials := true, 0
	for _, g := range c.recipe.issue.gives {
		text, has := textOf(c.scope.secret.JSON(g.field))
		other, _ := textOf(now.JSON(g.field))
		equal := has && text == other
		if c.recipe.Secret.secret(g.field) && has {
			credentials++
			if equal {
				return currents()
			}
		}
		if c.recipe.revoke.uses(ofSecret, g.field) {
			same = same && equal
		}
	}
	if same || credentials == 0 {
		return currents() // or nothing was ever issued into it
	}
	return nil
}

func currents() error { return permanent(rotators.ErrCurrents, "") }

// revoke asks for what the scope names to be revoked; gone tells that it was not
// there any more.
func (c *conversation) revoke(ctx context.Context, req *rotators.Request) (gone bool, err error) {
	f, err := c.fill(c.recipe.revoke)
	if err != nil {
		return false, err
	}
	ctx, cancel, err := c.inTime(ctx, req)
	if err != nil {
		return false, err
	}
	defer cancel()
	a, err := c.send(ctx, f)
	if err != nil {
		return false, forGood(err)
	}
	return c.recipe.revoke.meaning(a) == meansGone, nil
}

// forGood takes a refused login for a permanent fault where it is not a verdict
// on the value that was asked about.
func forGood(err error) error {
	if err == nil {
		return nil
	}
	te := *lockstep.AsTargetError(err)
	if te.Fault == lockstep.FaultRefusedLogin {
		te.Fault = lockstep.FaultPermanent
	}
	return &te
}

// finding is the ability to find what was issued and never heard of.
type finding struct{ of *rotator }

// maxPages bounds a list.
const maxPages = 500

// Marked implements rotators.OrphanFinder.
func (a finding) Marked(ctx context.Context, req *rotators.Request) ([]rotators.Marked, error) {
	c, err := a.of.begin(req, req.Current)
	if err != nil {
		return nil, err
	}
	return c.marked(ctx, req.ARN)
}

func (c *conversation) marked(ctx context.Context, arn lockstep.ARN) ([]rotators.Marked, error) {
	list := c.recipe.list
	var found []rotators.Marked
	for i := range maxPages {
		if list.pages != nil {
			c.scope.page, c.scope.size = list.pages.first+i, list.pages.size
		}
		answer, err := c.ask(ctx, list)
		if err != nil {
			return nil, changedNothing(forGood(err))
		}
		items, err := list.read(answer.body)
		if err != nil {
			return nil, &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("list: %w", err)}
		}
		for _, one := range items.marked {
			if one.Marker.Of(arn) {
				found = append(found, one)
			}
		}
		if list.pages == nil || items.all < list.pages.size {
			return found, nil
		}
	}
	return nil, &lockstep.TargetError{Outcome: lockstep.NotApplied, Fault: lockstep.FaultPermanent,
		Err: fmt.Errorf("list: more than %d pages", maxPages), Hint: "see whether the provider takes ${page} as the recipe gives it"}
}

// listed is one page of a list.
type listed struct {
	all    int
	marked []rotators.Marked
}

func (q *request) read(body json.RawMessage) (listed, error) {
	var items []json.RawMessage
	if raw := q.items.find(body); raw == nil || json.Unmarshal(raw, &items) != nil {
		return listed{}, fmt.Errorf("the answer has no list at %s", q.items.text)
	}
	l := listed{all: len(items)}
	for _, item := range items {
		name, _ := textOf(q.marker.find(item))
		marker, ours := lockstep.ParseMarker(name)
		if !ours || !hold(q.counts, item) {
			continue
		}
		id, ok := textOf(q.gives[0].from.find(item))
		if !ok || id == "" {
			return l, fmt.Errorf("the item %s has nothing at %s", marker, q.gives[0].from.text)
		}
		l.marked = append(l.marked, rotators.Marked{Marker: marker, ID: id})
	}
	return l, nil
}

// Revoke implements rotators.OrphanFinder.
func (a finding) Revoke(ctx context.Context, req *rotators.Request, m rotators.Marked) error {
	c, err := a.of.begin(req, req.Current)
	if err != nil {
		return err
	}
	id, err := quote(m.ID)
	if err != nil {
		return permanent(err, "")
	}
	// Nothing that was issued with AWSCURRENT may be taken for the orphan's.
	c.scope.over = map[string]json.RawMessage{}
	for _, g := range c.recipe.issue.gives {
		c.scope.over[g.field] = nil
	}
	c.scope.over[c.recipe.list.gives[0].field] = id
	_, err = c.revoke(ctx, req)
	return err
}

// expiring is the ability to say until when a value works.
type expiring struct{ of *rotator }

// The forms in which a time may stand in a value.
const (
	expiryRFC3339 = "rfc3339"
	expiryDate    = "date"
	expiryUnix    = "unix"
)

// Expires implements rotators.Expirer.
func (a expiring) Expires(v lockstep.Value) (time.Time, error) {
	o, err := jsonvalue.Parse(v)
	if err != nil {
		return time.Time{}, err
	}
	raw := bytes.TrimSpace(o.JSON(a.of.recipe.Expires))
	if string(raw) == "null" || string(raw) == `""` {
		return time.Time{}, nil
	}
	text, _ := textOf(raw)
	at, err := readTime(a.of.recipe.expiryForm, text)
	if err != nil {
		return time.Time{}, unusable("the field %q is no time in the form %s", a.of.recipe.Expires, a.of.recipe.expiryForm)
	}
	return at.UTC(), nil
}

func readTime(form, text string) (time.Time, error) {
	switch form {
	case expiryDate:
		return time.Parse(time.DateOnly, text)
	case expiryUnix:
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds <= 0 || seconds > 1<<40 {
			return time.Time{}, errors.New("no unix time")
		}
		return time.Unix(seconds, 0), nil
	}
	return time.Parse(time.RFC3339, text)
}
