// Package clients runs clients that others wrote, unmodified, against the real
// server over HTTPS: the AWS SDK for Go, the AWS CLI, boto3 and the AWS SDK
// for JavaScript. They find the server as a user's programs do, by what
// `lockstep env` prints.
//
// The Go SDK's tests carry the detail. A test whose name begins with "R" states
// one fact that was recorded from AWS itself; "D" is what AWS documents, "m" a
// convention of other servers. The number is that of the chapter: 1 wire, 2
// fields, 4 messages, 5 ARNs, 6 versions and labels, 7 dates, 8 lists and
// filters, 9 deletion, 10 rotation, 11 tags, policies and passwords. The other
// clients go through one secret's whole life, since what may differ there is
// how an answer is parsed.
//
// The clients come from deploy/install.sh; a test fails where one is missing.
package clients

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"lockstep/auth"
	"lockstep/internal/servertest"
)

const (
	region  = "us-east-1"
	account = "000000000000"

	tok1 = "11111111-1111-4111-8111-111111111111"
	tok2 = "22222222-2222-4222-8222-222222222222"
	tok3 = "33333333-3333-4333-8333-333333333333"
	tok4 = "44444444-4444-4444-8444-444444444444"

	// patience bounds what a test waits for on a busy machine.
	patience = 3 * time.Minute
)

// The codes that the tests expect.
const (
	accessDenied     = "AccessDeniedException"
	encryptionFailed = "EncryptionFailure"
	exists           = "ResourceExistsException"
	invalidNextToken = "InvalidNextTokenException"
	invalidParameter = "InvalidParameterException"
	invalidRequest   = "InvalidRequestException"
	limitExceeded    = "LimitExceededException"
	malformedPolicy  = "MalformedPolicyDocumentException"
	notFound         = "ResourceNotFoundException"
	publicPolicy     = "PublicPolicyException"
	validation       = "ValidationException"
)

// The texts that AWS was recorded to say.
const (
	saysNoSecret = "Secrets Manager can't find the specified secret."
	saysMarked   = "You can't perform this operation on the secret because it was marked for deletion."
	saysBadName  = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
	saysNoToken  = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
)

// rig is a running server with the Go SDK's client for it, as one test sees
// them.
type rig struct {
	t      *testing.T
	server *servertest.Server
	client *sm.Client
	http   *http.Client
	keys   auth.Credentials
	names  *atomic.Int64
}

// start starts a server; args are further flags of serve.
func start(t *testing.T, args ...string) *rig {
	t.Helper()
	r := &rig{t: t, names: new(atomic.Int64)}
	r.server = servertest.Start(t, servertest.Options{Args: args})
	client, err := r.server.HTTPClient()
	r.must(err)
	t.Cleanup(client.CloseIdleConnections)
	r.http, r.keys = client, r.server.Credentials(t)
	r.client = r.clientFor(region)
	return r
}

// clientFor is the SDK's client with another region.
func (r *rig) clientFor(region string) *sm.Client {
	return sm.New(sm.Options{
		Region: region, BaseEndpoint: aws.String(r.server.Endpoint), HTTPClient: r.http,
		Credentials: credentials.NewStaticCredentialsProvider(r.keys.AccessKeyID, r.keys.SecretKey.Reveal(), ""),
	})
}

// row is one fact about the API and the test of it.
type row struct {
	name string
	test func(r *rig)
}

