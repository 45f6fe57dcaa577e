// Package awsjson is AWS's JSON 1.1 protocol without any service in it: the
// strict reading of a request body, the form of answers and errors, timestamps
// and the constraints that AWS's models put on fields.
//
// A service is a [Service]: it gets a [Call] that is already authenticated and
// returns an output to be marshalled, or an error. An [*Error] is told to the
// client as it is; every other error is a failure of the server, of which the
// client learns nothing but the request's id. Which refusal of the domain
// becomes which code is the service's own table.
//
// Reading is stricter than encoding/json, because what one parser drops and
// another takes is where attacks live: names match exactly, a name that stands
// twice is refused, also where the field is unknown, and text that is not
// valid Unicode is refused instead of being changed silently. Unknown fields
// are ignored, as AWS does, so that newer SDKs work.
package awsjson
