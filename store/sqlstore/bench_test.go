package sqlstore_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

const (
	account = lockstep.AccountID("000000000000")
	region  = lockstep.Region("us-east-1")
)

// eachDialect runs a benchmark on both databases.
func eachDialect(b *testing.B, run func(*testing.B, *sqlstore.Store)) {
	b.Run("sqlite", func(b *testing.B) { run(b, opened(b, sqlstore.Config{DSN: sqliteDSN(b)})) })
	b.Run("postgres", func(b *testing.B) { run(b, opened(b, sqlstore.Config{DSN: postgresDSN(b), Connections: 20})) })
}

// spread shares b.N calls among n goroutines, whatever the number of cores.
func spread(b *testing.B, n int, call func(worker int) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// fill stores n Secrets with a value each, rotating an hour from now but for
// the first due ones.
func fill(b *testing.B, s *sqlstore.Store, n, due int) {
	b.Helper()
	const perCommit = 2000
	for from := 0; from < n; from += perCommit {
		err := s.Update(b.Context(), func(tx store.Tx) error {
			for i := from; i < min(n, from+perCommit); i++ {
				if err := insert(tx, i, i < due); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func insert(tx store.Tx, i int, due bool) error {
	name, at := fmt.Sprintf("prod/db/%07d", i), tx.Now()
	sec := &lockstep.Secret{
		Account: account, Region: region, Name: name, Created: at, Changed: at,
		ARN:          lockstep.ARN(fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-abcdef", region, account, name)),
		Rotation:     &lockstep.Rotation{Enabled: true, Rotator: "test"},
		NextRotation: at.Add(time.Hour + time.Duration(i)*time.Microsecond),
	}
	if due {
		sec.NextRotation = at.Add(-time.Hour)
	}
	if err := tx.InsertSecret(sec); err != nil {
		return err
	}
	v := &lockstep.Version{Secret: sec.ID, ID: "v1", Created: at, Sealed: &lockstep.Sealed{
		KeyID: "key", KeyVersion: 1, WrappedKey: make([]byte, 60), Ciphertext: make([]byte, 200), Digest: make([]byte, 32),
	}}
	if err := tx.InsertVersion(v); err != nil {
		return err
	}
	return tx.SaveStages(sec.ID, lockstep.Stages{lockstep.Current: "v1"})
}

// BenchmarkUpdate is one changed row a durable commit.
func BenchmarkUpdate(b *testing.B) {
	eachDialect(b, func(b *testing.B, s *sqlstore.Store) {
		for _, n := range []int{1, 16} {
			var count atomic.Int64
			b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
				spread(b, n, func(worker int) error {
					return s.Update(b.Context(), func(tx store.Tx) error {
						// The same content again would be no write at all.
						return tx.SaveSetting(fmt.Sprint(worker), fmt.Append(nil, count.Add(1)))
					})
				})
			})
		}
	})
}

// BenchmarkUpdateSignal is the same with a signal to other nodes.
func BenchmarkUpdateSignal(b *testing.B) {
	eachDialect(b, func(b *testing.B, s *sqlstore.Store) {
		fill(b, s, 16, 0)
		for _, n := range []int{1, 16} {
			b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
				spread(b, n, func(worker int) error {
					return s.Update(b.Context(), func(tx store.Tx) error {
						return tx.AddJob(&store.Job{Kind: store.JobRun, Secret: lockstep.SecretID(worker + 1)})
					})
				})
			})
		}
	})
}

// BenchmarkView is what GetSecretValue reads: the Secret, its labels, a Version.
func BenchmarkView(b *testing.B) {
	eachDialect(b, func(b *testing.B, s *sqlstore.Store) {
		const secrets = 10000
		fill(b, s, secrets, 0)
		var next atomic.Int64
		for _, n := range []int{1, 8} {
			b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
				spread(b, n, func(int) error {
					name := fmt.Sprintf("prod/db/%07d", next.Add(7919)%secrets)
					return s.View(b.Context(), func(tx store.ReadTx) error { return readValue(tx, name) })
				})
			})
		}
	})
}

func readValue(tx store.ReadTx, name string) error {
	sec, err := tx.FindSecret(store.Owner{Account: account, Region: region}, name)
	if err != nil {
		return err
	}
	stages, err := tx.Stages(sec.ID)
	if err != nil {
		return err
	}
	_, err = tx.Version(sec.ID, stages[lockstep.Current])
	return err
}

// BenchmarkClaimDue claims one of the few due among many that are scheduled.
// The time must not depend on how many are.
func BenchmarkClaimDue(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("scheduled=%d", n), func(b *testing.B) {
			eachDialect(b, func(b *testing.B, s *sqlstore.Store) {
				fill(b, s, n, 100)
				b.Run("claim", func(b *testing.B) {
					spread(b, 1, func(int) error { return s.Update(b.Context(), claimOne) })
				})
			})
		})
	}
}

// claimOne claims a Secret and makes it due again, a little later than the rest.
func claimOne(tx store.Tx) error {
	list, err := tx.ClaimDue(1)
	if err != nil {
		return err
	}
	for _, s := range list {
		s.NextRotation = tx.Now().Add(-time.Millisecond)
		if err := tx.SaveSecret(s); err != nil {
			return err
		}
	}
	if len(list) != 1 {
		return fmt.Errorf("claimed %d, want 1: %w", len(list), lockstep.ErrNotFound)
	}
	return nil
}