// run tests each row on the rig's server.
func (r *rig) run(rows []row) {
	for _, one := range rows {
		r.t.Run(one.name, func(t *testing.T) {
			mine := *r
			mine.t = t
			one.test(&mine)
		})
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// fresh is a name that no secret has.
func (r *rig) fresh(base string) *string {
	return aws.String(fmt.Sprintf("%s%d", base, r.names.Add(1)))
}

// made is a secret as its creation told it.
type made struct{ name, arn, version *string }

// create makes a secret with a value.
func (r *rig) create(value string) made {
	r.t.Helper()
	return r.createAs(sm.CreateSecretInput{Name: r.fresh("secret"), SecretString: &value})
}

func (r *rig) createAs(in sm.CreateSecretInput) made {
	r.t.Helper()
	out, err := r.client.CreateSecret(r.t.Context(), &in)
	r.must(err)
	return made{out.Name, out.ARN, out.VersionId}
}

// marked makes a secret that is marked for deletion.
func (r *rig) marked() made {
	r.t.Helper()
	s := r.create("v")
	r.mustDo(do((*sm.Client).DeleteSecret, sm.DeleteSecretInput{SecretId: s.name}))
	return s
}

// put adds a version with this token.
func (r *rig) put(s made, value, token string, stages ...string) *sm.PutSecretValueOutput {
	r.t.Helper()
	out, err := r.client.PutSecretValue(r.t.Context(), &sm.PutSecretValueInput{
		SecretId: s.name, SecretString: &value, ClientRequestToken: &token, VersionStages: stages})
	r.must(err)
	return out
}

func (r *rig) get(in sm.GetSecretValueInput) *sm.GetSecretValueOutput {
	r.t.Helper()
	out, err := r.client.GetSecretValue(r.t.Context(), &in)
	r.must(err)
	return out
}

func (r *rig) describe(id *string) *sm.DescribeSecretOutput {
	r.t.Helper()
	out, err := r.client.DescribeSecret(r.t.Context(), &sm.DescribeSecretInput{SecretId: id})
	r.must(err)
	return out
}

// stagesAre checks VersionIdsToStages; the order of labels does not count.
func (r *rig) stagesAre(s made, want map[string][]string) {
	r.t.Helper()
	got := r.describe(s.name).VersionIdsToStages
	for _, stages := range got {
		slices.Sort(stages)
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		r.t.Errorf("labels %v, want %v", got, want)
	}
}

// versions lists all versions by id.
func (r *rig) versions(id *string) map[string][]string {
	r.t.Helper()
	out, err := r.client.ListSecretVersionIds(r.t.Context(), &sm.ListSecretVersionIdsInput{SecretId: id, IncludeDeprecated: aws.Bool(true)})
	r.must(err)
	all := make(map[string][]string)
	for _, v := range out.Versions {
		all[*v.VersionId] = v.VersionStages
	}
	return all
}

// request is one call of the SDK, to be made later.
type request func(r *rig) error

// do makes a request of a method of the SDK's client and its input.
func do[I, O any](method func(*sm.Client, context.Context, *I, ...func(*sm.Options)) (*O, error), in I) request {
	return func(r *rig) error {
		_, err := method(r.client, r.t.Context(), &in)
		return err
	}
}

func (r *rig) mustDo(q request) {
	r.t.Helper()
	r.must(q(r))
}

// refuses checks that a request fails with this code, and this exact message
// if one is given.
func (r *rig) refuses(q request, code, message string) {
	r.t.Helper()
	r.refused(q(r), code, message)
}

func (r *rig) refused(err error, code, message string) {
	r.t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		r.t.Errorf("got %v, want %s", err, code)
		return
	}
	if api.ErrorCode() != code || (message != "" && api.ErrorMessage() != message) {
		r.t.Errorf("got %s: %q\nwant %s: %q", api.ErrorCode(), api.ErrorMessage(), code, message)
	}
}

// answer is a raw HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// raw sends a signed request with exactly this body: what no SDK sends, or
// what an SDK would not show.
func (r *rig) raw(action, body string) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.server.Endpoint+"/", strings.NewReader(body))
	r.must(err)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager."+action)
	sum := sha256.Sum256([]byte(body))
	r.must(v4.NewSigner().SignHTTP(r.t.Context(),
		aws.Credentials{AccessKeyID: r.keys.AccessKeyID, SecretAccessKey: r.keys.SecretKey.Reveal()},
		req, hex.EncodeToString(sum[:]), "secretsmanager", region, time.Now()))
	return r.send(req)
}

func (r *rig) send(req *http.Request) answer {
	r.t.Helper()
	resp, err := r.http.Do(req)
	r.must(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	r.must(err)
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// fields are the members of an answer's object.
func (r *rig) fields(a answer) map[string]json.RawMessage {
	r.t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		r.t.Fatalf("answer %q: %v", a.body, err)
	}
	return m
}

// keysAre checks that a successful answer has exactly these fields.
func (r *rig) keysAre(a answer, want ...string) {
	r.t.Helper()
	got := slices.Sorted(maps.Keys(r.fields(a)))
	slices.Sort(want)
	if a.status != http.StatusOK || !slices.Equal(got, want) {
		r.t.Errorf("HTTP %d with %v, want %v\n%s", a.status, got, want, a.body)
	}
}

// rawRefused checks the code and, if given, the message of a raw answer.
func (r *rig) rawRefused(a answer, code, message string) {
	r.t.Helper()
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"Message"`
	}
	r.must(json.Unmarshal([]byte(a.body), &e))
	if a.status != http.StatusBadRequest || e.Type != code || (message != "" && e.Message != message) {
		r.t.Errorf("HTTP %d %s\nwant %s: %q", a.status, a.body, code, message)
	}
}

// eventually waits until ok holds.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			r.t.Fatalf("%s: not within %s", what, patience)
		case <-tick.C:
		}
	}
}
