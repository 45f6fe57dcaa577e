package lockstep

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// Marker is the name that a target is asked to keep with a credential that it
// issues, so that one whose answer was lost is found again: which Secret asked,
// in which Run, under which claim. It is at most 63 characters of a to z, 0 to 9
// and "-", holds nothing secret, and is never used twice.
type Marker string

const (
	markerPrefix = "lockstep-"
	// markerPart is the length of a Secret's and of a Run's part.
	markerPart = 16
)

// NewMarker is the marker of what a claim of a Run issues. A claim issues once.
func NewMarker(secret ARN, run RunID, fence uint64) Marker {
	_, random, _ := strings.Cut(string(run), "-")
	if len(random) > markerPart {
		random = random[:markerPart]
	}
	return Marker(markerOwner(secret) + random + "-" + strconv.FormatUint(fence, 10))
}

// ParseMarker tells whether a name at a target is a marker, of whatever Secret:
// people, and other programs, give names there too.
func ParseMarker(name string) (Marker, bool) {
	rest, ok := strings.CutPrefix(name, markerPrefix)
	if !ok {
		return "", false
	}
	parts := strings.Split(rest, "-")
	if len(parts) != 3 || !isMarkerPart(parts[0]) || !isMarkerPart(parts[1]) {
		return "", false
	}
	fence, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil || strconv.FormatUint(fence, 10) != parts[2] {
		return "", false
	}
	return Marker(name), true
}

// Of tells whether the marker is of a Run of this Secret.
func (m Marker) Of(secret ARN) bool { return strings.HasPrefix(string(m), markerOwner(secret)) }

// markerOwner is how every marker of a Secret begins.
func markerOwner(secret ARN) string {
	sum := sha256.Sum256([]byte(secret))
	return markerPrefix + hex.EncodeToString(sum[:])[:markerPart] + "-"
}

func isMarkerPart(s string) bool {
	return len(s) == markerPart && strings.Trim(s, "0123456789abcdef") == ""
}
