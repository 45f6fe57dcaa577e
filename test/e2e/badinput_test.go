package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// Each mistake gets an error that names the secret, the step, the target's
// words and what to do; AWSCURRENT stays and keeps working.
func TestRotationThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, s *stage)
		says  []string
	}{
		{"wrong admin password", func(t *testing.T, s *stage) {
			s.admin.Password = "not-the-password"
			s.put(t, "admin/db", s.admin.JSON(t))
		}, []string{"app/db", "step set", "password authentication failed", "admin"}},
		{"admin without the right", func(t *testing.T, s *stage) {
			role := "weak_" + s.app.DBName
			s.pg.Must(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'its-own-secret'", role))
			s.admin.Username, s.admin.Password = role, "its-own-secret"
			s.put(t, "admin/db", s.admin.JSON(t))
		}, []string{"app/db", "step set", "CREATEROLE"}},
		{"unreachable database", func(t *testing.T, s *stage) {
			s.app.Port, s.admin.Port = 1, 1
			s.put(t, "admin/db", s.admin.JSON(t))
			s.put(t, s.name, s.app.JSON(t))
		}, []string{"app/db", "step set", "refused"}},
		{"admin secret missing", func(t *testing.T, s *stage) {
			s.app.MasterARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:gone-AAAAAA"
			s.put(t, s.name, s.app.JSON(t))
		}, []string{"app/db", "masterarn"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			original := s.app
			c.spoil(t, s)
			before, version := s.get(t)
			out := s.cli(t, 1, "", "rotate", s.name, "--rotator", "postgres-alternating", "--wait", "--timeout", "50s")
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("the error does not say %q:\n%s", want, out)
				}
			}
			if strings.Contains(out, original.Password) || strings.Contains(out, s.admin.Password) {
				t.Errorf("the error holds a password:\n%s", out)
			}
			after, now := s.get(t)
			if after != before || now != version {
				t.Error("AWSCURRENT changed")
			}
			if err := s.login(t, original); err != nil {
				t.Errorf("the credential in use no longer logs in: %v", err)
			}
			s.cli(t, 0, "", "check")
		})
	}
}

// What can be seen without the target is refused when it is asked for, and
// nothing is stored.
func TestRequestThatCannotWork(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.create(t, "plain", "not json")
	s.create(t, "short", `{"engine":"postgres","host":"127.0.0.1"}`)
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"unknown rotator", []string{"rotate", s.name, "--rotator", "oracle"}, "postgres-alternating"},
		{"no rotator", []string{"rotate", s.name}, "No Lambda rotation function ARN is associated with this secret."},
		{"value is no JSON", []string{"rotate", "plain", "--rotator", "postgres"}, "JSON"},
		{"value lacks a field", []string{"rotate", "short", "--rotator", "postgres"}, "username"},
		{"malformed schedule", []string{"schedule", "set", s.name, "--rotator", "postgres", "--expression", "every tuesday"}, "schedule"},
		{"impossible cron", []string{"schedule", "set", s.name, "--rotator", "postgres", "--expression", "cron(0 0 30 2 ? *)"}, "never"},
		{"too often", []string{"schedule", "set", s.name, "--rotator", "postgres", "--expression", "@every 100ms"}, "1s"},
		{"unknown zone", []string{"schedule", "set", s.name, "--rotator", "postgres", "--expression", "@daily", "--time-zone", "Mars/Olympus"}, "Mars/Olympus"},
		{"unknown secret", []string{"rotate", "nothing", "--rotator", "postgres"}, "can't find the specified secret"},
		{"a second secret for one account", []string{"rotate", "twin", "--rotator", "postgres"}, "already rotates this account"},
	} {
		if c.args[1] == "twin" {
			s.cli(t, 0, "", "schedule", "set", s.name, "--rotator", "postgres", "--expression", "rate(1 day)")
			s.create(t, "twin", s.app.JSON(t))
		}
		t.Run(c.name, func(t *testing.T) {
			if out := s.cli(t, 1, "", c.args...); !strings.Contains(out, c.says) {
				t.Errorf("the error does not say %q:\n%s", c.says, out)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	s := freshServer(t)
	for _, args := range [][]string{
		{"nonsense"}, {"secret"}, {"secret", "nonsense"}, {"rotate"}, {"rotate", "a", "b"}, {"runs", "--nonsense"},
		{"secret", "list", "-o", "xml"}, {"secret", "put", "x"}, {"schedule", "set", "x"}, {"serve", "--min-interval", "soon"},
		{"serve", "--listen", "0.0.0.0:7400", "--http"}, {"watch", "--since", "yesterday"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) { s(t, 2, args...) })
	}
}

func TestLimitsOfTheAPI(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, c := range []struct {
		name  string
		value string
		code  string
	}{
		{"too-long", strings.Repeat("x", 65537), "ValidationException"},
		{"bad name?", "x", "ValidationException"},
	} {
		_, err := s.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(c.name), SecretString: aws.String(c.value)})
		if err == nil || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	out, err := s.secrets.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{
		Filters: []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{"too-long"}}},
	})
	if err != nil || len(out.SecretList) != 0 {
		t.Errorf("something was stored: %v %v", out, err)
	}
}
