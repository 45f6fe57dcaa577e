// Package oauth tests the OAuth rotators end to end: a running server, a real
// authorization server, and applications that read access tokens meanwhile.
package oauth
