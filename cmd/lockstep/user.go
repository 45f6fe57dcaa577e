package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/auth"
	"lockstep/client/admin"
)

func newUser(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Create users and give them keys and policies", RunE: needSubcommand}
	key := &cobra.Command{Use: "key", Short: "Make, disable and delete a user's access keys", RunE: needSubcommand}
	key.AddCommand(newKeyCreate(t), newKeyList(t), newKeyEnable(t), newKeyDisable(t), newKeyDelete(t))
	cmd.AddCommand(newUserCreate(t), newUserList(t), newUserShow(t), newUserDelete(t), key,
		newAttach(t, userHolder), newDetach(t, userHolder))
	return cmd
}

func newUserCreate(t *target) *cobra.Command {
	var tags []string
	var spec admin.UserSpec
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a user; it may nothing until a policy is attached",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			spec.Name = args[0]
			if spec.Tags, err = tagsOf(tags); err != nil {
				return err
			}
			u, err := c.CreateUser(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return t.show(cmd, u, func(w io.Writer) { row(w, "created user "+u.Name) })
		},
	}
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "key=value; may be repeated")
	cmd.Flags().StringVar(&spec.Boundary, "boundary", "", "policy that bounds what others grant")
	return cmd
}

// tagsOf reads the values of --tag.
func tagsOf(given []string) ([]admin.Tag, error) {
	var out []admin.Tag
	for _, g := range given {
		key, value, ok := strings.Cut(g, "=")
		if !ok || key == "" {
			return nil, usagef("--tag %q: a tag is key=value", g)
		}
		out = append(out, admin.Tag{Key: key, Value: value})
	}
	return out, nil
}

func newUserList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List users",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			users, err := c.Users(cmd.Context())
			if err != nil {
				return err
			}
			return t.show(cmd, users, func(w io.Writer) {
				row(w, "NAME", "CREATED", "TAGS")
				for _, u := range users {
					row(w, u.Name, when(u.Created), tagWords(u.Tags))
				}
			})
		},
	}
}

func tagWords(tags []admin.Tag) string {
	var words []string
	for _, t := range tags {
		words = append(words, t.Key+"="+t.Value)
	}
	return orDash(words)
}

func orDash(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}

func newUserShow(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a user with groups, policies and keys",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			u, err := c.User(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, u, func(w io.Writer) {
				row(w, "user", u.Name)
				row(w, "arn", u.ARN)
				row(w, "created", when(u.Created))
				row(w, "tags", tagWords(u.Tags))
				row(w, "boundary", firstOf(u.Boundary, "-"))
				row(w, "groups", orDash(u.Groups))
				row(w, "policies", orDash(u.Policies))
				for _, k := range u.Keys {
					row(w, "key", k.ID+" ("+keyState(k)+", made "+when(k.Created)+")")
				}
			})
		},
	}
}

func keyState(k admin.AccessKey) string {
	if k.Active {
		return "active"
	}
	return "disabled"
}

func newUserDelete(_ *target) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a user with its keys, memberships and attachments",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.DeleteUser(cmd.Context(), args[0]); err != nil {
				return err
			}
			return say(cmd, "deleted user "+args[0])
		},
	}
}

// say prints what was done, in one line, whatever the form of output: there is
// nothing in it for programs but the exit code.
func say(cmd *cobra.Command, what string) error {
	_, err := fmt.Fprintln(cmd.OutOrStdout(), what)
	return err
}

// newKey is an access key that was just made, as it is printed, once.
type newKey struct {
	ID     string `json:"accessKeyId"`
	User   string `json:"user"`
	Secret string `json:"secretAccessKey,omitempty"`
	File   string `json:"credentialsFile,omitempty"`
}

func newKeyCreate(t *target) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "create USER",
		Short: "Make an access key; its secret is shown this once",
		Long: `Make an access key. Its secret is printed this once, or written to a file in the
form of ~/.aws/credentials that only you can read:

  lockstep user key create app --credentials-file app.credentials
  AWS_SHARED_CREDENTIALS_FILE=app.credentials aws secretsmanager …

A user may have two keys, so that one is replaced while the other works: create
the new one, move the applications, disable the old one, delete it. The root
user's name is root.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			made, err := c.CreateAccessKey(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			k := newKey{ID: made.ID, User: made.User, File: file}
			if file == "" {
				k.Secret = made.Secret.Reveal()
			} else if err := auth.WriteCredentials(file, auth.Credentials{AccessKeyID: made.ID, SecretKey: made.Secret}); err != nil {
				return fmt.Errorf("key %s was made but could not be kept; delete it with \"lockstep user key delete %s\": %w", made.ID, made.ID, err)
			}
			return t.show(cmd, k, func(w io.Writer) {
				row(w, "access key id", k.ID)
				if k.Secret != "" {
					row(w, "secret access key", k.Secret)
					return
				}
				row(w, "written to", k.File)
			})
		},
	}
	cmd.Flags().StringVar(&file, "credentials-file", "", "write the key there (mode 0600) instead of printing it")
	return cmd
}

func newKeyList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list USER",
		Short: "List a user's access keys",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			u, err := c.User(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if u.Keys == nil {
				u.Keys = []admin.AccessKey{}
			}
			return t.show(cmd, u.Keys, func(w io.Writer) {
				row(w, "KEY", "STATE", "CREATED")
				for _, k := range u.Keys {
					row(w, k.ID, keyState(k), when(k.Created))
				}
			})
		},
	}
}

func newKeyEnable(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "enable KEY-ID",
		Short: "Let a disabled access key work again",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			k, err := c.EnableAccessKey(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, k, func(w io.Writer) { row(w, "enabled key "+k.ID+" of "+k.User) })
		},
	}
}

func newKeyDisable(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "disable KEY-ID",
		Short: "Make an access key useless until it is enabled again",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			k, err := c.DisableAccessKey(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, k, func(w io.Writer) { row(w, "disabled key "+k.ID+" of "+k.User) })
		},
	}
}

func newKeyDelete(_ *target) *cobra.Command {
	return &cobra.Command{
		Use:   "delete KEY-ID",
		Short: "Delete an access key for good",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.DeleteAccessKey(cmd.Context(), args[0]); err != nil {
				return err
			}
			return say(cmd, "deleted key "+args[0])
		},
	}
}
