package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
)

func newRole(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "role", Short: "Create roles that others assume", RunE: needSubcommand}
	cmd.AddCommand(newRoleCreate(t), newRoleList(t), newRoleShow(t), newRoleDelete(t),
		newAttach(t, roleHolder), newDetach(t, roleHolder))
	return cmd
}

func newRoleCreate(t *target) *cobra.Command {
	var trust string
	var tags []string
	var spec admin.RoleSpec
	cmd := &cobra.Command{
		Use:   "create NAME --trust FILE",
		Short: "Create a role; it may nothing until a policy is attached",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Name = args[0]
			document, err := readDocument(cmd, "--trust", trust)
			if err != nil {
				return err
			}
			spec.Trust = document
			if spec.Tags, err = tagsOf(tags); err != nil {
				return err
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			r, err := c.CreateRole(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return t.show(cmd, r, func(w io.Writer) { row(w, "created role "+r.Name) })
		},
	}
	cmd.Flags().StringVar(&trust, "trust", "", `file with the policy that says who may assume it; "-" is standard input`)
	cmd.Flags().StringVar(&spec.Description, "description", "", "what the role is for")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "key=value; may be repeated")
	cmd.Flags().StringVar(&spec.Boundary, "boundary", "", "policy that bounds what others grant")
	return cmd
}

func newRoleList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List roles",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			roles, err := c.Roles(cmd.Context())
			if err != nil {
				return err
			}
			return t.show(cmd, roles, func(w io.Writer) {
				row(w, "NAME", "CREATED", "DESCRIPTION")
				for _, r := range roles {
					row(w, r.Name, when(r.Created), firstOf(r.Description, "-"))
				}
			})
		},
	}
}

func newRoleShow(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a role with trust and policies",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			r, err := c.Role(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, r, func(w io.Writer) {
				row(w, "role", r.Name)
				row(w, "arn", r.ARN)
				row(w, "description", firstOf(r.Description, "-"))
				row(w, "created", when(r.Created))
				row(w, "tags", tagWords(r.Tags))
				row(w, "boundary", firstOf(r.Boundary, "-"))
				row(w, "policies", orDash(r.Policies))
				row(w, "trust", r.Trust)
			})
		},
	}
}

func newRoleDelete(_ *target) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a role",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.DeleteRole(cmd.Context(), args[0]); err != nil {
				return err
			}
			return say(cmd, "deleted role "+args[0])
		},
	}
}

// newMember makes a command about a group and a user.
func newMember(use, what, did string, do func(c *admin.Client, ctx context.Context, group, user string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: what,
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := do(c, cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
			return say(cmd, did+" "+args[1])
		},
	}
}

// holder makes the thing that a policy hangs on, of a name.
type holder func(name string) admin.Holder

func userHolder(name string) admin.Holder  { return admin.Holder{User: name} }
func groupHolder(name string) admin.Holder { return admin.Holder{Group: name} }
func roleHolder(name string) admin.Holder  { return admin.Holder{Role: name} }

func newAttach(_ *target, of holder) *cobra.Command {
	return &cobra.Command{
		Use:   "attach NAME POLICY",
		Short: "Attach a policy",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.Attach(cmd.Context(), args[1], of(args[0])); err != nil {
				return err
			}
			return say(cmd, "attached "+args[1]+" to "+args[0])
		},
	}
}

func newDetach(_ *target, of holder) *cobra.Command {
	return &cobra.Command{
		Use:   "detach NAME POLICY",
		Short: "Detach a policy",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.Detach(cmd.Context(), args[1], of(args[0])); err != nil {
				return err
			}
			return say(cmd, "detached "+args[1]+" from "+args[0])
		},
	}
}
