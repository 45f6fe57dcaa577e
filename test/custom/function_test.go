package custom

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
)

// event is what a function is called with.
type event struct {
	Step, SecretId, ClientRequestToken string
	Credentials                        struct {
		AccessKeyId, SecretAccessKey, SessionToken, Expiration, Endpoint, Region, CABundle string
	}
}

// function is a rotation function in Go, with a target that is one password.
type function struct {
	client *http.Client
	// before, if set, is called first; an error is the step's.
	before func(ctx context.Context, e event, secrets *secretsmanager.Client) error
	// lazy leaves the move of AWSCURRENT to the engine.
	lazy bool

	mu       sync.Mutex
	accepted string
	made     []string
}

func (f *function) accepts() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted
}

// secrets is the SDK's client with the credentials of a call.
func (f *function) secrets(e event) *secretsmanager.Client {
	c := e.Credentials
	return secretsmanager.New(secretsmanager.Options{
		Region: c.Region, BaseEndpoint: &c.Endpoint, HTTPClient: f.client, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyId, c.SecretAccessKey, c.SessionToken),
	})
}

// handle carries out one step.
func (f *function) handle(ctx context.Context, body []byte) error {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	secrets := f.secrets(e)
	if f.before != nil {
		if err := f.before(ctx, e, secrets); err != nil {
			return err
		}
	}
	switch e.Step {
	case "createSecret":
		return f.create(ctx, e, secrets)
	case "setSecret":
		value, err := pending(ctx, e, secrets)
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.accepted = value
		return nil
	case "testSecret":
		value, err := pending(ctx, e, secrets)
		if err == nil && value != f.accepts() {
			err = errors.New("the pending value is not accepted")
		}
		return err
	}
	if f.lazy {
		return nil
	}
	return finish(ctx, e, secrets)
}

func (f *function) create(ctx context.Context, e event, secrets *secretsmanager.Client) error {
	_, err := pending(ctx, e, secrets)
	var none *types.ResourceNotFoundException
	if !errors.As(err, &none) {
		return err
	}
	value := "made-" + rand.Text()
	f.mu.Lock()
	f.made = append(f.made, value)
	f.mu.Unlock()
	return put(ctx, e, secrets, value)
}

func put(ctx context.Context, e event, secrets *secretsmanager.Client, value string) error {
	_, err := secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &e.SecretId, ClientRequestToken: &e.ClientRequestToken, SecretString: &value, VersionStages: []string{"AWSPENDING"},
	})
	return err
}

func pending(ctx context.Context, e event, secrets *secretsmanager.Client) (string, error) {
	out, err := secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &e.SecretId, VersionId: &e.ClientRequestToken, VersionStage: aws.String("AWSPENDING"),
	})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

func finish(ctx context.Context, e event, secrets *secretsmanager.Client) error {
	d, err := secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &e.SecretId})
	if err != nil {
		return err
	}
	for version, stages := range d.VersionIdsToStages {
		for _, st := range stages {
			if st == "AWSCURRENT" && version != e.ClientRequestToken {
				_, err = secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
					SecretId: &e.SecretId, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &e.ClientRequestToken, RemoveFromVersionId: aws.String(version),
				})
			}
		}
	}
	return err
}

// webhook serves a function and registers it; it returns the output.
func (s *stage) webhook(t *testing.T, name string, f *function) string {
	t.Helper()
	client, err := s.server.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	f.client = client
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if err := f.handle(r.Context(), body); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			_ = json.NewEncoder(w).Encode(map[string]string{"errorMessage": err.Error()})
		}
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "webhook.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.register(t, name, "--webhook", server.URL, "--ca-file", ca, "--allow-loopback")
}

// code is the error's, as AWS names it; empty for none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// refusals collects what a function found refused otherwise than it should be.
type refusals struct {
	mu    sync.Mutex
	wrong []string
}

func (r *refusals) want(what string, err error, codes ...string) {
	got := code(err)
	for _, c := range codes {
		if got == c {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf("%s: %q, want one of %q", what, got, codes))
}
