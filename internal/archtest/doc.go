// Package archtest holds the house together: its tests read the module as the
// go command sees it and fail when a package imports what it may not, has no
// doc comment, needs cgo where none is promised, or when a pinned dependency
// moved.
//
// The table of allowed imports stands in rules_test.go. It is the exact form of
// what docs/decisions tells in words: a new package adds a line there, and a
// new arrow is a decision that somebody has to write down.
package archtest
