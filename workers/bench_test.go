package workers_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/bus"
	"lockstep/events"
	"lockstep/hsm/file"
	"lockstep/keeper"
	"lockstep/keys"
	"lockstep/rotators"
	"lockstep/runs"
	"lockstep/store"
	"lockstep/store/sqlstore"
	"lockstep/workers"
)

// nothing is a rotator whose target is always there and does nothing.
type nothing struct{ tests *atomic.Int64 }

func (nothing) Traits() lockstep.Traits {
	return lockstep.Traits{Chooser: lockstep.Chosen, Overlap: lockstep.OneValue}
}

func (nothing) Create(context.Context, *rotators.Request) (lockstep.Value, error) {
	return lockstep.StringValue("a new value"), nil
}
func (nothing) Set(context.Context, *rotators.Request) error { return nil }
func (n nothing) Test(context.Context, *rotators.Request, lockstep.Value) error {
	n.tests.Add(1)
	return nil
}

// BenchmarkRuns measures whole Runs through store, NATS and 16 workers, with
// durable commits on SQLite and no target: what the engine itself costs.
func BenchmarkRuns(b *testing.B) {
	const secrets = 200
	st, err := sqlstore.Open(b.Context(), sqlstore.Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "lockstep.db")})
	must(b, err)
	defer st.Close()
	root, err := file.Create(file.Config{Path: filepath.Join(b.TempDir(), "root.key")})
	must(b, err)
	ks, err := keys.New(b.Context(), keys.Config{Store: st, Root: root})
	must(b, err)
	var tests atomic.Int64
	reg := &rotators.Registry{}
	must(b, reg.Register("nothing", nothing{&tests}))
	kp := keeper.New(st, ks, reg)
	engine := runs.New(runs.Config{Store: st, Vault: kp, Rotators: reg, MinInterval: time.Second})
	nats, err := bus.Start(b.Context(), bus.Config{Dir: b.TempDir(), MaxStore: 256 << 20})
	must(b, err)
	defer nats.Close()
	relay, err := events.New(events.Config{Store: st, Publisher: nats, Streams: nats})
	must(b, err)
	must(b, relay.Start(b.Context()))
	defer relay.Stop()
	queue, err := nats.Jobs(b.Context(), bus.DefaultPool, 16)
	must(b, err)
	defer queue.Stop()
	pool, err := workers.New(workers.Config{Queue: queue, Engine: engine, Vault: kp, Rotators: reg})
	must(b, err)
	pool.Start(b.Context())
	defer pool.Stop()

	rotator := "nothing"
	for i := range secrets {
		name := fmt.Sprintf("bench/%d", i)
		_, err := kp.Create(b.Context(), keeper.CreateInput{Owner: owner, Name: name, Token: token(b), Value: lockstep.StringValue("first")})
		must(b, err)
		_, err = engine.Configure(b.Context(), ref(name), runs.RotateInput{
			RotatorARN: &rotator, Schedule: &lockstep.Schedule{Expression: "@every 24h"},
		})
		must(b, err)
	}
	changed, release := st.Subscribe(store.TopicRuns)
	defer release()
	done := 0
	for b.Loop() {
		makeDue(b, st, secrets)
		for left := secrets; left > 0; {
			n, err := engine.AdmitDue(b.Context(), secrets)
			must(b, err)
			left -= n
		}
		for open := true; open; {
			list, err := engine.Runs(b.Context(), store.RunQuery{Owner: owner, Open: true, Limit: 1})
			must(b, err)
			if open = len(list) > 0; open {
				<-changed
			}
		}
		done += secrets
	}
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "runs/s")
}

func makeDue(b *testing.B, st store.Store, secrets lockstep.SecretID) {
	b.Helper()
	must(b, st.Update(b.Context(), func(tx store.Tx) error {
		for id := lockstep.SecretID(1); id <= secrets; id++ {
			s, err := tx.LockSecret(id)
			if err != nil {
				return err
			}
			s.NextRotation = tx.Now()
			if err := tx.SaveSecret(s); err != nil {
				return err
			}
		}
		return nil
	}))
}
