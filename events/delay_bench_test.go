package events

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lockstep"
	"lockstep/bus"
	"lockstep/internal/localca"
)

// BenchmarkCommitToReceipt measures the time from the end of the commit that
// holds an Event to its receipt by the last of N core subscribers, one Event
// at a time, each on a TLS connection of its own, as applications have.
func BenchmarkCommitToReceipt(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) { benchmarkDelay(b, n) })
	}
}

// everyone may hear everything.
type everyone struct{}

func (everyone) Authorize(context.Context, string) (bus.Grant, error) {
	return bus.Grant{User: "any", Subscribe: []string{lockstep.EventSubjectPrefix + ".>"}, Expires: time.Now().Add(time.Hour)}, nil
}

func benchmarkDelay(b *testing.B, n int) {
	ca, err := localca.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, func(c *bus.Config) {
		c.Listen, c.TLS, c.Authorizer = "127.0.0.1:0", ca.ServerConfig(nil), everyone{}
	})
	s := w.secret(b, "prod/a")
	got := make(chan time.Time, n)
	for range n {
		nc, err := nats.Connect(w.bus.ClientURL(), nats.Secure(&tls.Config{RootCAs: ca.Pool()}), nats.Token("any"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		if _, err := nc.Subscribe(lockstep.EventSubjectPrefix+".>", func(*nats.Msg) { got <- time.Now() }); err != nil {
			b.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	w.start(b, w.relay)
	var delays []time.Duration
	for b.Loop() {
		w.tell(b, s, lockstep.EventVersionCurrent)
		committed := time.Now()
		var last time.Time
		for range n {
			if at := <-got; at.After(last) {
				last = at
			}
		}
		delays = append(delays, last.Sub(committed))
		w.drained(b) // idle again
	}
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(0, "ns/op")
}
