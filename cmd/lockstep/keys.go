package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockstep/client/admin"
)

func newKeys(t *target) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Master keys and the root key",
		Long: `Master keys and the root key. A KEY is a master key's id, ARN or alias; the key of
secrets that name none is alias/aws/secretsmanager.`,
		RunE: needSubcommand,
	}
	cmd.AddCommand(newKeysCreate(t), newKeysList(t), newKeysDescribe(t), newKeysRotate(t), newKeysDelete(t), newKeysRoot(t),
		newKeysChange("enable", "Let a key be used", func(ctx context.Context, c *kms.Client, id string) error {
			_, err := c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &id})
			return err
		}),
		newKeysChange("disable", "Stop a key's use on every node within five seconds", func(ctx context.Context, c *kms.Client, id string) error {
			_, err := c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &id})
			return err
		}),
		newKeysChange("cancel-deletion", "Take a key back before it is deleted; it is disabled then", func(ctx context.Context, c *kms.Client, id string) error {
			_, err := c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &id})
			return err
		}))
	return cmd
}

// keysClient is the AWS SDK's client of the keys API.
func keysClient(ctx context.Context, flags *pflag.FlagSet) (*kms.Client, error) {
	env, err := environmentOf(flags)
	if err != nil {
		return nil, err
	}
	cfg, err := env.awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(cfg, func(o *kms.Options) { o.BaseEndpoint = aws.String(env.Endpoint) }), nil
}

// describeKey finds a key by whatever name it was given.
func describeKey(ctx context.Context, c *kms.Client, name string) (*types.KeyMetadata, error) {
	out, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})
	if err != nil {
		return nil, plain(err)
	}
	return out.KeyMetadata, nil
}

func newKeysCreate(t *target) *cobra.Command {
	var alias, description string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a master key",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := keysClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			out, err := c.CreateKey(cmd.Context(), &kms.CreateKeyInput{Description: &description})
			if err != nil {
				return plain(err)
			}
			if alias != "" {
				alias = "alias/" + strings.TrimPrefix(alias, "alias/")
				if _, err := c.CreateAlias(cmd.Context(), &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: out.KeyMetadata.KeyId}); err != nil {
					return fmt.Errorf("key %s was made, but not its alias: %w", *out.KeyMetadata.KeyId, plain(err))
				}
			}
			return t.show(cmd, keyRow{ID: *out.KeyMetadata.KeyId, ARN: *out.KeyMetadata.Arn, Aliases: alias, State: string(out.KeyMetadata.KeyState)},
				func(w io.Writer) { row(w, *out.KeyMetadata.Arn) })
		},
	}
	cmd.Flags().StringVar(&alias, "alias", "", "a name for it, with or without \"alias/\"")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}

// keyRow is a key as the list shows it.
type keyRow struct {
	ID      string `json:"id"`
	ARN     string `json:"arn"`
	Aliases string `json:"aliases,omitempty"`
	State   string `json:"state"`
}

func newKeysList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the master keys",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := listKeyRows(cmd.Context(), cmd.Flags())
			if err != nil {
				return plain(err)
			}
			return t.show(cmd, rows, func(w io.Writer) {
				row(w, "KEY", "STATE", "ALIASES")
				for _, k := range rows {
					row(w, k.ID, k.State, k.Aliases)
				}
			})
		},
	}
}

func listKeyRows(ctx context.Context, flags *pflag.FlagSet) ([]keyRow, error) {
	c, err := keysClient(ctx, flags)
	if err != nil {
		return nil, err
	}
	names := make(map[string][]string)
	for pages := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{}); pages.HasMorePages(); {
		p, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range p.Aliases {
			id := aws.ToString(a.TargetKeyId)
			names[id] = append(names[id], *a.AliasName)
		}
	}
	rows := []keyRow{}
	for pages := kms.NewListKeysPaginator(c, &kms.ListKeysInput{}); pages.HasMorePages(); {
		p, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, k := range p.Keys {
			d, err := describeKey(ctx, c, *k.KeyId)
			if err != nil {
				return nil, err
			}
			rows = append(rows, keyRow{ID: *k.KeyId, ARN: *k.KeyArn, State: string(d.KeyState), Aliases: strings.Join(names[*k.KeyId], " ")})
		}
	}
	return rows, nil
}

