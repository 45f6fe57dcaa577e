package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"lockstep"
	"lockstep/client"
	"lockstep/client/internal/clienttest"
)

const patience = 30 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, c *client.Client, name string) *client.Secret {
	t.Helper()
	s, err := c.Open(testContext(t), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// until waits for a value, from Version to Version.
func until(t *testing.T, s *client.Secret, want string) time.Duration {
	t.Helper()
	begin := time.Now()
	timeout := time.After(patience)
	for {
		v := s.Current()
		if v.Value.Reveal() == want {
			return time.Since(begin)
		}
		select {
		case <-v.Replaced():
		case <-timeout:
			t.Fatalf("still version %s", v.ID)
		}
	}
}

func TestSecretFollowsEvents(t *testing.T) {
	srv := clienttest.Start(t)
	arn := srv.Create(t, "prod/db/orders", "one")
	c := srv.Client(t)
	s, same := open(t, c, "prod/db/orders"), open(t, c, "prod/db/orders")
	byARN := open(t, c, arn)
	if s.Value().Reveal() != "one" || s.Name() != "prod/db/orders" || string(s.ARN()) != arn || byARN.Name() != s.Name() {
		t.Fatalf("opened %s %s", s.Name(), s.ARN())
	}
	heard := make(chan lockstep.VersionID, 16)
	stop := same.OnChange(func(v *client.Version) { heard <- v.ID })
	for i := range 5 {
		value := fmt.Sprint("value ", i)
		id := srv.Put(t, "prod/db/orders", value)
		until(t, s, value)
		until(t, byARN, value)
		if got := <-heard; string(got) != id || string(s.VersionID()) != id {
			t.Errorf("heard %s, want %s", got, id)
		}
	}
	stop()
	same.Close()
	same.Close()
	srv.Put(t, "prod/db/orders", "after one of two is closed")
	until(t, s, "after one of two is closed")
	if len(heard) != 0 {
		t.Error("heard after stop")
	}
	if got := fmt.Sprintf("%v %+v", s.Value(), s.Current().Value); strings.Contains(got, "closed") {
		t.Errorf("a value prints itself: %s", got)
	}
}

func TestSecretOutlivesTheServer(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "app", "one")
	s := open(t, srv.Client(t), "app")
	srv.Put(t, "app", "two")
	until(t, s, "two")
	srv.Stop()
	if s.Value().Reveal() != "two" {
		t.Error("the value went with the server")
	}
	srv.Wipe(t)
	srv.Resume(t)
	srv.Put(t, "app", "three")
	until(t, s, "three")
	srv.Put(t, "app", "four")
	until(t, s, "four")
}

func TestSecretIsPolledWithoutNATS(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "app", "one")
	cfg := srv.Config()
	cfg.NATSURL = "tls://127.0.0.1:1" // nobody listens there
	cfg.PollInterval = 50 * time.Millisecond
	c, err := client.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := open(t, c, "app")
	srv.Put(t, "app", "two")
	until(t, s, "two")
}

func TestOpenRefuses(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "app", "one")
	_, err := srv.Client(t).Open(testContext(t), "nothing")
	var refused *client.Error
	if !errors.Is(err, lockstep.ErrNotFound) || !errors.As(err, &refused) || refused.Code != "ResourceNotFoundException" || refused.RequestID == "" {
		t.Errorf("no such secret: %v", err)
	}
	cfg := srv.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIAAAAAAAAAAAAAAAAA", "wrong", "")
	c, err := client.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Open(testContext(t), "app"); !errors.Is(err, lockstep.ErrDenied) {
		t.Errorf("a stranger: %v", err)
	}
	c = srv.Client(t)
	c.Close()
	c.Close()
	if _, err := c.Open(testContext(t), "app"); !errors.Is(err, lockstep.ErrState) {
		t.Errorf("closed: %v", err)
	}
}

