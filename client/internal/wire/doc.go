// Package wire is how clients talk HTTP to a Lockstep server: it finds the
// server and the credentials in the environment, signs each request with AWS
// Signature Version 4, tries again what is worth trying again, and turns
// refusals into typed errors.
//
// A request is tried again, with exponential backoff and full jitter, when the
// connection failed or the server answered 429 or 5xx. That is safe because
// every request of this API may be repeated. Each attempt has a deadline of its
// own, so that a server that hangs costs one attempt and not the whole call.
//
// A clock that is wrong is corrected by the server's: when a signature is
// refused and the answer's Date is far from our own, the difference is kept and
// applied to what is signed from then on.
package wire
