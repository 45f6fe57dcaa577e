package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
	"lockstep/internal/rootkey"
)

func newKeysRoot(t *target) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "root",
		Short: "The root key, which wraps all master keys",
		RunE:  needSubcommand,
	}
	cmd.AddCommand(newRootStatus(t), newRootMigrate(t))
	return cmd
}

func newRootStatus(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show which root key wraps, and how far a move to it is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			root, err := c.RootKey(cmd.Context())
			if err != nil {
				return err
			}
			return t.show(cmd, root, func(w io.Writer) { showRootKey(w, root) })
		},
	}
}

func showRootKey(w io.Writer, root admin.RootKey) {
	row(w, "root key", root.ID)
	row(w, "named", root.Line)
	if root.PreviousID != "" {
		row(w, "moving from", root.PreviousID)
		row(w, "remaining", fmt.Sprint(root.Remaining)+" key versions")
	}
}

func newRootMigrate(t *target) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "migrate --to file:PATH|pkcs11:…",
		Short: "Move the running server to another root key",
		Long: `Move the running server to another root key, which is made if it does not exist.
Every master key is wrapped by the new one; no value is touched. Reads and
rotations go on meanwhile. What is interrupted, the server goes on with by
itself, also after a crash.

Afterwards the server starts with the new root key unless --root-key names
another. The old one is still needed for backups that were made before.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := rootkey.Parse(to) // its paths become whole: the server runs elsewhere
			if err != nil {
				return usagef("--to: %w", err)
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			root, err := c.MoveRootKey(cmd.Context(), spec.String())
			if err != nil {
				return err
			}
			return t.show(cmd, root, func(w io.Writer) { showRootKey(w, root) })
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "file:PATH, or pkcs11:token=…;object=…?module-path=…&pin-source=…")
	return cmd
}
