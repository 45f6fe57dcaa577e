package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"lockstep/backup"
	"lockstep/store/sqlstore"
)

// backedUp are the files of the data directory that clients rely on. The root
// key is not among them: it is kept apart from what it seals.
func backedUp() []string { return []string{"ca.pem", "ca-key.pem", "credentials"} }

// Backup writes the whole installation while it works; see backup. A nil key
// means one that the root key wraps.
func (n *Node) Backup(ctx context.Context, out io.Writer, key, salt []byte) error {
	k := backup.Key{Header: backup.Header{Salt: salt}, Material: key}
	if len(key) == 0 {
		var err error
		if k, err = backup.RootKey(ctx, n.keys.Root()); err != nil {
			return err
		}
	}
	w, err := backup.NewWriter[sqlstore.Row](out, k)
	if err != nil {
		return fmt.Errorf("begin backup: %w", err)
	}
	for _, name := range backedUp() {
		content, err := os.ReadFile(n.backupPath(name)) // #nosec G304 -- one of three names in our own directories
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = w.File(backup.File{Name: name, Content: content})
		}
		if err != nil {
			return fmt.Errorf("back up %s: %w", name, err)
		}
	}
	if err := n.database.Dump(ctx, w.Row); err != nil {
		return err
	}
	return w.Close()
}

// backupPath is where a file is: the authority may be elsewhere.
func (n *Node) backupPath(name string) string {
	if n.cfg.CADir != "" && name != "credentials" {
		return filepath.Join(n.cfg.CADir, name)
	}
	return n.path(name)
}
