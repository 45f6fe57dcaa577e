// Package access tests who may do what, against the real server: each action
// under each kind of policy, keys in rotation, changes that take effect, and
// what a subscriber hears.
package access
