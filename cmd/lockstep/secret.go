package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/spf13/cobra"

	"lockstep"
)

func newSecret(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Short: "Create, read and change secrets", RunE: needSubcommand}
	cmd.AddCommand(newSecretCreate(t), newSecretGet(t), newSecretPut(t), newSecretList(t),
		newSecretDescribe(t), newSecretDelete(t), newSecretRestore(t))
	return cmd
}

func needSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unknown command %q for %s; see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	return usagef("%s needs a command; see %s --help", cmd.CommandPath(), cmd.CommandPath())
}

// valueFlags are the ways to give a value: never as an argument, which every
// user of the machine could read in the process list.
type valueFlags struct {
	file   string
	binary bool
}

func (v *valueFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&v.file, "value-file", "", `file that holds the value; "-" is standard input`)
	cmd.Flags().BoolVar(&v.binary, "binary", false, "the value is binary, not text")
}

// read reads the value. A newline at the end of text is taken off: editors and
// echo add one.
func (v *valueFlags) read(in io.Reader) (lockstep.Value, error) {
	if v.file == "" {
		return lockstep.Value{}, nil
	}
	var raw []byte
	var err error
	if v.file == "-" {
		raw, err = io.ReadAll(io.LimitReader(in, lockstep.MaxValueBytes+2))
	} else {
		raw, err = os.ReadFile(v.file)
	}
	if err != nil {
		return lockstep.Value{}, fmt.Errorf("read value: %w", err)
	}
	if v.binary {
		return lockstep.BinaryValue(raw), nil
	}
	return lockstep.StringValue(strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")), nil
}

// split gives the two fields of the API.
func split(v lockstep.Value) (text *string, blob []byte) {
	switch {
	case v.IsZero():
		return nil, nil
	case v.IsBinary():
		return nil, v.Bytes()
	}
	return aws.String(v.Reveal()), nil
}

func newSecretCreate(t *target) *cobra.Command {
	var value valueFlags
	var description string
	var tags []string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a secret; its value comes from --value-file",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &secretsmanager.CreateSecretInput{Name: aws.String(args[0])}
			v, err := value.read(cmd.InOrStdin())
			if err != nil {
				return err
			}
			in.SecretString, in.SecretBinary = split(v)
			if description != "" {
				in.Description = aws.String(description)
			}
			for _, tag := range tags {
				key, val, ok := strings.Cut(tag, "=")
				if !ok {
					return usagef("--tag %q: a tag is key=value", tag)
				}
				in.Tags = append(in.Tags, types.Tag{Key: aws.String(key), Value: aws.String(val)})
			}
			client, err := secretsClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			out, err := client.CreateSecret(cmd.Context(), in)
			if err != nil {
				return plain(err)
			}
			return t.written(cmd, out.ARN, out.Name, out.VersionId, "created")
		},
	}
	value.add(cmd)
	cmd.Flags().StringVar(&description, "description", "", "what the secret is for")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "key=value; may be repeated")
	return cmd
}

// writtenSecret is what a write came to.
type writtenSecret struct {
	ARN       string `json:"arn"`
	Name      string `json:"name"`
	VersionID string `json:"versionId,omitempty"`
}

func (t *target) written(cmd *cobra.Command, arn, name, version *string, what string) error {
	w := writtenSecret{ARN: aws.ToString(arn), Name: aws.ToString(name), VersionID: aws.ToString(version)}
	return t.show(cmd, w, func(out io.Writer) {
		if w.VersionID == "" {
			row(out, what+" "+w.Name)
			return
		}
		row(out, what+" "+w.Name+", version "+w.VersionID)
	})
}

func newSecretGet(t *target) *cobra.Command {
	var version, stage string
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Print a secret's value",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := secretsClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(args[0])}
			if version != "" {
				in.VersionId = aws.String(version)
			}
			if stage != "" {
				in.VersionStage = aws.String(stage)
			}
			out, err := client.GetSecretValue(cmd.Context(), in)
			if err != nil {
				return plain(err)
			}
			return t.showValue(cmd, out)
		},
	}
	cmd.Flags().StringVar(&version, "version-id", "", "this version instead of AWSCURRENT")
	cmd.Flags().StringVar(&stage, "stage", "", "the version with this staging label")
	return cmd
}

