package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"lockstep/client/admin"
	"lockstep/cmd/lockstep/manifest"
)

func newApply(t *target) *cobra.Command {
	var files []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make secrets, rotations, users and policies what files say",
		Long: `Make secrets, rotations, users, groups, roles and policies what YAML files say.
Applying twice changes nothing; what the files do not mention is left as it is,
and nothing is ever deleted. Lists are complete: a policy that hangs on a user
but is not in its "policies" is detached.

  kind: Secret
  name: prod/db
  tags: {team: payments}
  valueFrom: {generate: {length: 40}}     # or {file: …} or {env: …}
  ---
  kind: Rotation
  secret: prod/db
  rotator: postgres-alternating
  schedule: {expression: rate(30 days)}
  ---
  kind: Policy
  name: read-prod
  document:
    Version: "2012-10-17"
    Statement: [{Effect: Allow, Action: "secretsmanager:GetSecretValue", Resource: "arn:aws:secretsmanager:*:*:secret:prod/*"}]
  ---
  kind: User
  name: app
  policies: [read-prod]

The order does not matter. A value from a file or a variable is stored when it
differs, but never on a secret that rotates: there the rotation owns the value.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			docs, err := readManifests(cmd, files)
			if err != nil {
				return err
			}
			a, err := newApplier(cmd)
			if err != nil {
				return err
			}
			a.dryRun = dryRun
			return a.run(cmd, t, docs)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, `file to apply; "-" is standard input; may be repeated`)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change, and change nothing")
	return cmd
}

// maxManifest bounds one file.
const maxManifest = 8 << 20

func readManifests(cmd *cobra.Command, names []string) ([]manifest.Document, error) {
	if len(names) == 0 {
		return nil, usagef("-f is required; see %s --help", cmd.CommandPath())
	}
	var files []manifest.File
	for _, name := range names {
		text, err := readManifest(cmd.InOrStdin(), name)
		if err != nil {
			return nil, err
		}
		files = append(files, manifest.File{Name: name, Text: text})
	}
	return manifest.Read(files)
}

func readManifest(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name) // #nosec G304 -- the user names the file
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		defer func() { _ = f.Close() }() // was only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxManifest+1))
	if err == nil && len(text) > maxManifest {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxManifest)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return text, nil
}

// verb says what becomes of the thing that a document is about.
type verb string

const (
	verbCreate    verb = "create"
	verbChange    verb = "change"
	verbUnchanged verb = "unchanged"
)

// difference is what lies between a document and what there is, and how it is
// made up.
type difference struct {
	Kind    manifest.Kind `json:"kind"`
	Name    string        `json:"name"`
	Action  verb          `json:"action"`
	Changes []string      `json:"changes,omitempty"`
	File    string        `json:"file"`
	Line    int           `json:"line"`

	steps []func(context.Context) error
}

// add notes a change and the step that makes it.
func (d *difference) add(what string, step func(context.Context) error) {
	if d.Action != verbCreate {
		d.Action = verbChange
	}
	d.Changes = append(d.Changes, what)
	d.steps = append(d.steps, step)
}

// create notes that the thing is to be made.
func (d *difference) create(step func(context.Context) error) {
	d.Action = verbCreate
	d.steps = append(d.steps, step)
}

// applier compares documents with a server, through its public APIs.
type applier struct {
	admin   *admin.Client
	secrets *secretsmanager.Client
	dryRun  bool
	// coming names what a dry run would have made, and cannot find.
	coming map[string]bool
	// rotating are the secrets that a document of this call rotates.
	rotating map[string]bool
}

func newApplier(cmd *cobra.Command) (*applier, error) {
	a := &applier{coming: map[string]bool{}, rotating: map[string]bool{}}
	var err error
	if a.admin, err = adminClient(cmd.Context(), cmd.Flags()); err != nil {
		return nil, err
	}
	a.secrets, err = secretsClient(cmd.Context(), cmd.Flags())
	return a, err
}

// run applies the documents one after another, and stops at the first that
// fails: what others rest on is not there then.
func (a *applier) run(cmd *cobra.Command, t *target, docs []manifest.Document) error {
	for _, d := range docs {
		if d.Kind == manifest.KindRotation {
			a.rotating[d.Name] = true
		}
	}
	done := []*difference{}
	var failed error
	for _, doc := range docs {
		d, err := a.one(cmd.Context(), doc)
		if err != nil {
			failed = &manifest.Error{Place: doc.Place, Message: fmt.Sprintf("%s %q: %v", doc.Kind, doc.Name, serverWords(err))}
			break
		}
		done = append(done, d)
	}
	if err := t.show(cmd, done, func(w io.Writer) { differenceTable(w, done, a.dryRun) }); err != nil {
		return err
	}
	return failed
}

// serverWords leaves out what only programmers need of a refusal.
func serverWords(err error) error {
	var refused *admin.Error
	if errors.As(err, &refused) {
		return refused
	}
	return plain(err)
}

func (a *applier) one(ctx context.Context, doc manifest.Document) (*difference, error) {
	d := &difference{Kind: doc.Kind, Name: doc.Name, Action: verbUnchanged, File: doc.File, Line: doc.Line}
	if err := a.compare(ctx, doc, d); err != nil {
		return nil, err
	}
	if a.dryRun {
		a.coming[string(doc.Kind)+" "+doc.Name] = d.Action == verbCreate
		return d, nil
	}
	for _, step := range d.steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (a *applier) compare(ctx context.Context, doc manifest.Document, d *difference) error {
	switch {
	case doc.Policy != nil:
		return a.policy(ctx, doc.Policy, d)
	case doc.Group != nil:
		return a.group(ctx, doc.Group, d)
	case doc.Role != nil:
		return a.role(ctx, doc.Role, d)
	case doc.User != nil:
		return a.user(ctx, doc.User, d)
	case doc.Secret != nil:
		return a.secret(ctx, secretDocument{doc.Secret, filepath.Dir(doc.File)}, d)
	case doc.ResourcePolicy != nil:
		return a.resourcePolicy(ctx, doc.ResourcePolicy, d)
	default:
		return a.rotation(ctx, doc.Rotation, d)
	}
}

func differenceTable(w io.Writer, done []*difference, dryRun bool) {
	count := map[verb]int{}
	for _, d := range done {
		count[d.Action]++
		row(w, string(d.Action), string(d.Kind), d.Name, strings.Join(d.Changes, "; "))
	}
	words := fmt.Sprintf("%d to create, %d to change, %d unchanged; nothing was done",
		count[verbCreate], count[verbChange], count[verbUnchanged])
	if !dryRun {
		words = fmt.Sprintf("%d created, %d changed, %d unchanged", count[verbCreate], count[verbChange], count[verbUnchanged])
	}
	row(w, words)
}
