package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/client"
	"lockstep/client/internal/clienttest"
	"lockstep/internal/localca"
)

// everyone lets any login see all events: the benchmark is about delivery,
// and login tokens are made but not checked.
type everyone struct{}

func (everyone) Authorize(context.Context, string) (bus.Grant, error) {
	return bus.Grant{User: "bench", Subscribe: []string{lockstep.EventSubjectPrefix + ".>"}, Expires: time.Now().Add(time.Hour)}, nil
}

// BenchmarkEventDelay measures from publishing an event on the server's bus to
// its receipt by all watchers, each a client with a TLS connection of its own.
func BenchmarkEventDelay(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkDelay(b, n) })
	}
}

func benchmarkDelay(b *testing.B, n int) {
	srv := clienttest.Start(b) // for the account alone
	ca, err := localca.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	hub, err := bus.Start(b.Context(), bus.Config{
		Dir: b.TempDir(), Listen: "127.0.0.1:0", TLS: ca.ServerConfig(nil), Authorizer: everyone{},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = hub.Close() })
	ctx, cancel := context.WithCancel(b.Context())
	arrivals := make(chan time.Duration, n)
	var watchers sync.WaitGroup
	b.Cleanup(func() { cancel(); watchers.Wait() })
	for range n {
		w := benchWatcher(b, srv, hub, ca)
		watchers.Go(func() { receive(ctx, w, arrivals) })
	}
	publish := func(seq uint64) []time.Duration {
		e := benchEvent(seq)
		body, err := json.Marshal(e)
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range hub.PublishEvents(ctx, []bus.Message{{ID: e.ID, Subject: lockstep.EventSubject(&e), Body: body}}) {
			if err != nil {
				b.Fatal(err)
			}
		}
		delays := make([]time.Duration, n)
		for i := range delays {
			delays[i] = <-arrivals
		}
		return delays
	}
	publish(1) // every watcher is connected once it has this
	var all []time.Duration
	for seq := uint64(2); b.Loop(); seq++ {
		all = append(all, publish(seq)...)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

func benchEvent(seq uint64) lockstep.Event {
	return lockstep.Event{
		ID: fmt.Sprint("bench-", seq), Type: lockstep.EventVersionCurrent, Account: "000000000000", Region: clienttest.Region,
		Name: "bench", ARN: "arn:aws:secretsmanager:us-east-1:000000000000:secret:bench-abcdef", Seq: seq, Time: time.Now(),
	}
}

func benchWatcher(b *testing.B, srv *clienttest.Server, hub *bus.Bus, ca *localca.CA) *client.Watcher {
	b.Helper()
	cfg := srv.Config()
	tls := srv.TLS(b)
	pool := tls.RootCAs.Clone()
	if pem, err := os.ReadFile(ca.CertPath()); err != nil || !pool.AppendCertsFromPEM(pem) {
		b.Fatalf("read CA: %v", err)
	}
	tls.RootCAs, cfg.TLS, cfg.NATSURL = pool, tls, hub.ClientURL()
	c, err := client.New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	w, err := c.Watch(b.Context(), client.WatchConfig{})
	if err != nil {
		b.Fatal(err)
	}
	return w
}

func receive(ctx context.Context, w *client.Watcher, arrivals chan<- time.Duration) {
	for e, err := range w.Events(ctx) {
		if err != nil {
			return
		}
		arrivals <- time.Since(e.Time)
	}
}
