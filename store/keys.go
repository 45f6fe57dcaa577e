package store

import (
	"time"

	"lockstep"
)

// KeyState is whether a MasterKey may be used.
type KeyState string

// The states.
const (
	KeyEnabled  KeyState = "Enabled"
	KeyDisabled KeyState = "Disabled"
	// KeyPendingDeletion: not usable, and gone for good at DeleteAt.
	KeyPendingDeletion KeyState = "PendingDeletion"
)

// MasterKey is a customer master key (CMK) as it is stored: wrapped by the
// root key. Its versions are all kept, so that old ciphertexts stay readable.
type MasterKey struct {
	ID      string
	Account lockstep.AccountID
	Region  lockstep.Region
	// Purpose tells the default key of the secrets service ("secrets") from
	// keys that users make ("").
	Purpose string
	State   KeyState
	Created time.Time
	// Versions are in the order of their numbers; the last is the one that
	// encrypts.
	Versions []KeyVersion

	Description string
	// Policy is the key policy's text; empty means the default one.
	Policy string
	Tags   []lockstep.Tag
	// DeleteAt is when a key in KeyPendingDeletion goes; zero otherwise.
	DeleteAt time.Time
	// RotationDays is how many days lie between two rotations by schedule, and
	// NextRotation the next; both zero if there is no schedule.
	RotationDays int
	NextRotation time.Time
}

// Owner is whose key it is.
func (k *MasterKey) Owner() Owner { return Owner{Account: k.Account, Region: k.Region} }

// KeyVersion is one generation of a MasterKey's material.
type KeyVersion struct {
	Number int
	// RootID is the root key that wrapped it.
	RootID  string
	Wrapped []byte
	Created time.Time
}

// KeyAlias is a second name of a MasterKey.
type KeyAlias struct {
	Account lockstep.AccountID
	Region  lockstep.Region
	// Name begins with "alias/".
	Name             string
	KeyID            string
	Created, Changed time.Time
}

// KeyQuery selects a page of an owner's keys in the order of their ids, or of
// aliases in the order of their names.
type KeyQuery struct {
	Owner Owner
	// KeyID, if set, selects the aliases of one key.
	KeyID string
	// After is the last id or name of the page before.
	After string
	// Limit is the page size; zero means 100.
	Limit int
}

// KeyUse tells what hangs on a MasterKey.
type KeyUse struct {
	// Secrets is how many name it or have a Version under it.
	Secrets int
	// DataKeys is how many data keys it wraps, and Stale how many of them are
	// wrapped by a former version of it.
	DataKeys, Stale int
}

// DataKind is where a data key is kept.
type DataKind string

// The kinds.
const (
	DataVersion   DataKind = "version"
	DataRefused   DataKind = "refused"
	DataAccessKey DataKind = "access key"
)

// DataKeys lists the kinds, in the order in which they are re-wrapped.
func DataKinds() []DataKind { return []DataKind{DataVersion, DataRefused, DataAccessKey} }

// DataKey is one wrapped data key with its place.
type DataKey struct {
	Kind DataKind
	// Row names it within its kind.
	Row string
	// ARN and Version are what it is bound to.
	ARN, Version string
	KeyVersion   int
	Wrapped      []byte
}

// DataKeyQuery selects data keys that a MasterKey's former versions wrap.
type DataKeyQuery struct {
	KeyID string
	Kind  DataKind
	// Below is a version number; only lower ones are given.
	Below int
	// After is the last one of the batch before; nil for the first batch.
	After *DataKey
	Limit int
}

// KeyReader reads master keys.
type KeyReader interface {
	// MasterKey reads one by id. ErrNotFound.
	MasterKey(id string) (*MasterKey, error)
	// DefaultKey reads the owner's key for a purpose. ErrNotFound.
	DefaultKey(owner Owner, purpose string) (*MasterKey, error)
	// MasterKeys reads one page, without Versions.
	MasterKeys(q KeyQuery) ([]*MasterKey, error)
	// KeyAlias reads one alias. ErrNotFound.
	KeyAlias(owner Owner, name string) (*KeyAlias, error)
	// KeyAliases reads one page.
	KeyAliases(q KeyQuery) ([]*KeyAlias, error)
	// KeyUse counts what hangs on a key. It reads an index entry for each, so
	// it is for people who ask, not for requests.
	KeyUse(id string) (KeyUse, error)
	// KeysDue lists up to limit ids of keys whose DeleteAt or NextRotation has
	// passed by the store's clock.
	KeysDue(limit int) ([]string, error)
	// KeysToRewrap lists up to limit ids of keys, after the given one in their
	// order, whose former versions wrap data keys.
	KeysToRewrap(after string, limit int) ([]string, error)
	// DataKeys reads a batch of what KeysToRewrap is about.
	DataKeys(q DataKeyQuery) ([]*DataKey, error)
	// KeysNotUnder lists up to limit ids of keys, after the given one, of which
	// a version is wrapped by another root key.
	KeysNotUnder(rootID, after string, limit int) ([]string, error)
	// VersionsNotUnder counts the key versions that another root key wraps.
	VersionsNotUnder(rootID string) (int, error)
	// Setting reads a small named value of the installation. ErrNotFound.
	Setting(name string) ([]byte, error)
}

// KeyWriter stores master keys.
type KeyWriter interface {
	// LockMasterKey is MasterKey, and keeps other writers off it until the
	// transaction ends. ErrNotFound.
	LockMasterKey(id string) (*MasterKey, error)
	// InsertMasterKey stores a new one with its versions. ErrExists if the id
	// is taken or the owner has one for that non-empty purpose.
	InsertMasterKey(k *MasterKey) error
	// SaveMasterKey writes all fields but the id, the owner, the purpose and
	// the creation, and the versions; a version that is not among them stays.
	// ErrNotFound.
	SaveMasterKey(k *MasterKey) error
	// DeleteMasterKey removes a key with its material and its aliases; what was
	// sealed under it can never be opened again. ErrNotFound.
	DeleteMasterKey(id string) error
	// InsertKeyAlias stores a new alias. ErrExists if the owner has that name.
	InsertKeyAlias(a *KeyAlias) error
	// SaveKeyAlias moves an alias to another key. ErrNotFound.
	SaveKeyAlias(a *KeyAlias) error
	// DeleteKeyAlias removes an alias. ErrNotFound.
	DeleteKeyAlias(owner Owner, name string) error
	// RewrapDataKey replaces the wrapping of a data key, as it was read, by one
	// under another version of the same key. It does nothing to a row that was
	// changed or deleted since.
	RewrapDataKey(keyID string, d *DataKey, to KeyVersion) error
	// SaveSetting inserts or replaces a setting.
	SaveSetting(name string, value []byte) error
}
