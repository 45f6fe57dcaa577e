package lockstep

import (
	"path"
	"slices"
	"time"
)

// Hold keeps Runs from starting: a freeze, by the calendar, or a pause, until
// somebody ends it. It holds the Secrets that it names; what a person calls an
// emergency passes.
type Hold struct {
	Account AccountID
	Region  Region
	// Name is unique among the Holds of an owner.
	Name string
	Kind HoldKind
	// Match selects Secrets by their names (path.Match), Tag by a tag with this
	// key and value. Both empty: all Secrets of the owner. At most one is set.
	Match string
	Tag   Tag
	// From and To bound a Hold that happens once: from the first held instant to
	// the first one after it. A zero To never comes.
	From, To time.Time
	// Recurring makes it come back; From and To are then zero.
	Recurring Recurrence
	// Reason is shown to whoever waits; By says who set it.
	Reason  string
	By      string
	Created time.Time
}

// HoldKind is a freeze or a pause.
type HoldKind string

// A restore leaves a pause of this name and maker: nothing rotates before each
// Secret was seen to log in at its target, which may have moved on since the
// backup. It ends by itself then, or by hand.
const (
	HoldRestored = "restored"
	RestoredBy   = "lockstep restore"
)

// The kinds of Hold.
const (
	HoldFreeze HoldKind = "freeze"
	HoldPause  HoldKind = "pause"
)

// Recurrence is a stretch of time that comes back; the zero value does not.
type Recurrence struct {
	// Expression is when each stretch begins, TimeZone whose wall clock it
	// means (UTC if empty), For how long each lasts.
	Expression string
	TimeZone   string
	For        time.Duration
}

// Covers tells whether the Hold is about a Secret. A malformed Match covers
// nothing.
func (h *Hold) Covers(s *Secret) bool {
	switch {
	case s.Account != h.Account || s.Region != h.Region:
		return false
	case h.Match != "":
		ok, err := path.Match(h.Match, s.Name)
		return ok && err == nil
	case h.Tag != Tag{}:
		return slices.Contains(s.Tags, h.Tag)
	}
	return true
}