func newKeysDescribe(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "describe KEY",
		Short: "Show a key, what hangs on it, and how far its re-wrapping is",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			use, err := keyUse(cmd, args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, use, func(w io.Writer) { showKeyUse(w, use) })
		},
	}
}

func keyUse(cmd *cobra.Command, key string) (admin.KeyUse, error) {
	c, err := adminClient(cmd.Context(), cmd.Flags())
	if err != nil {
		return admin.KeyUse{}, err
	}
	return c.KeyUse(cmd.Context(), key)
}

func showKeyUse(w io.Writer, use admin.KeyUse) {
	row(w, "key", use.ARN)
	row(w, "state", use.State)
	row(w, "secrets", fmt.Sprint(use.Secrets))
	row(w, "data keys", fmt.Sprint(use.DataKeys))
	row(w, "to re-wrap", fmt.Sprint(use.Stale))
	for _, v := range use.Versions {
		row(w, fmt.Sprintf("version %d", v.Number), when(v.Created))
	}
}

// look is how often the progress of a re-wrapping is asked for.
const look = 500 * time.Millisecond

func newKeysRotate(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate KEY",
		Short: "Give a key a new version, and wait until the data keys follow",
		Long: `Give a key a new version, and wait until all data keys are wrapped by it. Values
are not touched, and reads go on. Whoever does not want to wait may interrupt the
command: the server goes on.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := keysClient(ctx, cmd.Flags())
			if err != nil {
				return err
			}
			k, err := describeKey(ctx, c, args[0])
			if err != nil {
				return err
			}
			if _, err := c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: k.KeyId}); err != nil {
				return plain(err)
			}
			use, err := followRewrap(cmd, *k.KeyId)
			if err != nil {
				return err
			}
			return t.show(cmd, use, func(w io.Writer) { showKeyUse(w, use) })
		},
	}
}

// followRewrap tells how many data keys are left, until there are none.
func followRewrap(cmd *cobra.Command, id string) (admin.KeyUse, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	last := -1
	for {
		use, err := keyUse(cmd, id)
		if err != nil || use.Stale == 0 {
			return use, err
		}
		if use.Stale != last {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d data keys left\n", use.Stale, use.DataKeys)
			last = use.Stale
		}
		select {
		case <-cmd.Context().Done():
			return use, cmd.Context().Err()
		case <-tick.C:
		}
	}
}

func newKeysDelete(t *target) *cobra.Command {
	var days int32
	var sure bool
	cmd := &cobra.Command{
		Use:   "delete KEY --yes",
		Short: "Stop a key's use, and destroy it after some days",
		Long: `Stop a key's use at once, and destroy it after --days. What is sealed under it can
then never be read again. Without --yes the command only says how many secrets
that would be.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			use, err := keyUse(cmd, args[0])
			if err != nil {
				return err
			}
			if !sure {
				return usagef("%d secrets and %d data keys are under %s and would be unreadable for good; say --yes if that is wanted", use.Secrets, use.DataKeys, use.ARN)
			}
			c, err := keysClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			out, err := c.ScheduleKeyDeletion(cmd.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &use.ID, PendingWindowInDays: &days})
			if err != nil {
				return plain(err)
			}
			return t.show(cmd, use, func(w io.Writer) {
				row(w, fmt.Sprintf("%s is deleted on %s, and %d secrets with it; until then: lockstep keys cancel-deletion %s",
					use.ARN, when(*out.DeletionDate), use.Secrets, use.ID))
			})
		},
	}
	cmd.Flags().Int32Var(&days, "days", 30, "how long it can be taken back, 7 to 30")
	cmd.Flags().BoolVar(&sure, "yes", false, "make its secrets unreadable")
	return cmd
}

// newKeysChange makes a command that does one thing to one key.
func newKeysChange(name, short string, do func(context.Context, *kms.Client, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   name + " KEY",
		Short: short,
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := keysClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			k, err := describeKey(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return plain(do(cmd.Context(), c, *k.KeyId))
		},
	}
}
