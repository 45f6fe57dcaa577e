package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newCheck(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Look for broken invariants over the whole store; exit 1 if there are any",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			result, err := c.Check(cmd.Context())
			if err != nil {
				return err
			}
			err = t.show(cmd, result, func(w io.Writer) {
				if result.OK {
					_, _ = fmt.Fprintln(w, "every invariant holds")
				}
				for _, v := range result.Violations {
					row(w, v.Rule, string(v.ARN), v.Detail)
				}
			})
			if err == nil && !result.OK {
				err = errReported
			}
			return err
		},
	}
}
