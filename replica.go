package lockstep

import "strings"

// The states of a Replica.
const (
	// ReplicaInSync: it has all that the primary has.
	ReplicaInSync = "InSync"
	// ReplicaInProgress: a change of the primary is on its way.
	ReplicaInProgress = "InProgress"
	// ReplicaFailed: it could not be made or brought up to date; its Message
	// says why.
	ReplicaFailed = "Failed"
)

// IsReplica tells whether the Secret is a copy of one in another region. A
// replica is written by replication alone.
func (s *Secret) IsReplica() bool { return s.PrimaryRegion != "" && s.PrimaryRegion != s.Region }

// In is the ARN of the same Secret in another region: a replica's is its
// primary's with the region exchanged. What is no ARN stays as it is.
func (a ARN) In(region Region) ARN {
	parts := strings.SplitN(string(a), ":", 5)
	if len(parts) < 5 {
		return a
	}
	parts[3] = string(region)
	return ARN(strings.Join(parts, ":"))
}