// showValue prints the bare value for people and pipes, or everything as JSON.
func (t *target) showValue(cmd *cobra.Command, out *secretsmanager.GetSecretValueOutput) error {
	asJSON, err := t.json()
	if err != nil {
		return err
	}
	if asJSON {
		return t.show(cmd, struct {
			ARN           string    `json:"arn"`
			Name          string    `json:"name"`
			VersionID     string    `json:"versionId"`
			VersionStages []string  `json:"versionStages"`
			Created       time.Time `json:"created"`
			SecretString  *string   `json:"secretString,omitempty"`
			SecretBinary  []byte    `json:"secretBinary,omitempty"`
		}{aws.ToString(out.ARN), aws.ToString(out.Name), aws.ToString(out.VersionId), out.VersionStages,
			aws.ToTime(out.CreatedDate), out.SecretString, out.SecretBinary}, nil)
	}
	if out.SecretString == nil {
		_, err = cmd.OutOrStdout().Write(out.SecretBinary)
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), *out.SecretString)
	return err
}

func newSecretPut(t *target) *cobra.Command {
	var value valueFlags
	var stages []string
	cmd := &cobra.Command{
		Use:   "put NAME",
		Short: "Store a new value from --value-file and make it AWSCURRENT",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := value.read(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if v.IsZero() {
				return usagef("put needs a value: --value-file FILE, or --value-file - for standard input")
			}
			client, err := secretsClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			in := &secretsmanager.PutSecretValueInput{SecretId: aws.String(args[0]), VersionStages: stages}
			in.SecretString, in.SecretBinary = split(v)
			out, err := client.PutSecretValue(cmd.Context(), in)
			if err != nil {
				return plain(err)
			}
			return t.written(cmd, out.ARN, out.Name, out.VersionId, "stored")
		},
	}
	value.add(cmd)
	cmd.Flags().StringSliceVar(&stages, "stage", nil, "staging labels instead of AWSCURRENT")
	return cmd
}

// listedSecret is a row of secret list.
type listedSecret struct {
	Name            string     `json:"name"`
	ARN             string     `json:"arn"`
	Description     string     `json:"description,omitempty"`
	RotationEnabled bool       `json:"rotationEnabled"`
	Rotator         string     `json:"rotator,omitempty"`
	LastRotated     *time.Time `json:"lastRotated,omitempty"`
	NextRotation    *time.Time `json:"nextRotation,omitempty"`
	LastChanged     *time.Time `json:"lastChanged,omitempty"`
	Deleted         *time.Time `json:"deleted,omitempty"`
}

func newSecretList(t *target) *cobra.Command {
	var deleted bool
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List secrets, all or those whose name begins with PREFIX",
		Args:  maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := secretsClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			in := &secretsmanager.ListSecretsInput{IncludePlannedDeletion: aws.Bool(deleted)}
			if len(args) == 1 {
				in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: args}}
			}
			secrets := []listedSecret{}
			for pages := secretsmanager.NewListSecretsPaginator(client, in); pages.HasMorePages(); {
				page, err := pages.NextPage(cmd.Context())
				if err != nil {
					return plain(err)
				}
				for _, s := range page.SecretList {
					secrets = append(secrets, listed(s))
				}
			}
			return t.show(cmd, secrets, func(w io.Writer) { listTable(w, secrets) })
		},
	}
	cmd.Flags().BoolVar(&deleted, "deleted", false, "also those marked for deletion")
	return cmd
}

func listed(s types.SecretListEntry) listedSecret {
	return listedSecret{
		Name: aws.ToString(s.Name), ARN: aws.ToString(s.ARN), Description: aws.ToString(s.Description),
		RotationEnabled: aws.ToBool(s.RotationEnabled), Rotator: aws.ToString(s.RotationLambdaARN),
		LastRotated: s.LastRotatedDate, NextRotation: s.NextRotationDate, LastChanged: s.LastChangedDate, Deleted: s.DeletedDate,
	}
}

func listTable(w io.Writer, secrets []listedSecret) {
	if len(secrets) == 0 {
		row(w, "no secrets")
		return
	}
	row(w, "NAME", "ROTATOR", "LAST ROTATED", "NEXT ROTATION", "CHANGED")
	for _, s := range secrets {
		rotator := "-"
		if s.RotationEnabled {
			rotator = s.Rotator
		}
		name := s.Name
		if s.Deleted != nil {
			name += " (deleted, goes " + whenPtr(s.Deleted) + ")"
		}
		row(w, name, rotator, whenPtr(s.LastRotated), whenPtr(s.NextRotation), whenPtr(s.LastChanged))
	}
}

