package policy

import (
	"encoding/base64"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// family is what a condition operator compares.
type family int

const (
	texts family = iota
	numbers
	dates
	booleans
	binaries
	addresses
	arns
	nulls
)

// relation is how it compares.
type relation int

const (
	equal relation = iota
	equalFold
	like
	less
	lessOrEqual
	greater
	greaterOrEqual
)

// operator is a condition operator without prefix and suffix.
type operator struct {
	family   family
	relation relation
	negated  bool
}

// operatorNamed returns the operator of that name.
func operatorNamed(name string) (operator, bool) {
	op, ok := map[string]operator{
		"StringEquals":              {texts, equal, false},
		"StringNotEquals":           {texts, equal, true},
		"StringEqualsIgnoreCase":    {texts, equalFold, false},
		"StringNotEqualsIgnoreCase": {texts, equalFold, true},
		"StringLike":                {texts, like, false},
		"StringNotLike":             {texts, like, true},
		"NumericEquals":             {numbers, equal, false},
		"NumericNotEquals":          {numbers, equal, true},
		"NumericLessThan":           {numbers, less, false},
		"NumericLessThanEquals":     {numbers, lessOrEqual, false},
		"NumericGreaterThan":        {numbers, greater, false},
		"NumericGreaterThanEquals":  {numbers, greaterOrEqual, false},
		"DateEquals":                {dates, equal, false},
		"DateNotEquals":             {dates, equal, true},
		"DateLessThan":              {dates, less, false},
		"DateLessThanEquals":        {dates, lessOrEqual, false},
		"DateGreaterThan":           {dates, greater, false},
		"DateGreaterThanEquals":     {dates, greaterOrEqual, false},
		"Bool":                      {booleans, equal, false},
		"BinaryEquals":              {binaries, equal, false},
		"IpAddress":                 {addresses, equal, false},
		"NotIpAddress":              {addresses, equal, true},
		"ArnEquals":                 {arns, like, false},
		"ArnLike":                   {arns, like, false},
		"ArnNotEquals":              {arns, like, true},
		"ArnNotLike":                {arns, like, true},
		"Null":                      {nulls, equal, false},
	}[name]
	return op, ok
}

// operand is one value of a condition, compiled for its operator.
type operand struct {
	text    pattern // texts
	arn     arnPattern
	number  float64
	date    time.Time
	boolean bool
	network netip.Prefix
	binary  string
}

var (
	errNumber  = errors.New("must be a number")
	errDate    = errors.New("must be a date such as 2026-01-31T12:00:00Z, or epoch seconds")
	errBoolean = errors.New("must be true or false")
	errAddress = errors.New("must be an IP address or CIDR block")
	errBinary  = errors.New("must be base64")
)

// compile reads a policy's value for the operator.
func (o operator) compile(text string, variables bool) (operand, error) {
	var v operand
	var err error
	var ok bool
	switch o.family {
	case texts:
		v.text, err = parsePattern(text, syntaxSet{wildcards: o.relation == like, variables: variables})
		return v, err
	case arns:
		v.arn, err = parseARNPattern(text, syntaxSet{wildcards: true, variables: variables})
		return v, err
	case numbers:
		v.number, ok = parseNumber(text)
		err = errNumber
	case dates:
		v.date, ok = parseDate(text)
		err = errDate
	case booleans, nulls:
		v.boolean, ok = parseBool(text)
		err = errBoolean
	case addresses:
		v.network, ok = parseNetwork(text)
		err = errAddress
	case binaries:
		v.binary, ok = parseBinary(text)
		err = errBinary
	}
	if ok {
		return v, nil
	}
	return v, err
}

// satisfied compares one value of the request with one of the policy, without
// regard to negation. A value of the request that cannot be read satisfies
// nothing.
func (o operator) satisfied(actual string, v *operand, values keyValues) bool {
	switch o.family {
	case texts:
		want, ok := v.text.resolve(values)
		return ok && o.sameString(actual, want)
	case arns:
		return v.arn.match(splitARN(actual), values) == matches
	case numbers:
		n, ok := parseNumber(actual)
		return ok && o.relation.holds(compareFloat(n, v.number))
	case dates:
		t, ok := parseDate(actual)
		return ok && o.relation.holds(t.Compare(v.date))
	case booleans:
		b, ok := parseBool(actual)
		return ok && b == v.boolean
	case binaries:
		b, ok := parseBinary(actual)
		return ok && b == v.binary
	case addresses:
		addr, err := netip.ParseAddr(actual)
		return err == nil && v.network.Contains(addr.Unmap().WithZone(""))
	}
	return false
}

// resolves reports whether each variable in the value has a value itself.
func (v *operand) resolves(values keyValues) bool {
	if _, ok := v.text.resolve(values); !ok {
		return false
	}
	for _, part := range v.arn.parts {
		if _, ok := part.resolve(values); !ok {
			return false
		}
	}
	return true
}

func (o operator) sameString(actual string, want pattern) bool {
	switch o.relation {
	case like:
		return want.match(actual)
	case equalFold:
		return strings.EqualFold(actual, want.fixedPrefix())
	default:
		return actual == want.fixedPrefix()
	}
}

func (r relation) holds(order int) bool {
	switch r {
	case less:
		return order < 0
	case lessOrEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterOrEqual:
		return order >= 0
	default:
		return order == 0
	}
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// parseNumber takes finite decimal numbers.
func parseNumber(s string) (float64, bool) {
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) && !strings.ContainsAny(s, "xX_pP")
}

// parseDate takes the forms of ISO 8601 that the W3C profile allows, and epoch
// seconds.
func parseDate(s string) (time.Time, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) != 4 {
		return time.Unix(n, 0), true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func parseBool(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// parseNetwork takes an address as the network that holds it alone.
func parseNetwork(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, true
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

func parseBinary(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err == nil
}
