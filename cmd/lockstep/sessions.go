package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
)

func newSessions(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "sessions NAME",
		Short: "Show who is logged in at the target with a secret's credentials",
		Long: `Ask the target of a secret who is logged in with its credentials, the old one and
AWSCURRENT: address, application, since when, and how many sessions. Nothing is
changed. A "?" means that the target cannot tell which of a user's credentials the
sessions used. Exit 1 if the target does not say.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			list, err := c.Sessions(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			err = t.show(cmd, list, func(w io.Writer) { showSessions(w, list) })
			if err == nil && list.Error != "" {
				err = errReported
			}
			return err
		},
	}
}

func showSessions(w io.Writer, list admin.SessionList) {
	if list.Error != "" {
		_, _ = fmt.Fprintf(w, "can't tell: %s\n", list.Error)
		return
	}
	if len(list.Sessions) == 0 {
		_, _ = fmt.Fprintln(w, "nobody is logged in")
		return
	}
	row(w, "CREDENTIAL", "USER", "ADDRESS", "APPLICATION", "SINCE", "SESSIONS")
	for _, s := range list.Sessions {
		credential, since := "AWSCURRENT", ""
		if s.Old {
			credential = "old"
		}
		if !s.Certain {
			credential += "?"
		}
		if s.Since != nil {
			since = when(*s.Since)
		}
		row(w, credential, s.User, s.Address, s.Application, since, strconv.Itoa(s.Count))
	}
}
