package redis_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"lockstep"
	"lockstep/internal/redistest"
	"lockstep/rotators/rotatortest"
)

// rotationsUnderLoad is the number that Lockstep's promise is proven with.
const rotationsUnderLoad = 50

// TestLoad: applications that log in all the time, with the value that they read
// before their last request, see no failure through fifty rotations, whether the
// old value goes by the next set or by a retirement.
func TestLoad(t *testing.T) {
	s := redistest.Start(t)
	w := newWorld(t, s)
	app := w.rotation(t)
	var current atomic.Pointer[lockstep.Value]
	now := app.Current
	current.Store(&now)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var requests, failures atomic.Int64
	var turns [4]atomic.Int64
	var all sync.WaitGroup
	for i := range turns {
		all.Go(func() {
			value := *current.Load()
			for ctx.Err() == nil {
				known := rotatortest.Read[secret](t, value)
				value = *current.Load() // for the next time: this one may get old
				c := s.Client(known.User, known.Password)
				if err := c.Get(t.Context(), "app:x").Err(); err != nil && !errors.Is(err, goredis.Nil) {
					failures.Add(1)
					t.Errorf("request: %v", err)
				}
				_ = c.Close()
				requests.Add(1)
				turns[i].Add(1)
			}
		})
	}
	for n := range rotationsUnderLoad {
		left := app.Current
		app.next(t)
		now := app.Current
		current.Store(&now)
		// Everybody has read the new value, and used up the old one.
		var from [len(turns)]int64
		for i := range turns {
			from[i] = turns[i].Load()
		}
		until(t, func() bool {
			for i := range turns {
				if turns[i].Load() < from[i]+2 {
					return false
				}
			}
			return true
		})
		if n%2 == 0 {
			rotatortest.Check(t, rotator(t).Retire(t.Context(), &app.Request, left))
		}
	}
	stop()
	all.Wait()
	t.Logf("%d rotations, %d requests, %d failures", rotationsUnderLoad, requests.Load(), failures.Load())
}
