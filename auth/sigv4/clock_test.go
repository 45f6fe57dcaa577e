package sigv4_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/auth/sigv4"
)

// TestSDKCorrectsItsClock: an AWS SDK an hour behind is refused once, learns
// the time from the refusal, and gets through.
func TestSDKCorrectsItsClock(t *testing.T) {
	serverNow := func() time.Time { return time.Now().Add(time.Hour) }
	ring := keys()
	v := verifier(t, func(c *sigv4.Config[string]) { c.Keys, c.Rules.Now = ring, serverNow })
	var refused, passed atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", serverNow().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, err := v.Verify(r)
		var refusal *sigv4.Error
		if errors.As(err, &refusal) {
			refused.Add(1)
			w.WriteHeader(refusal.Status())
			io.WriteString(w, `{"__type":"`+refusal.Code()+`","message":"`+refusal.Message+`"}`)
			return
		}
		passed.Add(1)
		io.WriteString(w, `{"Name":"a","SecretString":"x"}`)
	}))
	defer srv.Close()
	client := secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: aws.String(srv.URL), Region: region,
		Credentials: credentials.NewStaticCredentialsProvider(longKey, secretKey, ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
	})
	got, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("a")})
	if err != nil || aws.ToString(got.SecretString) != "x" {
		t.Fatalf("got %v, %v", got, err)
	}
	if refused.Load() != 1 || passed.Load() != 1 {
		t.Errorf("%d refused, %d passed", refused.Load(), passed.Load())
	}
}
