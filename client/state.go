package client

import (
	"fmt"
	"maps"
	"time"

	"lockstep"
)

// State is how far a Watcher has come: what a process keeps (it marshals to
// JSON) so that its successor gets what happened in between. It holds no
// secret. The zero State is the beginning.
type State struct {
	// Since is when the first Watcher of this State began; older events are
	// not given.
	Since time.Time `json:"since,omitzero"`
	// Stream and Last are a position in the server's event stream.
	Stream string `json:"stream,omitempty"`
	Last   uint64 `json:"last,omitempty"`
	// Seen is the last sequence number given of each Secret.
	Seen map[lockstep.ARN]uint64 `json:"seen,omitempty"`
}

// IsZero tells whether nothing was watched yet.
func (s State) IsZero() bool { return s.Since.IsZero() && s.Last == 0 && len(s.Seen) == 0 }

func (s State) clone() State {
	s.Seen = maps.Clone(s.Seen)
	if s.Seen == nil {
		s.Seen = make(map[lockstep.ARN]uint64)
	}
	return s
}

// GapError says that events of one Secret are gone for good: neither the
// stream nor the store has them any more. It does not end the Watcher: the next
// event shows how things stand now.
type GapError struct {
	ARN  lockstep.ARN
	Name string
	// From and To are the first and last sequence numbers that are missing.
	From, To uint64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("events %d to %d of secret %s are no longer known; what follows is its present state", e.From, e.To, e.Name)
}
