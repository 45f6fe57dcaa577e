// Package client is the Go SDK for applications: secrets that stay current by
// themselves, and the events of a Lockstep server.
//
// [Client.Open] gives a live [Secret]: its value is in memory, and a change
// reaches it within milliseconds, by an event over NATS. The event carries no
// value; the client then reads AWSCURRENT over HTTPS. NATS is never in an
// application's way: while it is away, the value in memory goes on to be served
// and is read again every minute, and the connection comes back by itself with
// a fresh login token (the access key itself is never shown to NATS).
//
// [Client.Watch] gives the events of many secrets: at least once, in the order
// of their sequence per secret, none twice by one Watcher, over disconnects and
// restarts of either side. Live events come by a plain NATS subscription, which
// is the fastest way; what was missed is asked for again in three places, each
// of which knows more than the one before: the event stream (a replay), the
// server's store (GET /v1/events, 30 days), and for what is not even there an
// explicit [GapError].
//
//	c, err := client.New(ctx, client.Config{}) // after eval "$(lockstep env)"
//	…
//	s, err := c.Open(ctx, "prod/db/orders")
//	…
//	for {
//		v := s.Current()
//		use(v.Value)
//		<-v.Replaced()
//	}
//
// Package client/pgxsecret does that for a pgx pool. This package imports
// nothing of the server but the form of its login tokens, so that an
// application pulls in little.
package client
