package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/hsm"
	"lockstep/store"
)

// Store times the transactions of a store.
func (s *Set) Store(inner store.Store) store.Store {
	return &timedStore{Store: inner, time: s.storeTime}
}

type timedStore struct {
	store.Store
	time *prometheus.HistogramVec
}

// Update is store.Store's.
func (t *timedStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	begin := time.Now()
	err := t.Store.Update(ctx, fn)
	observe(t.time, "update", begin, err)
	return err
}

// View is store.Store's.
func (t *timedStore) View(ctx context.Context, fn func(store.ReadTx) error) error {
	begin := time.Now()
	err := t.Store.View(ctx, fn)
	observe(t.time, "view", begin, err)
	return err
}

// Key times the calls to a root key.
func (s *Set) Key(inner hsm.Key) hsm.Key { return &timedKey{Key: inner, time: s.keyTime} }

type timedKey struct {
	hsm.Key
	time *prometheus.HistogramVec
}

// Wrap is hsm.Wrapper's.
func (t *timedKey) Wrap(ctx context.Context, plaintext, associated []byte) ([]byte, error) {
	begin := time.Now()
	out, err := t.Key.Wrap(ctx, plaintext, associated)
	observe(t.time, "wrap", begin, err)
	return out, err
}

// Unwrap is hsm.Wrapper's.
func (t *timedKey) Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	begin := time.Now()
	out, err := t.Key.Unwrap(ctx, wrapped, associated)
	observe(t.time, "unwrap", begin, err)
	return out, err
}

// Sign is hsm.Signer's.
func (t *timedKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	begin := time.Now()
	out, err := t.Key.Sign(ctx, message)
	observe(t.time, "sign", begin, err)
	return out, err
}

func observe(h *prometheus.HistogramVec, what string, begin time.Time, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	h.WithLabelValues(what, result).Observe(time.Since(begin).Seconds())
}
