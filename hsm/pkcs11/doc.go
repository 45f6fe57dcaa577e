// Package pkcs11 leaves the root key inside an HSM that speaks PKCS#11: a
// network appliance, a card, a cloud HSM, or SoftHSM2 in tests. The AES key and
// the private signing key are made there and cannot be extracted; only the
// public key ever leaves.
//
// The keys are found by label. [Open] makes them where Config.Generate allows
// it and neither is there; half a pair, or two keys of one label, is refused,
// since guessing could lose everything that was wrapped.
//
// An HSM can go away and come back: a cable, a restart, a failover. Handles
// and logins are then void for good, so a supervisor goroutine drops the whole
// connection and builds a new one, at growing intervals. Meanwhile every call
// fails at once with lockstep.ErrSealed. A PIN that the token refuses ends the
// supervisor's attempts, since a few wrong ones lock a token.
//
// A module's call cannot be interrupted: a context is looked at before each
// call and while waiting for the supervisor, not during the call.
//
// Without cgo the package compiles to an Open that only says so.
package pkcs11
