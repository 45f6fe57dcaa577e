// Package policy is the IAM policy language: it parses policies, decides
// requests and finds what is wrong with a policy. It is pure: no I/O, no clock,
// no state; what a request brings along (its time, address, tags) stands in its
// [Context].
//
// [Parse] is strict. It names statement, element, line and column of whatever
// it refuses, and compiles the rest: patterns become tokens, values of
// conditions become numbers, times and networks, so that a decision parses
// nothing and uses no regular expression.
//
// [Evaluate] follows the evaluation logic that AWS documents:
//
//  1. A Deny that applies, in any policy, decides.
//  2. Within one account, identity policies and the resource policy add up. A
//     resource policy that names a user or a session itself is enough alone;
//     one that names a role (or everyone) is still bounded by permissions
//     boundary and session policies; one that names the account only lets the
//     account's identity policies decide.
//  3. Between accounts, both sides must allow.
//  4. Boundary and session policies never grant; they must allow too.
//
// The [Decision] says which policy, and which statement, decided.
//
// Where AWS's documents are silent, the choice is the one that allows less:
// "Principal": "*" counts as naming the role, not the session; a variable that
// has no value makes an Allow with NotResource inapplicable.
package policy
