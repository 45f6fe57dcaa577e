// Package lockstep is the domain of the Lockstep secrets manager: its words,
// its rules and its errors, and nothing that does I/O.
//
// A [Secret] has Versions ([Version]), each written once; a [Stage] stands on
// at most one of them. A [Rotation] is the policy that replaces the value on a
// schedule; one execution of it is a [Run]. A Run goes through the states that
// [Transition] allows, and through no others: the whole engine asks that one
// function. What the world is told about a Secret is an [Event].
//
// Every other package may import this one; it imports the standard library
// alone.
package lockstep