func TestConfigFromTheEnvironment(t *testing.T) {
	srv := clienttest.Start(t)
	srv.Create(t, "app", "one")
	key, err := srv.Credentials().Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey, "AWS_SESSION_TOKEN": "",
		"AWS_REGION": clienttest.Region, "AWS_ENDPOINT_URL_SECRETS_MANAGER": srv.URL(), "AWS_CA_BUNDLE": srv.CAFile(),
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "LOCKSTEP_NATS_URL": "",
	} {
		t.Setenv(name, value)
	}
	c, err := client.New(t.Context(), client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := open(t, c, "app")
	srv.Put(t, "app", "two")
	until(t, s, "two")
}

func TestConfigRefuses(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "")
	t.Setenv("AWS_CA_BUNDLE", "")
	for name, cfg := range map[string]client.Config{
		"no endpoint":         {},
		"no URL":              {Endpoint: "127.0.0.1:7400"},
		"a path":              {Endpoint: "https://127.0.0.1:7400/x"},
		"plain http far away": {Endpoint: "http://192.0.2.1:7400"},
		"no CA file":          {Endpoint: "https://127.0.0.1:7400", CAFile: "/nowhere"},
		"a CA file of no PEM": {Endpoint: "https://127.0.0.1:7400", CAFile: "/dev/null"},
		"negative poll":       {Endpoint: "https://127.0.0.1:7400", PollInterval: -1},
	} {
		if _, err := client.New(t.Context(), cfg); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// slowClock is a transport whose answers say that it is another time, and
// refuses what was signed for the time that we think it is.
type slowClock struct {
	http.RoundTripper
	off time.Duration
}

func (s slowClock) RoundTrip(r *http.Request) (*http.Response, error) {
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return nil, err
	}
	theirs := time.Now().Add(s.off)
	if theirs.Sub(signed).Abs() < 5*time.Minute {
		body, err := json.Marshal(map[string]string{"ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:app-abcdef", "Name": "app", "VersionId": "v", "SecretString": "one"})
		return answer(r, http.StatusOK, theirs, string(body)), err
	}
	return answer(r, http.StatusBadRequest, theirs, `{"__type":"InvalidSignatureException","message":"Signature expired"}`), nil
}

func TestAWrongClockIsCorrected(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, 20 * time.Minute, 0} {
		c, err := client.New(t.Context(), client.Config{
			Endpoint: "http://127.0.0.1:1", NATSURL: "tls://127.0.0.1:1", Region: "us-east-1",
			Credentials: credentials.NewStaticCredentialsProvider("AKIAAAAAAAAAAAAAAAAA", "secret", ""),
			HTTPClient:  &http.Client{Transport: slowClock{off: off}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.Open(testContext(t), "app"); err != nil || s.Value().Reveal() != "one" {
			t.Errorf("off by %v: %v", off, err)
		}
		c.Close()
	}
}

// flaky fails some requests before it lets one through.
type flaky struct {
	next http.RoundTripper
	left int
	kind func(*http.Request) (*http.Response, error)
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.left == 0 {
		return f.next.RoundTrip(r)
	}
	f.left--
	return f.kind(r)
}

func TestTemporaryTroubleIsOvercome(t *testing.T) {
	for name, kind := range map[string]func(*http.Request) (*http.Response, error){
		"500":       func(r *http.Request) (*http.Response, error) { return answer(r, 500, time.Now(), "{}"), nil },
		"503, HTML": func(r *http.Request) (*http.Response, error) { return answer(r, 503, time.Now(), "<html>"), nil },
		"throttling": func(r *http.Request) (*http.Response, error) {
			return answer(r, 400, time.Now(), `{"__type":"ThrottlingException"}`), nil
		},
		"no answer": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.New(t.Context(), client.Config{
				Endpoint: "http://127.0.0.1:1", NATSURL: "tls://127.0.0.1:1", Region: "us-east-1",
				Credentials: credentials.NewStaticCredentialsProvider("AKIAAAAAAAAAAAAAAAAA", "secret", ""),
				HTTPClient:  &http.Client{Transport: &flaky{next: slowClock{}, left: 3, kind: kind}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Open(testContext(t), "app"); err != nil {
				t.Error(err)
			}
		})
	}
}
