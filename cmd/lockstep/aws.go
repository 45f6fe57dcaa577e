package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/pflag"
)

// awsConfig is the SDK's configuration for the server: with the keys of the
// data directory, or with the SDK's own chain.
func (e environment) awsConfig(ctx context.Context) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(e.Region)}
	if e.Keys.AccessKeyID != "" {
		options = append(options, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			e.Keys.AccessKeyID, e.Keys.SecretKey.Reveal(), e.Keys.SessionToken)))
	}
	client, err := e.httpClient()
	if err != nil {
		return aws.Config{}, err
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, append(options, awsconfig.WithHTTPClient(client))...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read AWS configuration: %w", err)
	}
	return cfg, nil
}

// httpClient trusts the server's CA beside the system's.
func (e environment) httpClient() (*awshttp.BuildableClient, error) {
	client := awshttp.NewBuildableClient()
	if e.CAFile == "" {
		return client, nil
	}
	pem, err := os.ReadFile(e.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the server's CA: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the server's CA: %s holds no certificate", e.CAFile)
	}
	return client.WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}), nil
}

// secretsClient is the AWS SDK's client, pointed at the server.
func secretsClient(ctx context.Context, flags *pflag.FlagSet) (*secretsmanager.Client, error) {
	env, err := environmentOf(flags)
	if err != nil {
		return nil, err
	}
	return env.secrets(ctx)
}

func (e environment) secrets(ctx context.Context) (*secretsmanager.Client, error) {
	cfg, err := e.awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	return secretsmanager.NewFromConfig(cfg, func(o *secretsmanager.Options) {
		o.BaseEndpoint = aws.String(e.Endpoint)
	}), nil
}
