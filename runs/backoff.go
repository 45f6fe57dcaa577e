package runs

import (
	"time"

	"lockstep"
)

// The longest pauses. A target that is away for some minutes is back in use
// within a minute; what is tried for a day, or for ever, takes its time.
const (
	longestRetry = time.Minute
	longestChore = 5 * time.Minute
)

// backoff is the pause before try n (from 1): 1 s doubled up to longest, and
// up to a quarter shorter, differently for each Run.
func backoff(run lockstep.RunID, n int, longest time.Duration) time.Duration {
	d := min(time.Second<<min(max(n, 1)-1, 16), longest)
	return d - d/4*time.Duration(spread(string(run), n))/256
}

// spread is a number from 0 to 255 that differs between Runs and tries.
func spread(s string, n int) uint8 {
	h := uint32(2166136261)
	for _, c := range []byte(s) {
		h = (h ^ uint32(c)) * 16777619
	}
	return uint8((h ^ uint32(n)*2654435761) >> 24) // #nosec G115 -- a hash, cut on purpose
}

// loud tells whether the failure of try n is worth an Event: the first, second,
// fourth, eighth and so on. What fails for a day is heard of a dozen times.
func loud(n int) bool { return n&(n-1) == 0 }
