package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"lockstep"
	"lockstep/cmd/lockstep/manifest"
)

// secretDocument is a document with the directory that it stands in.
type secretDocument struct {
	*manifest.Secret
	dir string
}

// missing tells whether AWS's protocol says that something is not there.
func missing(err error) bool {
	var gone *types.ResourceNotFoundException
	return errors.As(err, &gone)
}

func (a *applier) secret(ctx context.Context, s secretDocument, d *difference) error {
	have, err := a.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.Name})
	if missing(err) {
		return a.createSecret(ctx, s, d)
	}
	if err != nil {
		return err
	}
	if have.DeletedDate != nil {
		return fmt.Errorf("it is marked for deletion; restore it first: lockstep secret restore %s", s.Name)
	}
	a.describeSecret(s, have, d)
	a.tagSecret(s, have, d)
	return a.secretValue(ctx, s, have, d)
}

func (a *applier) createSecret(ctx context.Context, s secretDocument, d *difference) error {
	in := &secretsmanager.CreateSecretInput{Name: &s.Name, Description: s.Description, KmsKeyId: s.KMSKeyID}
	for _, t := range sortedTags(s.Tags) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
	}
	value, err := a.source(ctx, s)
	if err != nil {
		return err
	}
	in.SecretString, in.SecretBinary = split(value)
	d.create(func(ctx context.Context) error { _, err := a.secrets.CreateSecret(ctx, in); return err })
	return nil
}

// source reads the value that the document asks for; zero if for none.
func (a *applier) source(ctx context.Context, s secretDocument) (lockstep.Value, error) {
	from := s.ValueFrom
	switch {
	case from == nil:
		return lockstep.Value{}, nil
	case from.Generate != nil:
		return a.generate(ctx, *from.Generate)
	case from.Env != "":
		text, set := os.LookupEnv(from.Env)
		if !set || text == "" {
			return lockstep.Value{}, fmt.Errorf("the variable %s of valueFrom is not set", from.Env)
		}
		return lockstep.StringValue(text), nil
	}
	path := from.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.dir, path)
	}
	raw, err := os.ReadFile(path) // #nosec G304 -- the manifest names the file
	if err != nil {
		return lockstep.Value{}, fmt.Errorf("read valueFrom: %w", err)
	}
	return lockstep.StringValue(strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")), nil
}

func (a *applier) generate(ctx context.Context, g manifest.Generate) (lockstep.Value, error) {
	in := &secretsmanager.GetRandomPasswordInput{
		ExcludePunctuation: &g.ExcludePunctuation, ExcludeUppercase: &g.ExcludeUppercase,
		ExcludeLowercase: &g.ExcludeLowercase, ExcludeNumbers: &g.ExcludeNumbers,
	}
	if g.Length > 0 {
		in.PasswordLength = &g.Length
	}
	if g.ExcludeCharacters != "" {
		in.ExcludeCharacters = &g.ExcludeCharacters
	}
	out, err := a.secrets.GetRandomPassword(ctx, in)
	if err != nil {
		return lockstep.Value{}, err
	}
	return lockstep.StringValue(aws.ToString(out.RandomPassword)), nil
}

func (a *applier) describeSecret(s secretDocument, have *secretsmanager.DescribeSecretOutput, d *difference) {
	in := &secretsmanager.UpdateSecretInput{SecretId: have.ARN}
	var changes []string
	if s.Description != nil && *s.Description != aws.ToString(have.Description) {
		in.Description, changes = s.Description, append(changes, "description")
	}
	if s.KMSKeyID != nil && *s.KMSKeyID != aws.ToString(have.KmsKeyId) {
		in.KmsKeyId, changes = s.KMSKeyID, append(changes, "kmsKeyId")
	}
	if len(changes) > 0 {
		d.add(strings.Join(changes, "; "), func(ctx context.Context) error { _, err := a.secrets.UpdateSecret(ctx, in); return err })
	}
}

func (a *applier) tagSecret(s secretDocument, have *secretsmanager.DescribeSecretOutput, d *difference) {
	now := map[string]string{}
	for _, t := range have.Tags {
		now[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	if s.Tags == nil || maps.Equal(now, s.Tags) {
		return
	}
	set := &secretsmanager.TagResourceInput{SecretId: have.ARN}
	for _, t := range sortedTags(s.Tags) {
		if old, there := now[t.Key]; !there || old != t.Value {
			set.Tags = append(set.Tags, types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
		}
	}
	gone := &secretsmanager.UntagResourceInput{SecretId: have.ARN}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, stays := s.Tags[key]; !stays {
			gone.TagKeys = append(gone.TagKeys, key)
		}
	}
	if len(set.Tags) > 0 {
		d.add("tags", func(ctx context.Context) error { _, err := a.secrets.TagResource(ctx, set); return err })
	}
	if len(gone.TagKeys) > 0 {
		d.add("-tags "+strings.Join(gone.TagKeys, " "), func(ctx context.Context) error { _, err := a.secrets.UntagResource(ctx, gone); return err })
	}
}

// secretValue stores a value that differs. A secret that rotates keeps what it
// has: the manifest's value would undo a rotation.
func (a *applier) secretValue(ctx context.Context, s secretDocument, have *secretsmanager.DescribeSecretOutput, d *difference) error {
	if s.ValueFrom == nil || have.RotationEnabled != nil || a.rotating[s.Name] && len(have.VersionIdsToStages) > 0 {
		return nil
	}
	current, err := a.current(ctx, have.ARN)
	if err != nil {
		return err
	}
	if s.ValueFrom.Generate != nil && !current.IsZero() {
		return nil
	}
	value, err := a.source(ctx, s)
	if err != nil {
		return err
	}
	if !current.IsZero() && bytes.Equal(current.Bytes(), value.Bytes()) {
		return nil
	}
	in := &secretsmanager.PutSecretValueInput{SecretId: have.ARN}
	in.SecretString, in.SecretBinary = split(value)
	d.add("value", func(ctx context.Context) error { _, err := a.secrets.PutSecretValue(ctx, in); return err })
	return nil
}

// current reads the value that there is; zero if there is none.
func (a *applier) current(ctx context.Context, arn *string) (lockstep.Value, error) {
	out, err := a.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: arn})
	switch {
	case missing(err):
		return lockstep.Value{}, nil
	case err != nil:
		return lockstep.Value{}, err
	case out.SecretString != nil:
		return lockstep.StringValue(*out.SecretString), nil
	}
	return lockstep.BinaryValue(out.SecretBinary), nil
}

func (a *applier) resourcePolicy(ctx context.Context, p *manifest.ResourcePolicy, d *difference) error {
	put := func(ctx context.Context) error {
		_, err := a.secrets.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{
			SecretId: &p.Secret, ResourcePolicy: aws.String(string(p.Document)), BlockPublicPolicy: aws.Bool(p.BlockPublic),
		})
		return err
	}
	if a.coming[string(manifest.KindSecret)+" "+p.Secret] {
		d.create(put)
		return nil
	}
	have, err := a.secrets.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: &p.Secret})
	if err != nil {
		return err
	}
	switch {
	case aws.ToString(have.ResourcePolicy) == "":
		d.create(put)
	case !sameJSON(*have.ResourcePolicy, string(p.Document)):
		d.add("document", put)
	}
	return nil
}
