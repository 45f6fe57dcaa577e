package faults

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// functionTarget names the file that is the function's target. Where it is set,
// this binary is the function.
const functionTarget = "FAULTS_FUNCTION_TARGET"

// call is what a function is called with.
type call struct {
	Step, SecretId, ClientRequestToken string
	Credentials                        struct {
		AccessKeyId, SecretAccessKey, SessionToken, Endpoint, Region, CABundle string
	}
}

// rotation is one call of the function.
type rotation struct {
	call
	secrets *secretsmanager.Client
	target  string
}

// beFunction carries out one step, as a rotation function written for AWS does.
func beFunction(ctx context.Context, target string) error {
	r := rotation{target: target}
	if err := json.NewDecoder(os.Stdin).Decode(&r.call); err != nil {
		return err
	}
	c := r.Credentials
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(c.CABundle))
	r.secrets = secretsmanager.New(secretsmanager.Options{
		Region: c.Region, BaseEndpoint: &c.Endpoint,
		HTTPClient:  &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}},
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyId, c.SecretAccessKey, c.SessionToken),
	})
	switch r.Step {
	case "createSecret":
		return r.create(ctx)
	case "setSecret":
		return r.set(ctx)
	case "testSecret":
		return r.test(ctx)
	}
	return r.finish(ctx)
}

func (r *rotation) create(ctx context.Context) error {
	_, err := r.pending(ctx)
	var none *types.ResourceNotFoundException
	if !errors.As(err, &none) {
		return err
	}
	value := `{"password":"made-` + rand.Text() + `"}`
	_, err = r.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &r.SecretId, ClientRequestToken: &r.ClientRequestToken, SecretString: &value, VersionStages: []string{"AWSPENDING"},
	})
	return err
}

func (r *rotation) pending(ctx context.Context) (string, error) {
	out, err := r.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &r.SecretId, VersionId: &r.ClientRequestToken, VersionStage: aws.String("AWSPENDING"),
	})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

// set changes the target in one piece.
func (r *rotation) set(ctx context.Context) error {
	value, err := r.pending(ctx)
	if err != nil {
		return err
	}
	made := r.target + "." + r.ClientRequestToken
	if err := os.WriteFile(made, []byte(value), 0o600); err != nil {
		return err
	}
	return os.Rename(made, r.target)
}

func (r *rotation) test(ctx context.Context) error {
	value, err := r.pending(ctx)
	if err != nil {
		return err
	}
	return file(r.target).login(ctx, value)
}

func (r *rotation) finish(ctx context.Context) error {
	d, err := r.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &r.SecretId})
	if err != nil {
		return err
	}
	for version, stages := range d.VersionIdsToStages {
		if version == r.ClientRequestToken || !slices.Contains(stages, "AWSCURRENT") {
			continue
		}
		_, err = r.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: &r.SecretId, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &r.ClientRequestToken, RemoveFromVersionId: aws.String(version),
		})
	}
	return err
}
