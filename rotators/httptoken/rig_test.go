package httptoken_test

import (
	"context"
	"time"

	"lockstep/rotators"
)

// guard lets a change take effect for a minute.
func guard() rotators.Guard {
	return rotators.Guard{Fence: 1, NotAfter: func(_ context.Context, now time.Time) (time.Time, error) { return now.Add(time.Minute), nil }}
}
