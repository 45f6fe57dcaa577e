package store

import "time"

// FiguresMost is the highest count that Figures tells: what is more than that
// is not counted on, so that asking stays cheap when things go badly.
const FiguresMost = 100_000

// Figures are what an operator watches: how much waits, and for how long.
// Counts end at FiguresMost; times are zero if there is nothing.
type Figures struct {
	// At is the store's clock.
	At time.Time
	// OpenRuns are not final.
	OpenRuns int
	// DueSecrets have a NextRotation that has passed, OldestDue being the
	// earliest: the schedulers have not started them.
	DueSecrets int
	OldestDue  time.Time
	// WaitingJobs are due in the outbox, OldestJob since when.
	WaitingJobs int
	OldestJob   time.Time
	// UnsentEvents are in the outbox, OldestEvent since when.
	UnsentEvents int
	OldestEvent  time.Time
	// Retirements are Versions whose credential is still to be removed at its
	// target, due or not.
	Retirements int
	// OldestRotated is when the credential was made that is the oldest among
	// the Secrets that have a schedule.
	OldestRotated time.Time
}

// FigureReader counts. Each count reads an index, never all Secrets.
type FigureReader interface {
	Figures() (Figures, error)
}
