// Package api is the HTTP face: it takes a request, finds out who signed it,
// hands it to the API that it is for, and makes sure that whatever happens the
// client gets an answer in that API's form.
//
// What is where:
//
//   - POST / with X-Amz-Target: an AWS JSON API, chosen by the target's prefix
//     ([Config].Services; package api/secretsmanager);
//   - POST / with a form: AWS's query protocol ([Config].Query; package api/sts);
//   - /v1/…: rotation admin (package api/v1);
//   - /healthz, /readyz: without a signature, for load balancers.
//
// Every request gets an id, which stands in the answer (x-amzn-RequestId) and
// in its one line of the access log: action, principal, status, duration; no
// body, no header. A failure of the server is logged with the same id, and the
// client learns nothing else of it; so it is with a panic.
//
// The body is bounded by auth/sigv4 before it is read, and read before anything
// is done, so that a truncated request changes nothing.
package api