// describedSecret is a secret in full, without its values.
type describedSecret struct {
	listedSecret
	Created  *time.Time          `json:"created,omitempty"`
	Accessed *time.Time          `json:"lastAccessed,omitempty"`
	Schedule string              `json:"schedule,omitempty"`
	Tags     map[string]string   `json:"tags,omitempty"`
	Versions map[string][]string `json:"versions"`
}

func newSecretDescribe(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "Show everything about a secret but its values",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := secretsClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			out, err := client.DescribeSecret(cmd.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String(args[0])})
			if err != nil {
				return plain(err)
			}
			d := described(out)
			return t.show(cmd, d, func(w io.Writer) { describeTable(w, d) })
		},
	}
}

func described(s *secretsmanager.DescribeSecretOutput) describedSecret {
	d := describedSecret{
		listedSecret: listedSecret{
			Name: aws.ToString(s.Name), ARN: aws.ToString(s.ARN), Description: aws.ToString(s.Description),
			RotationEnabled: aws.ToBool(s.RotationEnabled), Rotator: aws.ToString(s.RotationLambdaARN),
			LastRotated: s.LastRotatedDate, NextRotation: s.NextRotationDate, LastChanged: s.LastChangedDate, Deleted: s.DeletedDate,
		},
		Created: s.CreatedDate, Accessed: s.LastAccessedDate, Versions: s.VersionIdsToStages,
	}
	if r := s.RotationRules; r != nil {
		d.Schedule = aws.ToString(r.ScheduleExpression)
		if r.AutomaticallyAfterDays != nil {
			d.Schedule = fmt.Sprintf("every %d days", *r.AutomaticallyAfterDays)
		}
	}
	for _, tag := range s.Tags {
		if d.Tags == nil {
			d.Tags = make(map[string]string)
		}
		d.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return d
}

func describeTable(w io.Writer, d describedSecret) {
	row(w, "name", d.Name)
	row(w, "arn", d.ARN)
	if d.Description != "" {
		row(w, "description", d.Description)
	}
	row(w, "created", whenPtr(d.Created))
	row(w, "changed", whenPtr(d.LastChanged))
	if d.Accessed != nil {
		row(w, "last read", d.Accessed.UTC().Format("2006-01-02"))
	}
	if d.Deleted != nil {
		row(w, "deleted", "goes "+whenPtr(d.Deleted))
	}
	if d.Rotator != "" {
		row(w, "rotator", d.Rotator+map[bool]string{true: "", false: " (off)"}[d.RotationEnabled])
		row(w, "schedule", firstOf(d.Schedule, "-"))
		row(w, "last rotated", whenPtr(d.LastRotated))
		row(w, "next rotation", whenPtr(d.NextRotation))
	}
	for _, key := range sorted(d.Tags) {
		row(w, "tag "+key, d.Tags[key])
	}
	for _, id := range sorted(d.Versions) {
		row(w, "version "+id, strings.Join(slices.Sorted(slices.Values(d.Versions[id])), " "))
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func newSecretDelete(t *target) *cobra.Command {
	var force bool
	var window int64
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Mark a secret for deletion; it can be restored for 30 days",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &secretsmanager.DeleteSecretInput{SecretId: aws.String(args[0])}
			if force && window != 0 {
				return usagef("--force deletes at once; it goes with no --recovery-days")
			}
			if force {
				in.ForceDeleteWithoutRecovery = aws.Bool(true)
			}
			if window != 0 {
				in.RecoveryWindowInDays = aws.Int64(window)
			}
			client, err := secretsClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			out, err := client.DeleteSecret(cmd.Context(), in)
			if err != nil {
				return plain(err)
			}
			what := "marked for deletion on " + whenPtr(out.DeletionDate) + ":"
			if force {
				what = "deleted"
			}
			return t.written(cmd, out.ARN, out.Name, nil, what)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "delete at once, without a way back")
	cmd.Flags().Int64Var(&window, "recovery-days", 0, "days in which it can be restored, 7 to 30 (default 30)")
	return cmd
}

func newSecretRestore(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "restore NAME",
		Short: "Take a mark for deletion away",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := secretsClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			out, err := client.RestoreSecret(cmd.Context(), &secretsmanager.RestoreSecretInput{SecretId: aws.String(args[0])})
			if err != nil {
				return plain(err)
			}
			return t.written(cmd, out.ARN, out.Name, nil, "restored")
		},
	}
}
