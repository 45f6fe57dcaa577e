package store

import "lockstep"

// GraphReader tells which Secrets are changed at their targets by the credential
// of which others. It finds them by an index, and opens no value.
type GraphReader interface {
	// Managed lists up to limit Secrets of an owner that rotate and have an
	// AdminRef, by that.
	Managed(owner Owner, limit int) ([]*lockstep.Secret, error)
	// ManagedBy lists up to limit Secrets of an account, in any region, that
	// rotate and whose AdminRef is one of refs. A name means a Secret in the
	// region of whoever names it, so the caller looks again.
	ManagedBy(account lockstep.AccountID, refs []string, limit int) ([]*lockstep.Secret, error)
}
