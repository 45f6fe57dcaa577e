package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"lockstep"
	"lockstep/backup"
	"lockstep/hsm"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

// Restoring says what is restored where.
type Restoring struct {
	// In is the backup.
	In io.Reader
	// DataDir is made; it must not exist, or be empty.
	DataDir string
	// Store is "sqlite:PATH" or "postgres://…", an empty database; default
	// sqlite in DataDir.
	Store string
	// Root opens a backup that the root key sealed, Passphrase the others.
	Root       hsm.Key
	Passphrase []byte
}

// Restore makes a data directory and a store out of a backup. The directory
// appears whole or not at all, also over a crash, and so does the content of the
// store; one that was killed between the two is repeated. Errors: ErrExists if there is something already; ErrDecrypt for a
// backup that is damaged or does not open; ErrInvalid for one of a newer version.
func Restore(ctx context.Context, r Restoring) error {
	if entries, err := os.ReadDir(r.DataDir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty; restore to a directory of its own: %w", r.DataDir, lockstep.ErrExists)
	}
	in, err := backup.NewReader[sqlstore.Row](r.In)
	if err != nil {
		return err
	}
	if len(in.Header.Salt) > 0 {
		err = in.OpenByPassphrase(r.Passphrase)
	} else {
		err = openByRoot(ctx, in, r.Root)
	}
	if err != nil {
		return err
	}
	dir := filepath.Clean(r.DataDir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("make the directory above: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".restoring-")
	if err != nil {
		return fmt.Errorf("make a directory to restore into: %w", err)
	}
	if err := restoreInto(ctx, fresh, in, r.Store); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	return moveInPlace(fresh, dir)
}

// endRestores lets rotations go on once a restore is verified.
func (n *Node) endRestores(ctx context.Context) error {
	done, err := n.runs.EndRestores(ctx)
	for _, o := range done {
		n.log.InfoContext(ctx, "every restored secret was seen to log in; rotations go on", "account", o.Account, "region", o.Region)
	}
	return err
}

func openByRoot(ctx context.Context, in *backup.Reader[sqlstore.Row], root hsm.Key) error {
	if root == nil {
		return fmt.Errorf("the backup was sealed under root key %s; name it by --root-key: %w", in.Header.RootID, lockstep.ErrInvalid)
	}
	return in.OpenByRoot(ctx, root)
}

// restoreInto fills a directory, and the store in it or elsewhere.
func restoreInto(ctx context.Context, dir string, in *backup.Reader[sqlstore.Row], dsn string) error {
	if dsn == "" {
		dsn = "sqlite:" + filepath.Join(dir, "lockstep.db")
	}
	db, err := sqlstore.Open(ctx, sqlstore.Config{DSN: dsn})
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	r := restoring{dir: dir, in: in}
	err = db.Load(ctx, r.next)
	if errors.Is(err, lockstep.ErrExists) {
		err = r.resume(ctx, db, err)
	}
	return errors.Join(err, db.Close())
}

// settingRestore is a setting of the store: the backup that filled it, from the
// end of the load to the first start of a server. A restore that was killed
// between store and directory finds by it that the store is done.
const settingRestore = "restored-backup"

// restoring is a backup on its way into a directory and a store.
type restoring struct {
	dir string
	in  *backup.Reader[sqlstore.Row]
	// marked is set once the row of settingRestore was given.
	marked bool
}

// next gives the rows of the store, and the mark after the last; files are
// written when they come by.
func (r *restoring) next() (sqlstore.Row, error) {
	for {
		file, row, err := r.in.Next()
		switch {
		case errors.Is(err, io.EOF) && !r.marked:
			r.marked = true
			return sqlstore.Row{
				Table: "settings", Columns: []string{"name", "value"},
				Cells: []sqlstore.Cell{{Text: settingRestore}, {Bytes: []byte(r.in.ID())}},
			}, nil
		case err != nil:
			return sqlstore.Row{}, err
		case row != nil && !isMark(*row):
			return *row, nil
		case file != nil:
			if err := writeRestored(r.dir, *file); err != nil {
				return sqlstore.Row{}, err
			}
		}
	}
}

// isMark tells the mark of an earlier restore, which the backup has from its
// store, from other rows.
func isMark(row sqlstore.Row) bool {
	if row.Table != "settings" {
		return false
	}
	at := slices.Index(row.Columns, "name")
	return at >= 0 && row.Cells[at].Text == settingRestore
}

// resume goes on with the files if this very backup filled the store and no
// server has used it since; else the store is somebody's.
func (r *restoring) resume(ctx context.Context, db *sqlstore.Store, full error) error {
	id, err := restoredFrom(ctx, db)
	if err != nil {
		return err
	}
	if id != r.in.ID() {
		return fmt.Errorf("%w; name an empty database by --store, or empty this one if nothing needs it", full)
	}
	for {
		if _, err := r.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// restoredFrom reads the mark; empty if there is none.
func restoredFrom(ctx context.Context, s store.Store) (string, error) {
	var id []byte
	err := s.View(ctx, func(tx store.ReadTx) error {
		var err error
		id, err = tx.Setting(settingRestore)
		if errors.Is(err, lockstep.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look whether the store was restored: %w", err)
	}
	return string(id), nil
}

// takeRestored makes a restored store this installation's: no restore takes it
// for its own any more.
func (n *Node) takeRestored(ctx context.Context) error {
	id, err := restoredFrom(ctx, n.store)
	if err != nil || id == "" {
		return err
	}
	n.log.InfoContext(ctx, "the store was restored from a backup; rotations are paused until each secret was seen to log in")
	err = n.store.Update(ctx, func(tx store.Tx) error { return tx.SaveSetting(settingRestore, []byte{}) })
	if err != nil {
		return fmt.Errorf("take the restored store: %w", err)
	}
	return nil
}

func writeRestored(dir string, f backup.File) error {
	if !slices.Contains(backedUp(), f.Name) {
		return fmt.Errorf("the backup holds a file %q, which this version does not know: %w", f.Name, lockstep.ErrInvalid)
	}
	out, err := os.OpenFile(filepath.Join(dir, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- one of three names
	if err != nil {
		return fmt.Errorf("restore %s: %w", f.Name, err)
	}
	_, err = out.Write(f.Content)
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("restore %s: %w", f.Name, err)
	}
	return nil
}

// moveInPlace gives the finished directory its name. An empty one that is there
// is replaced by it.
func moveInPlace(fresh, dir string) error {
	if err := os.Rename(fresh, dir); err != nil {
		return errors.Join(fmt.Errorf("put the restored directory in its place: %w", err), os.RemoveAll(fresh))
	}
	d, err := os.Open(filepath.Dir(dir)) // #nosec G304 -- the operator names the directory
	if err != nil {
		return fmt.Errorf("make the restored directory durable: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
