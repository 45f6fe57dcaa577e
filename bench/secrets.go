package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"lockstep/internal/node"
	"lockstep/internal/pgserver"
)

// secretCount is how many Secrets rotate: several for each worker, since one
// Secret has one Run at a time.
const secretCount = 256

// value is a secret value in the form that the rotator reads.
type value struct {
	Engine    string `json:"engine"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	Database  string `json:"dbname"`
	User      string `json:"username"`
	Password  string `json:"password"`
	SSLMode   string `json:"sslmode"`
	MasterARN string `json:"masterarn,omitempty"`
}

func (b *bench) value(user, password, admin string) (*string, error) {
	out, err := json.Marshal(value{ // #nosec G117 -- the value of the secret that is created
		Engine: "postgres", Host: pgserver.Host, Port: b.pg.Port(), Database: "postgres",
		User: user, Password: password, SSLMode: "disable", MasterARN: admin,
	})
	return aws.String(string(out)), err
}

func (b *bench) api(n *node.Node) (*secretsmanager.Client, error) {
	c, err := b.awsCredentials()
	if err != nil {
		return nil, err
	}
	h, err := b.httpClient(secretCount)
	if err != nil {
		return nil, err
	}
	return secretsmanager.New(secretsmanager.Options{
		Region: region, BaseEndpoint: aws.String(n.URL()), HTTPClient: h,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	}), nil
}

func secretName(i int) string { return fmt.Sprintf("bench/app-%d", i) }
func roleName(i int) string   { return fmt.Sprintf("bench_app_%d", i) }

// makeSecrets makes the admin's secret and the applications', once.
func (b *bench) makeSecrets(ctx context.Context, api *secretsmanager.Client) error {
	if b.ready {
		return nil
	}
	v, err := b.value(adminRole, b.pgAdmin, "")
	if err != nil {
		return err
	}
	admin, err := api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("bench/admin"), SecretString: v})
	if err != nil {
		return err
	}
	const first = "first-password-1x"
	for i := range secretCount {
		if err := b.pg.Exec(ctx, "CREATE ROLE "+roleName(i)+" LOGIN PASSWORD '"+first+"'"); err != nil {
			return err
		}
		v, err := b.value(roleName(i), first, *admin.ARN)
		if err != nil {
			return err
		}
		_, err = api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(secretName(i)), SecretString: v})
		if err != nil {
			return err
		}
	}
	b.ready = true
	return nil
}

// setSchedule tries again while a rotation of the secret is under way.
func setSchedule(ctx context.Context, api *secretsmanager.Client, i int, every time.Duration) error {
	const tries = 600
	for n := 1; ; n++ {
		_, err := api.RotateSecret(ctx, &secretsmanager.RotateSecretInput{
			SecretId: aws.String(secretName(i)), RotationLambdaARN: aws.String("postgres"), RotateImmediately: aws.Bool(false),
			RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("@every " + every.String())},
		})
		var open *types.InvalidRequestException
		if !errors.As(err, &open) || n == tries {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// schedule lets the first n secrets rotate at an interval, and the others not.
// Their grids start where they are set: evenly spread over the interval.
func (b *bench) schedule(ctx context.Context, api *secretsmanager.Client, n int, every time.Duration) error {
	if err := b.makeSecrets(ctx, api); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, secretCount)
	for i := range secretCount {
		interval, wait := every, every*time.Duration(i)/time.Duration(max(n, 1))
		if i >= n {
			interval, wait = 24*time.Hour, 0
		}
		wg.Go(func() {
			if err := pause(ctx, wait); err != nil {
				errs <- err
				return
			}
			errs <- setSchedule(ctx, api, i, interval)
		})
	}
	wg.Wait()
	for range secretCount {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// plainSecret makes one of the secrets without a rotation.
func (b *bench) plainSecret(ctx context.Context, api *secretsmanager.Client, i int) error {
	v, err := b.value(roleName(i), "password", "")
	if err != nil {
		return err
	}
	_, err = api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(secretName(i)), SecretString: v})
	return err
}
