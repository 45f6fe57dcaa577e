package lockstep

import (
	"fmt"
	"maps"
	"slices"
)

// Stage is a staging label. It stands on at most one Version of a Secret.
type Stage string

// The stages that Lockstep itself moves.
const (
	Current  Stage = "AWSCURRENT"
	Pending  Stage = "AWSPENDING"
	Previous Stage = "AWSPREVIOUS"
)

// Stages says where each label of one Secret stands. The zero value has none;
// the methods that change it need a non-nil map.
type Stages map[Stage]VersionID

// Of returns the labels on one Version: AWSCURRENT, AWSPENDING and AWSPREVIOUS
// first, then the others by name.
func (s Stages) Of(id VersionID) []Stage {
	var own []Stage
	for st, v := range s {
		if v == id {
			own = append(own, st)
		}
	}
	slices.SortFunc(own, func(a, b Stage) int {
		if d := stageRank(a) - stageRank(b); d != 0 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	return own
}

func stageRank(s Stage) int {
	switch s {
	case Current:
		return 0
	case Pending:
		return 1
	case Previous:
		return 2
	default:
		return 3
	}
}

// ByVersion returns the labels of each labelled Version.
func (s Stages) ByVersion() map[VersionID][]Stage {
	out := make(map[VersionID][]Stage)
	for _, v := range s {
		if _, done := out[v]; !done {
			out[v] = s.Of(v)
		}
	}
	return out
}

// Clone returns a copy; it is never nil.
func (s Stages) Clone() Stages {
	if s == nil {
		return Stages{}
	}
	return maps.Clone(s)
}

// Place puts a label onto a Version, taking it from where it stood. If the
// label is AWSCURRENT, the Version that had it gets AWSPREVIOUS. Putting a
// label where it already stands changes nothing.
func (s Stages) Place(st Stage, on VersionID) {
	from, had := s[st]
	if had && from == on {
		return
	}
	s[st] = on
	if st != Current {
		return
	}
	if had {
		s[Previous] = from
	} else if s[Previous] == on {
		delete(s, Previous)
	}
}

// Move does what UpdateSecretVersionStage asks: take the label st off `from`
// (if given) and put it on `to` (if given). Where AWS demands that the present
// holder is named, so does Move. It changes nothing if it fails.
// Errors: ErrInvalid, worded for the caller (a StageHeldError with AWS's text
// if `from` is missing, else a Refusal).
func (s Stages) Move(st Stage, from, to VersionID) error {
	holder, attached := s[st]
	switch {
	case to == "" && from == "":
		return Refuse(ErrInvalid, "You must name the version to move staging label %s to in MoveToVersionId, or the one to remove it from in RemoveFromVersionId.", st)
	case from != "" && (!attached || holder != from):
		return Refuse(ErrInvalid, "Staging label %s is not attached to version %s, which RemoveFromVersionId names.", st, from)
	case attached && holder == to:
		return nil
	case attached && from == "":
		return &StageHeldError{Stage: st, Holder: holder}
	case to == "" && st == Current:
		return Refuse(ErrInvalid, "You can move staging label AWSCURRENT to another version, but you can't remove it.")
	case to == "":
		delete(s, st)
		return nil
	}
	s.Place(st, to)
	return nil
}

// StageHeldError says that a label stands elsewhere and the caller did not
// name its holder. It is an ErrInvalid.
type StageHeldError struct {
	Stage  Stage
	Holder VersionID
}

func (e *StageHeldError) Error() string {
	return fmt.Sprintf("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", e.Stage, e.Holder)
}

// Is makes errors.Is(err, ErrInvalid) true.
func (*StageHeldError) Is(target error) bool { return target == ErrInvalid }
