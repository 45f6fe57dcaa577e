package store

import (
	"time"

	"lockstep"
)

// User is a principal with access keys.
type User struct {
	// ARN is arn:aws:iam::<account>:user/<name>, or …:root.
	ARN     string
	Account lockstep.AccountID
	Name    string
	Created time.Time
}

// AccessKey signs requests for a User. Its secret is sealed by package keys.
type AccessKey struct {
	ID      string
	UserARN string
	Secret  *lockstep.Sealed
	// Active is false for a key that must not be used.
	Active  bool
	Created time.Time
}

// IdentityReader reads users and keys.
type IdentityReader interface {
	// User reads one by ARN. ErrNotFound.
	User(arn string) (*User, error)
	// AccessKey reads one by its id. ErrNotFound.
	AccessKey(id string) (*AccessKey, error)
}

// IdentityWriter stores users and keys.
type IdentityWriter interface {
	// InsertUser stores a new one. ErrExists.
	InsertUser(u *User) error
	// InsertAccessKey stores a new one. ErrExists.
	InsertAccessKey(k *AccessKey) error
	// SaveAccessKey writes its Active flag. ErrNotFound.
	SaveAccessKey(k *AccessKey) error
	// DeleteAccessKey removes one. ErrNotFound.
	DeleteAccessKey(id string) error
}
