package sqlstore

import (
	"bytes"

	"lockstep"
	"lockstep/store"
)

const auditHeadColumns = `node, seq, hash, at, root_id, signature`

func scanAuditHead(r row) (store.AuditHead, error) {
	var h store.AuditHead
	err := r.Scan(&h.Node, &h.Seq, &h.Hash, timeInto{&h.Time}, &h.RootID, &h.Signature)
	return h, err
}

func scanAuditKey(r row) (store.AuditKey, error) {
	var k store.AuditKey
	err := r.Scan(&k.RootID, &k.Public, timeInto{&k.Since})
	return k, err
}

// AuditHead implements store.AuditReader.
func (t *tx) AuditHead(node string) (*store.AuditHead, error) {
	h, err := one(t.session, scanAuditHead, `SELECT `+auditHeadColumns+` FROM audit_heads WHERE node = $1`, node)
	if err != nil {
		return nil, place("read audit head of "+node, err)
	}
	return &h, nil
}

// AuditHeads implements store.AuditReader.
func (t *tx) AuditHeads() ([]store.AuditHead, error) {
	list, err := all(t.session, scanAuditHead, `SELECT `+auditHeadColumns+` FROM audit_heads ORDER BY node @bytes`)
	return list, place("list audit heads", err)
}

// AuditKeys implements store.AuditReader.
func (t *tx) AuditKeys() ([]store.AuditKey, error) {
	list, err := all(t.session, scanAuditKey, `SELECT root_id, public, since FROM audit_keys ORDER BY since, root_id @bytes`)
	return list, place("list audit keys", err)
}

// SaveAuditHead implements store.AuditWriter.
func (t *tx) SaveAuditHead(h *store.AuditHead) error {
	_, err := t.exec(`INSERT INTO audit_heads (`+auditHeadColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, at = excluded.at,
			root_id = excluded.root_id, signature = excluded.signature
		WHERE excluded.seq >= audit_heads.seq`,
		h.Node, h.Seq, h.Hash, micros(h.Time), h.RootID, h.Signature)
	return place("save audit head of "+h.Node, err)
}

// SaveAuditKey implements store.AuditWriter.
func (t *tx) SaveAuditKey(k *store.AuditKey) error {
	_, err := t.exec(`INSERT INTO audit_keys (root_id, public, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		k.RootID, k.Public, micros(k.Since))
	if err != nil {
		return place("save audit key "+k.RootID, err)
	}
	there, err := one(t.session, scanAuditKey, `SELECT root_id, public, since FROM audit_keys WHERE root_id = $1`, k.RootID)
	if err == nil && !bytes.Equal(there.Public, k.Public) {
		err = lockstep.ErrExists
	}
	return place("save audit key "+k.RootID, err)
}
