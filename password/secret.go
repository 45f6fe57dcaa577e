package password

import (
	"fmt"
	"math"

	"lockstep"
)

// MinBits is what a password of a Secret's own policy must be worth: the
// logarithm of the number of passwords that the policy admits. 64 bits outlast
// any guessing at a server's door, and years of it at a stolen hash.
const MinBits = 64

// With lays a Secret's own policy over a rotator's: its length instead, and its
// exclusions on top. Errors: ErrInvalid if nothing can satisfy the two, or what
// satisfies them is worth less than MinBits; it says what to change, with an
// example that works.
func (p Policy) With(own lockstep.PasswordPolicy) (Policy, error) {
	if own == (lockstep.PasswordPolicy{}) {
		return p, nil
	}
	if own.Length != 0 {
		p.Length = own.Length
	}
	p.Exclude += own.ExcludeCharacters
	p.ExcludeUpper = p.ExcludeUpper || own.ExcludeUppercase
	p.ExcludeLower = p.ExcludeLower || own.ExcludeLowercase
	p.ExcludeNumbers = p.ExcludeNumbers || own.ExcludeNumbers
	p.ExcludePunctuation = p.ExcludePunctuation || own.ExcludePunctuation
	pl, err := p.plan()
	if err != nil {
		return p, fmt.Errorf("%w; for example length 32, without punctuation", err)
	}
	perCharacter := math.Log2(float64(len(pl.pool)))
	if bits := float64(pl.length) * perCharacter; bits < MinBits {
		return p, tooWeak(pl, bits, perCharacter)
	}
	return p, nil
}

func tooWeak(pl plan, bits, perCharacter float64) error {
	if perCharacter < 1 {
		return fmt.Errorf("the policy leaves a single character: %w; for example length 32, without punctuation", lockstep.ErrInvalid)
	}
	return fmt.Errorf("%d characters out of %d can be guessed (%.0f bits, less than %d): %w; for example length %.0f",
		pl.length, len(pl.pool), bits, MinBits, lockstep.ErrInvalid, math.Ceil(MinBits/perCharacter))
}
