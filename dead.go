package lockstep

import "time"

// DeadJob is a Job that nobody could carry out: of an unknown kind, truncated,
// or forged. Its body is not kept here, since anybody may have written it.
type DeadJob struct {
	// Seq is its number among the dead; later ones have higher numbers.
	Seq uint64
	At  time.Time
	// Subject is where it was published.
	Subject string
	// Reason is why nobody could carry it out.
	Reason string
	// Bytes is the length of its body.
	Bytes int
}
