package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep"
	"lockstep/api"
	"lockstep/api/awsjson"
	"lockstep/auth"
	"lockstep/auth/sigv4"
)

func TestBadBodies(t *testing.T) {
	r := start(t)
	r.create("here", "v")
	for name, body := range map[string]string{
		"not JSON":               `{SecretId}`,
		"a list":                 `[]`,
		"null":                   `null`,
		"a text":                 `"x"`,
		"ends early":             `{"SecretId":"here"`,
		"goes on":                `{"SecretId":"here"}{}`,
		"a field twice":          `{"SecretId":"here","SecretId":"here"}`,
		"an unknown field twice": `{"SecretId":"here","x":1,"x":1}`,
		"deep":                   `{"SecretId":"here","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"number for text":        `{"SecretId":7}`,
		"object for text":        `{"SecretId":{}}`,
		"list for text":          `{"SecretId":[]}`,
		"flag for text":          `{"SecretId":true}`,
		"invalid UTF-8":          "{\"SecretId\":\"here\xff\"}",
		"half a surrogate":       `{"SecretId":"here","VersionStage":"\ud800"}`,
	} {
		t.Run(name, func(t *testing.T) { wantError(t, r.raw("DescribeSecret", body), "SerializationException", "") })
	}
	t.Run("text for number", func(t *testing.T) {
		wantError(t, r.raw("ListSecrets", `{"MaxResults":"1"}`), "SerializationException", "STRING_VALUE can not be converted to an Integer")
		wantError(t, r.raw("ListSecrets", `{"MaxResults":1.5}`), "SerializationException", "")
	})
	t.Run("not base64", func(t *testing.T) {
		wantError(t, r.raw("PutSecretValue", `{"SecretId":"here","ClientRequestToken":"`+tok1+`","SecretBinary":"***"}`), "SerializationException", "")
	})
	t.Run("unknown fields are ignored, names are exact", func(t *testing.T) {
		if a := r.raw("DescribeSecret", `{"SecretId":"here","Future":{"a":[1,{"b":null}]}}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		wantError(t, r.raw("DescribeSecret", `{"secretid":"here"}`), "ValidationException",
			"1 validation error detected: Value null at 'secretId' failed to satisfy constraint: Member must not be null")
	})
	t.Run("null is absent", func(t *testing.T) {
		if a := r.raw("GetSecretValue", `{"SecretId":"here","VersionId":null}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("too large", func(t *testing.T) {
		a := r.raw("PutSecretValue", `{"SecretId":"here","x":"`+strings.Repeat("x", 300<<10)+`"}`)
		if code, _ := a.errorOf(t); a.status != 413 || code != "RequestEntityTooLargeException" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("unknown action, unknown service, none", func(t *testing.T) {
		wantError(t, r.raw("StealSecret", `{}`), "UnknownOperationException", "")
		for _, target := range []string{"DynamoDB_20120810.PutItem", "secretsmanager", ""} {
			wantError(t, r.send("POST", "/", "secretsmanager", `{}`, http.Header{"X-Amz-Target": {target}}), "UnknownOperationException", "")
		}
	})
	t.Run("truncated: nothing is stored", func(t *testing.T) {
		body := `{"Name":"cut","SecretString":"v","ClientRequestToken":"` + tok1 + `"}`
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		must(t, err)
		defer func() { _ = conn.Close() }()
		_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: secretsmanager.CreateSecret\r\nContent-Length: %d\r\n"+
			"X-Amz-Date: %s\r\nAuthorization: AWS4-HMAC-SHA256 Credential=%s/%s/us-east-1/secretsmanager/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=%s\r\n\r\n%s",
			len(body)+10, time.Now().UTC().Format("20060102T150405Z"), r.creds.AccessKeyID, time.Now().UTC().Format("20060102"), strings.Repeat("0", 64), body)
		must(t, err)
		must(t, conn.(*net.TCPConn).CloseWrite())
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != 400 {
			t.Errorf("status %d", resp.StatusCode)
		}
		_, err = r.client.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: aws.String("cut")})
		refused(t, err, "ResourceNotFoundException", "")
	})
}

func TestAnswersCarry(t *testing.T) {
	r := start(t)
	one, two := r.raw("ListSecrets", `{}`), r.raw("ListSecrets", `{"MaxResults":0}`)
	for _, a := range []answer{one, two} {
		if a.header.Get("X-Amzn-Requestid") == "" || a.header.Get("Date") == "" || a.header.Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Errorf("headers %v", a.header)
		}
	}
	if one.header.Get("X-Amzn-Requestid") == two.header.Get("X-Amzn-Requestid") {
		t.Error("two requests have the same id")
	}
	line := ""
	for l := range strings.Lines(r.log.String()) {
		if strings.Contains(l, two.header.Get("X-Amzn-Requestid")) {
			line = l
		}
	}
	for _, want := range []string{`"action":"secretsmanager:ListSecrets"`, `"principal":"arn:aws:iam::000000000000:root"`, `"status":400`, `"code":"ValidationException"`, `"duration":`} {
		if !strings.Contains(line, want) {
			t.Errorf("the log line lacks %s: %s", want, line)
		}
	}
}

func TestHealth(t *testing.T) {
	r := start(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+path, nil)
		must(t, err)
		if a := r.do(req); a.status != 200 || a.body != "ok\n" {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/elsewhere", nil)
	must(t, err)
	if a := r.do(req); a.status != 404 {
		t.Errorf("elsewhere: %d", a.status)
	}
}

func TestSignatures(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	call := func(id, secret string, edit func(*sm.Options)) error {
		o := sm.Options{BaseEndpoint: aws.String(r.url), Region: region, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}
		if edit != nil {
			edit(&o)
		}
		_, err := sm.New(o).ListSecrets(ctx, &sm.ListSecretsInput{})
		return err
	}
	own := r.creds.SecretKey.Reveal()
	must(t, call(r.creds.AccessKeyID, own, nil))
	refused(t, call(r.creds.AccessKeyID, own+"x", nil), "InvalidSignatureException", "")
	refused(t, call("AKIAAAAAAAAAAAAAAAAA", own, nil), "UnrecognizedClientException", "The security token included in the request is invalid.")
	refused(t, call(r.creds.AccessKeyID, own, func(o *sm.Options) { o.Region = "mars-north-1" }), "InvalidSignatureException", "")
	t.Run("unsigned", func(t *testing.T) {
		req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/", strings.NewReader(`{}`))
		must(t, err)
		req.Header.Set("X-Amz-Target", "secretsmanager.ListSecrets")
		wantError(t, r.do(req), "MissingAuthenticationTokenException", "")
	})
	t.Run("a clock that is off, by the words from which clients correct it", func(t *testing.T) {
		for skew, words := range map[time.Duration]string{-6 * time.Minute: "Signature expired: ", 6 * time.Minute: "Signature not yet current: "} {
			r.skew = skew
			code, message := r.raw("ListSecrets", `{}`).errorOf(t)
			if code != "InvalidSignatureException" || !strings.HasPrefix(message, words) {
				t.Errorf("%v: %s %s", skew, code, message)
			}
		}
		r.skew = 0
	})
	t.Run("signed for another service", func(t *testing.T) {
		a := r.send("POST", "/", api.ScopeLockstep, `{}`, http.Header{"X-Amz-Target": {"secretsmanager.ListSecrets"}})
		wantError(t, a, "InvalidSignatureException", "Credential should be scoped to correct service: 'secretsmanager'.")
	})
}

// broken is a service that fails in the ways a server can.
type broken struct{}

func (broken) Do(_ context.Context, call awsjson.Call) (any, error) {
	switch call.Action {
	case "Panic":
		panic(marker)
	case "Busy":
		return nil, fmt.Errorf("ask the store: %s: %w", "detail-for-the-log", lockstep.ErrBusy)
	default:
		return make(chan int), nil
	}
}

type anyone struct{}

func (anyone) Verify(*http.Request) (sigv4.Identity[auth.Principal], error) {
	return sigv4.Identity[auth.Principal]{Service: "broken", Region: region, Principal: auth.Principal{ARN: auth.RootARN(account), Account: account}}, nil
}

type noAdmin struct{}

func (noAdmin) Serve(http.ResponseWriter, *http.Request, auth.Caller) (string, error) {
	return "", errors.New("detail-for-the-log")
}

func TestServerFailures(t *testing.T) {
	log := &safeBuffer{}
	h, err := api.New(api.Config{Verifier: anyone{}, Admin: noAdmin{}, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Services: []api.AWSService{{Prefix: "broken", Scope: "broken", Service: broken{}}},
		Ready:    func(context.Context) error { return errors.New("detail-for-the-log") }})
	must(t, err)
	server := httptest.NewServer(h)
	defer server.Close()
	r := &rig{t: t, url: server.URL}
	for _, action := range []string{"Panic", "Busy", "Unmarshallable"} {
		t.Run(action, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/", nil)
			must(t, err)
			req.Header.Set("X-Amz-Target", "broken."+action)
			a := r.do(req)
			code, message := a.errorOf(t)
			if a.status != 500 || code != "InternalServiceError" || message != "An error occurred on the server side." {
				t.Errorf("%d %s", a.status, a.body)
			}
			if !strings.Contains(log.String(), a.header.Get("X-Amzn-Requestid")) {
				t.Error("the log does not know the request")
			}
		})
	}
	for path, status := range map[string]int{"/v1/status": 401, "/readyz": 503} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		must(t, err)
		if a := r.do(req); a.status != status || strings.Contains(a.body, "detail") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if strings.Contains(log.String(), marker) {
		t.Error("what a panic carried is in the log")
	}
	if !strings.Contains(log.String(), "detail-for-the-log") {
		t.Error("the cause is not in the log")
	}
}
