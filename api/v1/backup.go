package v1

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Backups writes backups; internal/node does.
type Backups interface {
	// Backup writes the whole installation, sealed under the key, or with none
	// under the root key. salt goes with a key into the header.
	Backup(ctx context.Context, out io.Writer, key, salt []byte) error
}

func backupRoutes() []route {
	return []route{{http.MethodPost, "/v1/backup", "CreateBackup", http.StatusOK, (*API).createBackup}}
}

type backupInput struct {
	Key  []byte `json:"key"`
	Salt []byte `json:"salt"`
}

func (a *API) createBackup(ctx context.Context, c call) (any, error) {
	if err := a.may(ctx, c, nil); err != nil {
		return nil, err
	}
	var in backupInput
	if err := read(c, &in); err != nil {
		return nil, err
	}
	if len(in.Key) > 0 && (len(in.Key) != 32 || len(in.Salt) != 16) {
		return nil, invalid("A key has 32 bytes and comes with a salt of 16.", "Leave both out to seal under the root key.")
	}
	return backupFlow{ctx, a.config.Backups, in}, nil
}

// backupFlow is a backup as an answer.
type backupFlow struct {
	ctx     context.Context
	backups Backups
	in      backupInput
}

func (f backupFlow) send(w http.ResponseWriter) error {
	defer clear(f.in.Key)
	// A backup may take longer than an answer otherwise may.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lift the time limit: %w", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	return f.backups.Backup(f.ctx, w, f.in.Key, f.in.Salt)
}
