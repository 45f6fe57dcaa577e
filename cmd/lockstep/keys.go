package main

import "github.com/spf13/cobra"

func newKeys(t *target) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Master keys and the root key",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysRoot(t))
	return cmd
}
