// Package sigv4 verifies AWS Signature Version 4 on the server side, and makes
// and verifies the login tokens with which NATS clients prove that they hold an
// access key.
//
// It verifies by its own canonicalisation instead of signing again with a
// client's signer: signers leave out headers (User-Agent, Expect, …) that
// other clients do sign, so re-signing refuses honest requests.
//
// The work is split so that signatures by X.509 certificate share it:
//
//   - [Rules] take a request apart: exactly one Authorization header, signed
//     headers complete and sorted, clock within the skew, body read under a
//     limit and hashed, the string to sign rebuilt. No key is involved.
//   - [Verifier] adds the scope (region, service), the key and the comparison
//     in constant time.
//
// What comes in is an *http.Request whose body was not read; what goes out is
// an [Identity], and the request with its body in memory. Errors are of type
// [*Error], which knows its code on the JSON and on the XML (Query) APIs; any
// other error is a failure of the server itself.
//
// What a signature does not give: freshness within the skew. The same request
// verifies again until its date is too old, since clients repeat a request
// with the same signature when they retry within one second. Calls that change
// something are made idempotent by their token; a caller that needs more keeps
// the signatures it has seen for twice the skew.
package sigv4
