package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/backup"
	"lockstep/client/admin"
	"lockstep/hsm"
	"lockstep/internal/node"
	"lockstep/internal/rootkey"
)

const passphraseHelp = "read a passphrase from this file (mode 0600) or descriptor: PATH or fd:3" // #nosec G101 -- a text of help

func newBackup(_ *target) *cobra.Command {
	var out, source string
	cmd := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "Copy the whole installation to one sealed file while the server works",
		Long: `Copy the whole installation to one sealed file while the server works: the store as
it was at one moment, the server's authority and the root user's credentials.

The file is sealed under the root key, or with --passphrase-source under a
passphrase. The root key itself is not in it: keep a copy of that elsewhere, since
without it no value can be read, whatever opens the file.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("--out is missing: the file to write")
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			var key admin.BackupKey
			if source != "" {
				if key, err = passphraseKey(source); err != nil {
					return err
				}
			}
			return writeBackup(out, func(w io.Writer) error { return c.Backup(cmd.Context(), key, w) })
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to write; it must not exist")
	cmd.Flags().StringVar(&source, "passphrase-source", "", passphraseHelp)
	return cmd
}

func passphraseKey(source string) (admin.BackupKey, error) {
	passphrase, err := rootkey.ReadSource(source)
	if err != nil {
		return admin.BackupKey{}, err
	}
	defer clear(passphrase)
	key, salt, err := backup.PassphraseKey(passphrase, nil)
	return admin.BackupKey{Key: key, Salt: salt}, err
}

// writeBackup makes the file appear whole or not at all: it is written under
// another name beside it, checked for its end, and then linked to its own.
func writeBackup(path string, copyTo func(io.Writer) error) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	whole := &backup.Whole{}
	err = copyTo(io.MultiWriter(temp, whole))
	if err == nil {
		err = whole.Err()
	}
	if err == nil {
		err = temp.Sync()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if err := os.Link(temp.Name(), path); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func newRestore() *cobra.Command {
	var in, source, root, dsn string
	cmd := &cobra.Command{
		Use:   "restore --in FILE --data-dir NEW",
		Short: "Make a data directory and a store out of a backup",
		Long: `Make a data directory and a store out of a backup. Both appear whole or not at all.

--root-key names the root key that the installation had, as for serve. Every
secret with a rotation is verified at its target once the server starts, since
targets may have moved on since the backup, and mended by its admin's credential
if it has one. Rotations are paused until each was seen to log in; "lockstep check"
names those that were not, "lockstep freeze remove restored" ends the pause.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, _ := cmd.Flags().GetString("data-dir")
			if in == "" || dir == "" {
				return usagef("--in and --data-dir are needed: the backup, and the directory to make")
			}
			f, err := os.Open(in) // #nosec G304 -- the operator names the file
			if err != nil {
				return usagef("open the backup: %w", err)
			}
			defer func() { _ = f.Close() }() // it was only read
			r := node.Restoring{In: f, DataDir: dir, Store: dsn}
			if source != "" {
				if r.Passphrase, err = rootkey.ReadSource(source); err != nil {
					return err
				}
			}
			if root != "" {
				k, err := openRoot(cmd.Context(), root)
				if err != nil {
					return err
				}
				defer func() { _ = k.Close() }() // nothing is lost by an unclean end
				r.Root = k
			}
			if err := node.Restore(cmd.Context(), r); err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored to %s; start it with: lockstep serve --data-dir %s --root-key …\n"+
				"The audit log's files are not in a backup. Put a copy of them to %s first, or the records are reported as missing.\n",
				dir, dir, filepath.Join(dir, "audit"))
			return err
		},
	}
	cmd.Flags().StringVar(&in, "in", "", "the backup")
	cmd.Flags().StringVar(&source, "passphrase-source", "", passphraseHelp)
	cmd.Flags().StringVar(&root, "root-key", "", "the root key that sealed the backup: file:PATH or pkcs11:…")
	cmd.Flags().StringVar(&dsn, "store", "", "sqlite:PATH or postgres://…, empty (default sqlite in the data directory)")
	return cmd
}

func openRoot(ctx context.Context, line string) (hsm.Key, error) {
	k, err := rootkey.Open(ctx, line)
	if errors.Is(err, lockstep.ErrInvalid) {
		return nil, &usageError{err}
	}
	return k, err
}
