package access

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// tag gives a secret the tag team=a.
func (r *rig) tag(name string) {
	r.Helper()
	_, err := r.root.TagResource(r.Context(), &secretsmanager.TagResourceInput{
		SecretId: &name, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}},
	})
	must(r, err)
}

// create makes a secret, with the tag team if it is not empty.
func create(name, team string) func(context.Context, *secretsmanager.Client) error {
	in := &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String("v")}
	if team != "" {
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: &team}}
	}
	return func(ctx context.Context, c *secretsmanager.Client) error {
		_, err := c.CreateSecret(ctx, in)
		return err
	}
}

// remove marks a secret for deletion.
func remove(name string, days int64) func(context.Context, *secretsmanager.Client) error {
	in := &secretsmanager.DeleteSecretInput{SecretId: &name, RecoveryWindowInDays: &days}
	return func(ctx context.Context, c *secretsmanager.Client) error {
		_, err := c.DeleteSecret(ctx, in)
		return err
	}
}
