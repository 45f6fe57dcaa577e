// Package pgxsecret keeps a pgx pool on the current credential of a live
// secret, without one failed query.
//
//	s, err := c.Open(ctx, "prod/db/orders")
//	…
//	pool, binding, err := pgxsecret.NewPool(ctx, s, pgxsecret.Options{})
//
// New connections log in with what the secret says at that moment. If the
// server refuses the login, the secret is read again and the login repeated for
// a second and a half: that covers an event that has not arrived yet, and a
// target with one password between the moment that it takes the new one and
// the moment that the new one is published.
//
// After a change, idle connections of an older Version are closed at once, and
// busy ones when they are released; no query is cut. A connection that logged
// in before the change and is handed out after it is replaced by a new one
// first. [Binding.Moved] tells when the last old one is gone.
//
// # How a login is repeated
//
// pgxpool has no hook after a failed login. So the login is made in
// BeforeConnect, through pgconn, with all of the Config's settings (TLS,
// fallbacks, timeouts), and the connection that is ready then is handed to
// pgxpool's own connect, which finds the server's greeting replayed. It costs
// no additional round trip.
package pgxsecret
