package main

import (
	"io"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
)

func newGroup(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "group", Short: "Give several users the same policies", RunE: needSubcommand}
	cmd.AddCommand(newGroupCreate(t), newGroupList(t), newGroupShow(t), newGroupDelete(t),
		newMember("add GROUP USER", "Put a user into a group", "added", (*admin.Client).AddMember),
		newMember("remove GROUP USER", "Take a user out of a group", "removed", (*admin.Client).RemoveMember),
		newAttach(t, groupHolder), newDetach(t, groupHolder))
	return cmd
}

func newGroupCreate(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME",
		Short: "Create an empty group",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			g, err := c.CreateGroup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, g, func(w io.Writer) { row(w, "created group "+g.Name) })
		},
	}
}

func newGroupList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List groups",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			groups, err := c.Groups(cmd.Context())
			if err != nil {
				return err
			}
			return t.show(cmd, groups, func(w io.Writer) {
				row(w, "NAME", "CREATED")
				for _, g := range groups {
					row(w, g.Name, when(g.Created))
				}
			})
		},
	}
}

func newGroupShow(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a group with members and policies",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			g, err := c.Group(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, g, func(w io.Writer) {
				row(w, "group", g.Name)
				row(w, "arn", g.ARN)
				row(w, "created", when(g.Created))
				row(w, "members", orDash(g.Members))
				row(w, "policies", orDash(g.Policies))
			})
		},
	}
}

func newGroupDelete(_ *target) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a group; its members stay users",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.DeleteGroup(cmd.Context(), args[0]); err != nil {
				return err
			}
			return say(cmd, "deleted group "+args[0])
		},
	}
}
