package lockstep

import (
	"slices"
	"time"
)

// Tag is one key and value on a Secret.
type Tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

// Secret is a named thing with Versions. All times are UTC; a zero time means
// "never" or "not set".
type Secret struct {
	ID          SecretID
	Account     AccountID
	Region      Region
	Name        string
	ARN         ARN
	Description string
	// Type is AWS's free-text secret type; usually empty.
	Type string
	// KMSKeyID is the customer master key as the user named it; empty for the
	// account's default key.
	KMSKeyID string
	// Tags is nil if the Secret was never tagged, and empty but not nil after
	// the last tag was removed. Their order is the order they were added in.
	Tags []Tag
	// ResourcePolicy is the policy document's text; empty if there is none.
	ResourcePolicy string

	Created time.Time
	// Changed grows strictly with each change of the Secret.
	Changed time.Time
	// Accessed is the day (00:00 UTC) of the last read of a value.
	Accessed time.Time
	// DeleteAt is when a Secret marked for deletion is purged; zero if it is
	// not marked.
	DeleteAt time.Time
	// Gone is true after a forced deletion: the name is free, no client finds
	// the Secret, but its rows stay until its Run is final.
	Gone bool

	// PrimaryRegion is set on a Secret that has replicas, and on each replica.
	PrimaryRegion Region
	// Replicas lists the regions that hold copies; only on a primary.
	Replicas []Replica

	// Rotation is nil if rotation was never configured.
	Rotation     *Rotation
	LastRotated  time.Time
	NextRotation time.Time
	// Unverified is true while nobody has seen AWSCURRENT log in since
	// something made it doubtful; a verify Job clears it.
	Unverified bool
	// NextVerify is when AWSCURRENT is tried at the target again, to find drift;
	// zero for never.
	NextVerify time.Time
	// Target is where AWSCURRENT logs in, as far as the governor needs to know;
	// empty if there is no target, or if nobody knows it yet.
	Target TargetKey
	// AdminRef is the Secret whose credential changes this one's at the target, as
	// AWSCURRENT names it in its masterarn: an ARN or a name, of something that may
	// not exist; [NoSecretName] if it can be neither; empty if it names none.
	AdminRef string
	// EventSeq is the sequence number of the last Event of this Secret.
	EventSeq uint64
}

// NoSecretName stands for a reference to a Secret that can name none: what was
// written there is not kept, since it may be anything.
const NoSecretName = "?"

// Replica is one copy of a Secret in another region.
type Replica struct {
	Region   Region `json:"Region"`
	KMSKeyID string `json:"KmsKeyId,omitempty"`
	// Status is "InSync", "InProgress" or "Failed".
	Status  string `json:"Status"`
	Message string `json:"StatusMessage,omitempty"`
}

// Deleted tells whether the Secret is marked for deletion or gone.
func (s *Secret) Deleted() bool { return s.Gone || !s.DeleteAt.IsZero() }

// RotationEnabled tells whether the Secret rotates.
func (s *Secret) RotationEnabled() bool { return s.Rotation != nil && s.Rotation.Enabled }

// Touch sets Changed to now, or to one millisecond after its former value if
// now is not later: LastChangedDate grows strictly, in the milliseconds that
// the wire shows.
func (s *Secret) Touch(now time.Time) {
	now = now.UTC().Truncate(time.Millisecond)
	if !now.After(s.Changed) {
		now = s.Changed.Add(time.Millisecond)
	}
	s.Changed = now
}

// Clone returns a copy that shares nothing with s that either could change.
func (s *Secret) Clone() *Secret {
	c := *s
	c.Tags = slices.Clone(s.Tags)
	c.Replicas = slices.Clone(s.Replicas)
	if s.Rotation != nil {
		r := *s.Rotation
		c.Rotation = &r
	}
	return &c
}

// Version is one value of a Secret. It is written once; a Run's Version exists
// without a value before its value does.
type Version struct {
	Secret  SecretID
	ID      VersionID
	Created time.Time
	// Accessed is the day (00:00 UTC) of the last read of this Version.
	Accessed time.Time
	// Sealed is the encrypted value; nil as long as there is none.
	Sealed *Sealed
	// Account is the key of the Account at the target that this Version's
	// value logs in as; empty for a value without a target.
	Account AccountKey
	// AdminRef is what the value names as its masterarn; see Secret.AdminRef.
	AdminRef string
	// MaybeLive is true from the moment the target may have been told this
	// value until it is proven that the target no longer accepts it. Such a
	// Version is never purged.
	MaybeLive bool
	// Retirement is how far the removal of this Version's credential is.
	Retirement RetirementState
	// RetireAt is when a due retirement may start; zero for at once.
	RetireAt time.Time
	// RetireRetryAt is when a failed retirement is tried again.
	RetireRetryAt time.Time
	// RetireAttempts counts the failed tries of the retirement.
	RetireAttempts int
	// RetireReason is the target's words at the last failed try.
	RetireReason string
	// Expires is when the value dies by itself, by the target's word; zero if it
	// does not, or if nobody knows.
	Expires time.Time
}

// Sealed is an encrypted value as it stands in the store: a data key wrapped
// by a customer master key, and the value encrypted under that data key with
// the ARN and version id as associated data.
type Sealed struct {
	KeyID      string
	KeyVersion int
	WrappedKey []byte
	Ciphertext []byte
	Binary     bool
	// Digest is a keyed hash (HMAC-SHA-256 under a key of this store) of the
	// clear value, so that a repeated request can be recognised without
	// opening the value.
	Digest []byte
}

// RetirementState is how far the removal of an old Version's credential is.
type RetirementState string

const (
	// RetirementNone: nothing to retire (AWSCURRENT, or a value that a later
	// finish overwrote).
	RetirementNone RetirementState = ""
	// RetirementIdle: left by AWSCURRENT under policy next-run. It stays valid
	// and blocks nothing; the next Run takes its place.
	RetirementIdle RetirementState = "idle"
	// RetirementDue: waits for its policy to be met; the next Run waits for it.
	RetirementDue RetirementState = "due"
	// RetirementRetiring: the target may have been told to remove it.
	RetirementRetiring RetirementState = "retiring"
	// RetirementRetired: proven dead at the target.
	RetirementRetired RetirementState = "retired"
	// RetirementDropped: given up because its credential is AWSCURRENT's.
	RetirementDropped RetirementState = "dropped"
)

// Blocks tells whether a Version in this state holds the next Run back.
func (r RetirementState) Blocks() bool { return r == RetirementDue || r == RetirementRetiring }
