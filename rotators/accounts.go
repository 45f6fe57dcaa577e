package rotators

import (
	"strconv"
	"strings"

	"lockstep"
)

// String is the Account's canonical name: engine, host, port and user, with
// the parts that are not case-sensitive in lower case.
func (a Account) String() string {
	return strings.Join([]string{strings.ToLower(a.Engine), strings.ToLower(a.Host), strconv.Itoa(a.Port), a.User}, "|")
}

// Traits are those of a registered Rotator. ErrUnknownRotator.
func (g *Registry) Traits(name string) (lockstep.Traits, error) {
	r, err := g.Lookup(name)
	if err != nil {
		return lockstep.Traits{}, err
	}
	return traitsOf(r), nil
}

// traitsOf are a Rotator's Traits, with what its abilities say.
func traitsOf(r Rotator) lockstep.Traits {
	traits := r.Traits()
	_, retires := r.(Retirer)
	traits.Ephemeral = traits.Chooser == lockstep.Issued && !retires
	return traits
}

// AccountNames lists the canonical names of the Accounts that a value is
// about: first the one it logs in as, then all that its Secret owns. It is
// empty for a Rotator without Accounts. Errors: ErrUnknownRotator; ErrInvalid
// if the value lacks a field.
func (g *Registry) AccountNames(name string, v lockstep.Value) ([]string, error) {
	r, err := g.Lookup(name)
	if err != nil {
		return nil, err
	}
	id, ok := r.(Identifier)
	if !ok {
		return nil, nil
	}
	own, err := id.Account(v)
	if err != nil {
		return nil, err
	}
	all, err := id.Accounts(v)
	if err != nil {
		return nil, err
	}
	names := []string{own.String()}
	for _, a := range all {
		names = append(names, a.String())
	}
	return names, nil
}
