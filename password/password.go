// Package password makes random passwords by a [Policy]: which characters may
// stand in one, which must, and how long it is. The rules are those of AWS's
// GetRandomPassword; [ForRotation] is the policy for what rotators make.
//
// Every password that a Policy admits is equally likely: characters are drawn
// without bias, and a draw that breaks a rule is thrown away whole instead of
// being mended.
package password

import (
	"crypto/rand"
	"fmt"
	"strings"

	"lockstep"
)

// The limits of a Policy, as AWS sets them.
const (
	DefaultLength = 32
	MaxLength     = 4096
	MaxExclude    = 4096
)

// Unsafe is what has to be quoted somewhere: in a URL's or a driver's connection
// string, .pgpass, .env files, YAML or a shell. What is left of the punctuation
// marks are those that RFC 3986 calls unreserved, "-._~"; passwords that rotators
// make have no others.
const Unsafe = "!\"#$%&'()*+,/:;<=>?@[\\]^`{|} "

// The four kinds of character.
const (
	upper       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lower       = "abcdefghijklmnopqrstuvwxyz"
	numbers     = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// Policy says what a password looks like. The zero Policy is 32 letters,
// digits and punctuation marks.
type Policy struct {
	// Length is the number of characters, 1 to MaxLength; zero means
	// DefaultLength.
	Length int
	// Exclude lists characters that do not appear; at most MaxExclude bytes.
	Exclude string
	// NotFirst lists characters that a password does not begin with.
	NotFirst string
	// ExcludeUpper, ExcludeLower, ExcludeNumbers and ExcludePunctuation leave
	// a kind of character out; IncludeSpace adds the space.
	ExcludeUpper       bool
	ExcludeLower       bool
	ExcludeNumbers     bool
	ExcludePunctuation bool
	IncludeSpace       bool
	// RequireEachIncludedType asks for at least one character of each kind
	// that is not left out. A kind of which Exclude leaves nothing is left out.
	RequireEachIncludedType bool
}

// ForAWS is the policy of GetRandomPassword without parameters.
func ForAWS() Policy { return Policy{RequireEachIncludedType: true} }

// ForRotation is the default policy of the rotators: 32 characters of each
// kind, none of Unsafe, and at the start no dash, which a program would take for
// an option, and no tilde, which a shell would take for a home.
func ForRotation() Policy {
	return Policy{Exclude: Unsafe, NotFirst: "-~", RequireEachIncludedType: true}
}

// Validate tells whether any password can satisfy the policy. Errors:
// lockstep.ErrInvalid, saying what to change.
func (p Policy) Validate() error {
	_, err := p.plan()
	return err
}

// Generate returns a new random password. Errors: as Validate.
func (p Policy) Generate() (string, error) {
	pl, err := p.plan()
	if err != nil {
		return "", err
	}
	var src source
	out := make([]byte, pl.length)
	// At worst (four characters, three kinds of one character each) one draw
	// in about a thousand is admitted; by default nearly each.
	for {
		for i := range out {
			out[i] = pl.pool[src.below(len(pl.pool))]
		}
		if pl.admits(out) {
			return string(out), nil
		}
	}
}

// plan is a Policy made ready for drawing.
type plan struct {
	length   int
	pool     string
	kinds    []string // of each, one character is required
	notFirst string
}

func (p Policy) plan() (plan, error) {
	pl := plan{length: p.Length, notFirst: p.NotFirst}
	if pl.length == 0 {
		pl.length = DefaultLength
	}
	if pl.length < 1 || pl.length > MaxLength {
		return plan{}, fmt.Errorf("password length %d is not between 1 and %d: %w", p.Length, MaxLength, lockstep.ErrInvalid)
	}
	if len(p.Exclude) > MaxExclude {
		return plan{}, fmt.Errorf("more than %d excluded characters: %w", MaxExclude, lockstep.ErrInvalid)
	}
	kinds := p.kinds()
	pl.pool = strings.Join(kinds, "")
	if p.IncludeSpace && !strings.Contains(p.Exclude, " ") {
		pl.pool += " "
	}
	if without(pl.pool, p.NotFirst) == "" {
		return plan{}, fmt.Errorf("the policy excludes every character: %w", lockstep.ErrInvalid)
	}
	if !p.RequireEachIncludedType {
		return pl, nil
	}
	pl.kinds = kinds
	if pl.length < len(kinds) {
		return plan{}, fmt.Errorf("password length %d is too short for one character of each of %d kinds: %w",
			pl.length, len(kinds), lockstep.ErrInvalid)
	}
	// The first character would have to be of none of the kinds.
	if pl.length == len(kinds) && without(strings.Join(kinds, ""), p.NotFirst) == "" {
		return plan{}, fmt.Errorf("the policy leaves nothing to begin with: %w", lockstep.ErrInvalid)
	}
	return pl, nil
}

// kinds returns what is left of each kind that is included.
func (p Policy) kinds() []string {
	var kinds []string
	for _, k := range []struct {
		excluded bool
		chars    string
	}{{p.ExcludeUpper, upper}, {p.ExcludeLower, lower}, {p.ExcludeNumbers, numbers}, {p.ExcludePunctuation, punctuation}} {
		if left := without(k.chars, p.Exclude); !k.excluded && left != "" {
			kinds = append(kinds, left)
		}
	}
	return kinds
}

func (pl plan) admits(password []byte) bool {
	if strings.IndexByte(pl.notFirst, password[0]) >= 0 {
		return false
	}
	for _, kind := range pl.kinds {
		if !strings.ContainsAny(kind, string(password)) {
			return false
		}
	}
	return true
}

func without(chars, excluded string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(excluded, r) {
			return -1
		}
		return r
	}, chars)
}

// source hands out random numbers without bias; it reads ahead, since a call
// of crypto/rand for each character is most of the time otherwise.
type source struct {
	buf  [64]byte
	left int
}

// below returns a number in [0, n), n at most 128. A byte's seven low bits are
// thrown away when they are n or more.
func (s *source) below(n int) int {
	for {
		if s.left == 0 {
			// crypto/rand.Read fills the buffer or ends the process.
			_, _ = rand.Read(s.buf[:])
			s.left = len(s.buf)
		}
		s.left--
		if v := int(s.buf[s.left] & 0x7f); v < n {
			return v
		}
	}
}
