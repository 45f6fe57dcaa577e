package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"lockstep/client/internal/wire"
)

// BackupKey seals a backup: 32 bytes derived from a passphrase with the salt of
// 16 bytes. The zero value means the server's root key.
type BackupKey struct {
	Key  []byte `json:"key,omitempty"`
	Salt []byte `json:"salt,omitempty"`
}

// Backup copies a backup of the whole installation to out. It is complete only
// if there is no error. Errors: *Error, the transport's, out's.
func (c *Client) Backup(ctx context.Context, k BackupKey, out io.Writer) error {
	body, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	r := wire.Request{Method: http.MethodPost, Path: "/v1/backup", Service: wire.ServiceLockstep, Body: body}
	if err := c.at.Stream(ctx, r, out); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}
