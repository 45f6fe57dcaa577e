package store

import (
	"time"

	"lockstep"
)

// SecretReader finds Secrets.
type SecretReader interface {
	// Secret reads one by its number, also one that is gone. ErrNotFound.
	Secret(id lockstep.SecretID) (*lockstep.Secret, error)
	// FindSecret reads one by what a client calls it: its name, its ARN, or
	// its ARN without the last seven characters. Secrets that are gone are not
	// found; those marked for deletion are. ErrNotFound.
	FindSecret(owner Owner, ref string) (*lockstep.Secret, error)
	// ListSecrets reads one page. The Secrets that are gone are left out.
	ListSecrets(q SecretQuery) ([]*lockstep.Secret, error)
	// NextDue is the earliest NextRotation of any enabled, unmarked Secret;
	// zero if none.
	NextDue() (time.Time, error)
	// AccountHolder tells which Secret holds an Account at a target;
	// ErrNotFound if none does.
	AccountHolder(key lockstep.AccountKey) (lockstep.SecretID, error)
	// PurgeDue lists up to limit Secrets that are gone, or whose DeleteAt has
	// passed by the store's clock, and which have no open Run and no Intent that
	// is open or to be swept.
	PurgeDue(limit int) ([]lockstep.SecretID, error)
	// NextVerify is the earliest NextVerify of a Secret that rotates; zero if
	// none.
	NextVerify() (time.Time, error)
	// HasMaxAge lists up to limit Secrets of an owner whose Schedule has a MaxAge,
	// in the order of their numbers, above after.
	HasMaxAge(owner Owner, after lockstep.SecretID, limit int) ([]*lockstep.Secret, error)
	// UnverifiedDue lists up to limit Secrets that are Unverified, with rotation
	// on, not marked
	// for deletion or gone, have no open Run and no live lease, and no verify
	// Job in the outbox; without those of custom rotators, which nobody can
	// verify.
	UnverifiedDue(limit int) ([]lockstep.SecretID, error)
}

// Owner is the tenant and region that a Secret belongs to.
type Owner struct {
	Account lockstep.AccountID
	Region  lockstep.Region
}

// SecretQuery selects a page of Secrets of one owner.
type SecretQuery struct {
	Owner Owner
	// Sort is the order; the zero value is by creation.
	Sort SecretSort
	// Descending reverses it.
	Descending bool
	// After is the last Secret of the page before; nil for the first page.
	// Only its ID and the field that Sort names are looked at.
	After *lockstep.Secret
	// IncludeDeleted adds those marked for deletion.
	IncludeDeleted bool
	// NamePrefix, if set, selects by the name's beginning, case-sensitively.
	NamePrefix string
	// Terms, if set, select by the index: for each element, a Secret must have
	// a term in one of its ranges. However many Secrets there are, a page is
	// found quickly if one of the elements is met by few, or all of them by
	// many.
	Terms [][]TermRange
	// Limit is the page size; zero means 100.
	Limit int
}

// SecretSort is the order of a list; the Secret's number breaks ties.
type SecretSort string

// The orders.
const (
	SortCreated  SecretSort = ""
	SortChanged  SecretSort = "changed"
	SortAccessed SecretSort = "accessed"
	SortName     SecretSort = "name"
)

// SecretWriter changes Secrets.
type SecretWriter interface {
	// LockSecret reads a Secret and keeps every other writer off it until the
	// transaction ends. ErrNotFound.
	LockSecret(id lockstep.SecretID) (*lockstep.Secret, error)
	// InsertSecret stores a new Secret and its Slot and sets s.ID. ErrExists
	// if the owner has a Secret of that name which is not gone.
	InsertSecret(s *lockstep.Secret) error
	// SaveSecret writes every field of a Secret that exists but EventSeq, which
	// AddEvent alone moves. ErrNotFound.
	SaveSecret(s *lockstep.Secret) error
	// TouchAccess sets the day of last access on a Secret and a Version.
	TouchAccess(id lockstep.SecretID, version lockstep.VersionID, day time.Time) error
	// PurgeSecret deletes a Secret with everything that belongs to it but its
	// Events. ErrNotFound.
	PurgeSecret(id lockstep.SecretID) error
	// ClaimDue locks and reads up to limit Secrets whose NextRotation has
	// passed by the store's clock, earliest first, leaving out those that
	// another transaction has locked. The caller advances NextRotation.
	ClaimDue(limit int) ([]*lockstep.Secret, error)
	// ClaimVerifies is ClaimDue for NextVerify: drift is looked for.
	ClaimVerifies(limit int) ([]*lockstep.Secret, error)
	// HoldAccount records that a Secret owns an Account at a target.
	// ErrConflict if another Secret holds it.
	HoldAccount(key lockstep.AccountKey, id lockstep.SecretID) error
	// ReleaseAccounts forgets the Accounts of a Secret.
	ReleaseAccounts(id lockstep.SecretID) error
}

// VersionReader reads Versions and labels.
type VersionReader interface {
	// Version reads one. ErrNotFound.
	Version(id lockstep.SecretID, v lockstep.VersionID) (*lockstep.Version, error)
	// Versions reads all of a Secret, oldest first. There are at most some
	// hundreds: PruneVersions removes old unlabelled ones.
	Versions(id lockstep.SecretID) ([]*lockstep.Version, error)
	// LiveVersions reads the Versions with MaybeLive set: what the target may
	// accept beside AWSCURRENT. There are only a few.
	LiveVersions(id lockstep.SecretID) ([]*lockstep.Version, error)
	// Stages reads where the labels stand; empty, not nil, if there are none.
	Stages(id lockstep.SecretID) (lockstep.Stages, error)
	// DueRetirements lists up to limit Versions whose retirement is due or
	// retiring, whose RetireAt and RetireRetryAt have passed, whose Secret is
	// not marked for deletion or gone, and has no live lease and no retire Job
	// in the outbox.
	DueRetirements(limit int) ([]*lockstep.Version, error)
	// NextRetirement is the earliest time at which DueRetirements may return
	// something; zero if nothing waits.
	NextRetirement() (time.Time, error)
}

// VersionWriter changes Versions and labels.
type VersionWriter interface {
	// InsertVersion stores a new Version. ErrExists if the id is taken.
	InsertVersion(v *lockstep.Version) error
	// SaveVersion writes every field but Accessed. ErrNotFound.
	SaveVersion(v *lockstep.Version) error
	// DeleteVersion removes one. The caller has made sure that it is in no Run
	// and not maybe live. ErrNotFound.
	DeleteVersion(id lockstep.SecretID, v lockstep.VersionID) error
	// PruneVersions deletes Versions without a label that are neither maybe
	// live, nor an open Run's, nor created after newest, keeping the keep
	// youngest of those without a label. It returns how many it deleted.
	PruneVersions(id lockstep.SecretID, keep int, newest time.Time) (int, error)
	// SaveStages replaces all labels of a Secret.
	SaveStages(id lockstep.SecretID, s lockstep.Stages) error
	// AddRefused keeps a sealed value that the target refused, until
	// DropRefused at the Run's end.
	AddRefused(id lockstep.SecretID, v lockstep.VersionID, sealed *lockstep.Sealed) error
	DropRefused(id lockstep.SecretID, v lockstep.VersionID) error
}
