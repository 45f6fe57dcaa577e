package store

import "time"

// AuditHead is the newest signed statement of how far one node's audit log is.
// It is kept here since whoever can rewrite the log's directory cannot change
// the store.
type AuditHead struct {
	Node string
	// Seq and Hash are those of the last entry that the statement vouches for.
	Seq  uint64
	Hash []byte
	Time time.Time
	// RootID is the root key that signed.
	RootID    string
	Signature []byte
}

// AuditKey is the public half of a root key that signs audit logs.
type AuditKey struct {
	RootID string
	// Public is in DER form (PKIX).
	Public []byte
	// Since is when it was first used.
	Since time.Time
}

// AuditReader reads what audit logs are held against.
type AuditReader interface {
	// AuditHead reads the head of one node. ErrNotFound.
	AuditHead(node string) (*AuditHead, error)
	// AuditHeads lists the heads of all nodes that ever wrote, by name.
	AuditHeads() ([]AuditHead, error)
	// AuditKeys lists all keys that ever signed, oldest first.
	AuditKeys() ([]AuditKey, error)
}

// AuditWriter keeps it.
type AuditWriter interface {
	// SaveAuditHead keeps h unless a head with a higher Seq is there: a head
	// never goes back.
	SaveAuditHead(h *AuditHead) error
	// SaveAuditKey keeps a key. One that is there stays as it is: ErrExists if
	// its Public is another.
	SaveAuditKey(k *AuditKey) error
}
