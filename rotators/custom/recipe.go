package custom

import (
	"context"
	"errors"
	"fmt"

	"lockstep"
	"lockstep/internal/egress"
	"lockstep/rotators"
	"lockstep/rotators/httptoken"
	"lockstep/store"
)

// recipeFile names a recipe in the errors about it, which go to the one who
// registers it; its lines are those of the file.
const recipeFile = "recipe"

// checkRecipe refuses a recipe that cannot work, with line and column.
func checkRecipe(r *store.Rotator) error {
	if err := egress.CheckKinds(r.Addresses); err != nil {
		return err
	}
	recipe, err := httptoken.Parse(recipeFile, r.Target)
	if err != nil {
		return lockstep.Refuse(lockstep.ErrInvalid, "The recipe can't be used: %s.", err)
	}
	if r.Timeout != 0 && r.Timeout != recipe.Timeout {
		return lockstep.Refuse(lockstep.ErrInvalid, "A recipe says itself how long a request may take (timeout).")
	}
	r.Timeout = recipe.Timeout
	return checkCA(r)
}

// RecipeTraits are the Traits that a recipe declares. Errors: a
// *yamltree.Error.
func RecipeTraits(text string) (lockstep.Traits, error) {
	r, err := httptoken.Parse(recipeFile, text)
	if err != nil {
		return lockstep.Traits{}, err
	}
	return r.Traits, nil
}

// Recipe finds a recipe that an account has registered, as a Rotator. Errors:
// ErrUnknownRotator; ErrInvalid if this version cannot read it; ErrBusy.
func (g *Registrations) Recipe(ctx context.Context, account lockstep.AccountID, name string) (rotators.Rotator, error) {
	r, err := g.Rotator(ctx, account, name)
	if errors.Is(err, lockstep.ErrNotFound) || err == nil && r.Kind != store.RotatorRecipe {
		return nil, fmt.Errorf("%w %q", lockstep.ErrUnknownRotator, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read rotator %s: %w", name, err)
	}
	recipe, err := httptoken.Parse(recipeFile, r.Target)
	if err != nil {
		return nil, fmt.Errorf("read recipe %s: %w: %w", name, err, lockstep.ErrInvalid)
	}
	config := httptoken.Config{Addresses: r.Addresses, Now: g.config.Now}
	if r.CA != "" {
		config.Roots = rootsOf(r.CA)
	}
	return httptoken.New(recipe, config), nil
}
