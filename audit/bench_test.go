package audit_test

import (
	"sync/atomic"
	"testing"
	"time"

	"lockstep/audit"
)

// BenchmarkVerify reports how many records a second are verified, macs, hashes
// and signatures.
func BenchmarkVerify(b *testing.B) {
	r := newRig(b)
	l := r.open(b)
	const records = 50_000
	batch := make([]audit.Record, 500)
	for i := range batch {
		batch[i] = record(i)
	}
	for range records / len(batch) {
		if err := l.Append(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		if report := r.verify(b, r.trust()); !report.OK() {
			b.Fatal(report.Findings)
		}
	}
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkAppend writes from many goroutines, each waiting for the disk.
func BenchmarkAppend(b *testing.B) {
	r := newRig(b)
	l := r.open(b, func(c *audit.Config) { c.Checkpoint = time.Second })
	var n atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(b.Context(), record(int(n.Add(1)))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
