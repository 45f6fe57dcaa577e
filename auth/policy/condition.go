package policy

import (
	"errors"
	"strings"
)

// quantifier says how an operator treats a key with several values.
type quantifier int

const (
	// single: no prefix. It is meant for keys with one value; with several,
	// one that fits is enough.
	single quantifier = iota
	forAllValues
	forAnyValue
)

// condition is one line of a Condition element: operator, key, values.
type condition struct {
	operator
	quantifier quantifier
	ifExists   bool
	key        string // lower case
	operands   []operand
	// inDeny: the statement denies, so where a document is silent the
	// condition holds rather than not.
	inDeny bool
}

var errOperator = errors.New("unknown condition operator")

// parseOperator reads "ForAllValues:StringLikeIfExists" and the like.
func parseOperator(name string) (condition, error) {
	var c condition
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		c.quantifier, name = forAllValues, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		c.quantifier, name = forAnyValue, rest
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	op, ok := operatorNamed(name)
	if !ok || op.family == nulls && (c.ifExists || c.quantifier != single) {
		return c, errOperator
	}
	c.operator = op
	return c, nil
}

// holds decides the condition for a request.
func (c *condition) holds(values keyValues) bool {
	var scratch [1]string
	actual := values.get(c.key, &scratch)
	if c.family == nulls {
		return c.isNull(len(actual) == 0)
	}
	if len(actual) == 0 {
		return c.holdsForAbsent()
	}
	if c.negated && !c.inDeny && !c.resolves(values) {
		return false // "differs from what has no value" must not widen an Allow
	}
	switch c.quantifier {
	case forAllValues:
		for _, a := range actual {
			if c.some(a, values) == c.negated {
				return false
			}
		}
		return true
	case forAnyValue:
		for _, a := range actual {
			if c.some(a, values) != c.negated {
				return true
			}
		}
		return false
	default:
		return c.overlaps(actual, values) != c.negated
	}
}

// holdsForAbsent: what is not there cannot equal anything, so that negated
// operators hold; ForAllValues holds for no values, ForAnyValue does not.
func (c *condition) holdsForAbsent() bool {
	switch {
	case c.ifExists, c.quantifier == forAllValues:
		return true
	case c.quantifier == forAnyValue:
		return false
	default:
		return c.negated
	}
}

func (c *condition) isNull(absent bool) bool {
	for i := range c.operands {
		if c.operands[i].boolean == absent {
			return true
		}
	}
	return false
}

// some reports whether one value of the request satisfies one of the policy's.
func (c *condition) some(actual string, values keyValues) bool {
	for i := range c.operands {
		if c.satisfied(actual, &c.operands[i], values) {
			return true
		}
	}
	return false
}

func (c *condition) overlaps(actual []string, values keyValues) bool {
	for _, a := range actual {
		if c.some(a, values) {
			return true
		}
	}
	return false
}

// resolves reports whether each variable in the operands has a value.
func (c *condition) resolves(values keyValues) bool {
	for i := range c.operands {
		if !c.operands[i].resolves(values) {
			return false
		}
	}
	return true
}
