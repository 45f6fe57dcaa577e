package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// Public returns a Finding for each statement that lets in anyone: it allows
// everyone, and no condition fixes the account, principal, organization, source
// or network. Denies are not counted in favour of a policy. Empty means that
// the policy is not public. Identity policies never are.
func (p *Policy) Public() []Finding {
	var found []Finding
	for i := range p.statements {
		s := &p.statements[i]
		if s.deny || s.principals == nil || !s.principals.anyone || s.isNarrowed() {
			continue
		}
		found = append(found, p.finding(s, CheckPublic, Fault,
			"The policy grants access to everyone. Name principals, or add a condition that fixes the account, principal, organization, VPC or network."))
	}
	return found
}

// IsPublic reports whether the policy lets in anyone. It is what
// BlockPublicPolicy refuses.
func IsPublic(p *Policy) bool { return len(p.Public()) > 0 }

// isNarrowed reports whether one condition fixes who may come. Conditions add
// up by AND, so one is enough.
func (s *statement) isNarrowed() bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool { return c.narrows() })
}

// narrows: only a positive comparison with fixed values narrows, and only one
// that fails when the key is absent.
func (c *condition) narrows() bool {
	if c.negated || c.ifExists || c.quantifier == forAllValues {
		return false
	}
	for i := range c.operands {
		if !c.fixes(&c.operands[i]) {
			return false
		}
	}
	return true
}

// fixes reports whether a value of the condition leaves but a known circle.
func (c *condition) fixes(v *operand) bool {
	switch c.key {
	case "aws:sourceip", "aws:vpcsourceip":
		return c.family == addresses && isNarrowNetwork(v.network)
	case keyPrincipalAccount, "aws:sourceaccount", "aws:sourceowner", "aws:principalorgid", "aws:sourceorgid",
		"aws:sourcevpc", "aws:sourcevpce", "kms:calleraccount", "kms:viaservice":
		return c.family == texts && v.text.isFixed() && v.text.fixedPrefix() != ""
	case keyUserID:
		return c.family == texts && isFixedUserID(v.text)
	case "aws:principalorgpaths", "aws:sourceorgpaths":
		org, _, found := strings.Cut(v.text.fixedPrefix(), "/")
		return c.family == texts && found && strings.HasPrefix(org, "o-") && len(org) > 2
	case keyPrincipalARN, "aws:sourcearn":
		return c.fixesAccount(v)
	}
	return false
}

// isFixedUserID: a fixed id, or all sessions of a fixed role ("AROA…:*").
func isFixedUserID(p pattern) bool {
	if p.isFixed() {
		return p.fixedPrefix() != ""
	}
	role, _, found := strings.Cut(p.fixedPrefix(), ":")
	return found && role != ""
}

// fixesAccount: an ARN with a literal account.
func (c *condition) fixesAccount(v *operand) bool {
	switch c.family {
	case arns:
		return !v.arn.any && len(v.arn.parts) == arnParts && v.arn.parts[4].isFixed() && isAccountID(v.arn.parts[4].fixedPrefix())
	case texts:
		return isAccountID(splitARN(v.text.fixedPrefix()).account())
	}
	return false
}

// isNarrowNetwork: anything up to a /8 (IPv4) or /32 (IPv6); private networks
// have no outside.
func isNarrowNetwork(n netip.Prefix) bool {
	if n.Addr().Is4() {
		return n.Bits() >= 8
	}
	return n.Bits() >= 32 || n.Addr().IsPrivate() && n.Bits() >= 7
}
