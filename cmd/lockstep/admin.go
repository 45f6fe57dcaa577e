package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/spf13/pflag"

	"lockstep/client"
	"lockstep/client/admin"
)

// provider gives the keys of the data directory; nil leaves the SDK's chain.
func (e environment) provider() aws.CredentialsProvider {
	if e.Keys.AccessKeyID == "" {
		return nil
	}
	return credentials.NewStaticCredentialsProvider(e.Keys.AccessKeyID, e.Keys.SecretKey.Reveal(), e.Keys.SessionToken)
}

// adminClient is the client of the server's own API.
func adminClient(ctx context.Context, flags *pflag.FlagSet) (*admin.Client, error) {
	env, err := environmentOf(flags)
	if err != nil {
		return nil, err
	}
	return admin.New(ctx, admin.Config{
		Endpoint: env.Endpoint, Region: env.Region, Credentials: env.provider(), CAFile: env.CAFile,
	})
}

// clientConfig is the configuration of the SDK for applications.
func (e environment) clientConfig(name string) client.Config {
	return client.Config{
		Endpoint: e.Endpoint, NATSURL: e.NATSURL, Region: e.Region, Credentials: e.provider(), CAFile: e.CAFile, Name: name,
	}
}
