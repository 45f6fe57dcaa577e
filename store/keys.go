package store

import (
	"time"

	"lockstep"
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
	// State is "Enabled", "Disabled" or "PendingDeletion".
	State    string
	Created  time.Time
	Versions []KeyVersion
}

// KeyVersion is one generation of a MasterKey's material.
type KeyVersion struct {
	Number int
	// RootID is the root key that wrapped it.
	RootID  string
	Wrapped []byte
	Created time.Time
}

// KeyReader reads master keys.
type KeyReader interface {
	// MasterKey reads one by id. ErrNotFound.
	MasterKey(id string) (*MasterKey, error)
	// DefaultKey reads the owner's key for a purpose. ErrNotFound.
	DefaultKey(owner Owner, purpose string) (*MasterKey, error)
	// Setting reads a small named value of the installation. ErrNotFound.
	Setting(name string) ([]byte, error)
}

// KeyWriter stores master keys.
type KeyWriter interface {
	// InsertMasterKey stores a new one with its versions. ErrExists if the id
	// is taken or the owner has one for that non-empty purpose.
	InsertMasterKey(k *MasterKey) error
	// SaveMasterKey writes state and versions. ErrNotFound.
	SaveMasterKey(k *MasterKey) error
	// SaveSetting inserts or replaces a setting.
	SaveSetting(name string, value []byte) error
}
