package api_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/auth"
)

// TestSessionThatExpired: a session's credentials read until it ends, and are then
// refused as AWS refuses them, so that an SDK fetches new ones.
func TestSessionThatExpired(t *testing.T) {
	r := start(t)
	r.create("prod/db", marker)
	r.audit.take(t)
	// get reads by a session of 15 minutes that was made so long ago.
	get := func(ago time.Duration) (key string, err error) {
		r.ago.Store(int64(ago))
		made, err := r.sessions.Mint(t.Context(), auth.SessionSpec{
			Account: account, Name: "shift", Lifetime: auth.MinSession,
			Policies: []string{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`},
		})
		must(t, err)
		client := sm.New(sm.Options{
			BaseEndpoint: aws.String(r.url), Region: region, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(made.AccessKeyID, made.SecretKey.Reveal(), made.SessionToken),
		})
		_, err = client.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: aws.String("prod/db")})
		return made.AccessKeyID, err
	}
	_, err := get(auth.MinSession - 5*time.Minute)
	must(t, err)
	r.audit.take(t)
	key, err := get(auth.MinSession + time.Second)
	refused(t, err, "ExpiredTokenException", "")
	if record := r.audit.take(t); record.ErrorCode != "ExpiredTokenException" || record.Identity.AccessKeyID != key || record.Identity.ARN != "" {
		t.Errorf("the record is %+v", record)
	}
}
