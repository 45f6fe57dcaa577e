// Package sts is the part of AWS's Security Token Service (version 2011-06-15)
// that a client needs to work as a role: AssumeRole and GetCallerIdentity, over
// package auth. Credentials that it makes are sigv4 keys with a session token,
// accepted by every API of the server until they end.
package sts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"lockstep"
	"lockstep/api/awsquery"
	"lockstep/auth"
)

// Scope is the service in the credential scope of its requests.
const Scope = "sts"

// Roles finds roles; *auth.Identities does.
type Roles interface {
	// Role reads one. A Refusal of kind ErrNotFound.
	Role(ctx context.Context, account lockstep.AccountID, name string) (auth.RoleDetails, error)
	// Policy reads one, to bound a session by. A Refusal of kind ErrNotFound.
	Policy(ctx context.Context, account lockstep.AccountID, name string) (auth.PolicyDetails, error)
}

// Sessions makes sessions; *auth.Sessions does.
type Sessions interface {
	Assume(ctx context.Context, g auth.Guard, c auth.Caller, in auth.AssumeInput) (auth.Session, error)
}

// Config is what a Service needs; all fields are required.
type Config struct {
	Roles    Roles
	Sessions Sessions
	Guard    auth.Guard
}

// Service carries out the actions. It is safe for concurrent use.
type Service struct{ config Config }

// New makes a Service. Errors: ErrInvalid if a field is missing.
func New(c Config) (*Service, error) {
	if c.Roles == nil || c.Sessions == nil {
		return nil, fmt.Errorf("sts config: Roles and Sessions are required: %w", lockstep.ErrInvalid)
	}
	return &Service{c}, nil
}

// Namespace implements awsquery.Service.
func (*Service) Namespace() string { return "https://sts.amazonaws.com/doc/2011-06-15/" }

// APIVersion implements awsquery.Service.
func (*Service) APIVersion() string { return "2011-06-15" }

// Do implements awsquery.Service.
func (s *Service) Do(ctx context.Context, c awsquery.Call) (any, error) {
	switch c.Action {
	case "AssumeRole":
		return s.assumeRole(ctx, c)
	case "GetCallerIdentity":
		return callerIdentity(c.Caller), nil
	}
	return nil, awsquery.UnknownAction(c)
}

type identity struct {
	Arn     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string `xml:"Account"`
}

// callerIdentity needs no permission: it tells callers what they are.
func callerIdentity(c auth.Caller) identity {
	out := identity{Arn: c.ARN, UserID: string(c.Account), Account: string(c.Account)}
	if c.Access != nil {
		out.UserID = c.Access.ID
	}
	return out
}

// assumeRoleResult is the answer; the credentials in it are on their way to the
// client alone.
type assumeRoleResult struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string `xml:"SecretAccessKey"`
		SessionToken    string `xml:"SessionToken"`
		Expiration      string `xml:"Expiration"`
	} `xml:"Credentials"`
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string `xml:"Arn"`
	} `xml:"AssumedRoleUser"`
	PackedPolicySize int `xml:"PackedPolicySize,omitempty"`
}

// The limits of AWS's model.
const (
	defaultDuration  = 3600
	maxPolicyChars   = 2048
	maxPolicyARNs    = 10
	minARN, maxARN   = 20, 2048
	minExternal      = 2
	maxExternal      = 1224
	codeValidation   = "ValidationError"
	codeBadPolicy    = "MalformedPolicyDocument"
	codePackedPolicy = "PackedPolicyTooLarge"
)

var (
	roleARNForm     = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}):role/(?:[A-Za-z0-9+=,.@_/-]*/)?([A-Za-z0-9+=,.@_-]{1,64})$`)
	policyARNForm   = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}):policy/([A-Za-z0-9+=,.@_-]{1,64})$`)
	sessionNameForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalForm    = regexp.MustCompile(`^[\w+=,.@:/-]*$`)
)

func (s *Service) assumeRole(ctx context.Context, c awsquery.Call) (any, error) {
	in, err := s.readAssume(ctx, c)
	if err != nil {
		return nil, err
	}
	parts := roleARNForm.FindStringSubmatch(in.RoleARN)
	role, err := s.config.Roles.Role(ctx, lockstep.AccountID(parts[1]), parts[2])
	switch {
	case err == nil && role.ARN == in.RoleARN:
		in.Trust, in.Tags, in.Session.Account = role.Trust, role.Tags, role.Account
	case err != nil && !errors.Is(err, lockstep.ErrNotFound):
		return nil, err
	}
	made, err := s.config.Sessions.Assume(ctx, s.config.Guard, c.Caller, in)
	if err != nil {
		return nil, told(err)
	}
	var out assumeRoleResult
	out.Credentials.AccessKeyID = made.AccessKeyID
	out.Credentials.SecretAccessKey = made.SecretKey.Reveal()
	out.Credentials.SessionToken = made.SessionToken
	out.Credentials.Expiration = made.Expires.UTC().Format(time.RFC3339)
	out.AssumedRoleUser.AssumedRoleID, out.AssumedRoleUser.Arn = made.ID, made.ARN
	size := 0
	for _, p := range in.Session.Policies {
		size += len(p)
	}
	if size > 0 {
		out.PackedPolicySize = max(1, size*100/(maxPolicyChars*(maxPolicyARNs+1)))
	}
	return out, nil
}

// told words an error of auth for the client.
func told(err error) error {
	var refusal *lockstep.Refusal
	switch {
	case !errors.As(err, &refusal):
		return err
	case errors.Is(err, lockstep.ErrDenied), errors.Is(err, lockstep.ErrNotFound):
		return awsquery.Denied(refusal.Message)
	default:
		return awsquery.Errorf(codeValidation, "%s", refusal.Message)
	}
}

// readAssume checks the form.
func (s *Service) readAssume(ctx context.Context, c awsquery.Call) (auth.AssumeInput, error) {
	in := auth.AssumeInput{RoleARN: c.Params.Get("RoleArn"), ExternalID: c.Params.Get("ExternalId")}
	in.Session.Name = c.Params.Get("RoleSessionName")
	switch {
	case !c.Params.Has("RoleArn"):
		return in, missing("roleArn")
	case len(in.RoleARN) < minARN || len(in.RoleARN) > maxARN || !roleARNForm.MatchString(in.RoleARN):
		return in, awsquery.Errorf(codeValidation, "%s is invalid", in.RoleARN)
	case !c.Params.Has("RoleSessionName"):
		return in, missing("roleSessionName")
	case !sessionNameForm.MatchString(in.Session.Name):
		return in, unfit(in.Session.Name, "roleSessionName", `satisfy regular expression pattern: [\w+=,.@-]* and have 2 to 64 characters`)
	case c.Params.Has("ExternalId") && (len(in.ExternalID) < minExternal || len(in.ExternalID) > maxExternal || !externalForm.MatchString(in.ExternalID)):
		return in, unfit(in.ExternalID, "externalId", `satisfy regular expression pattern: [\w+=,.@:\/-]* and have 2 to 1224 characters`)
	case c.Params.Has("SerialNumber") || c.Params.Has("TokenCode"):
		return in, awsquery.Denied("MultiFactorAuthentication failed: this server has no MFA devices.")
	}
	seconds := defaultDuration
	if text := c.Params.Get("DurationSeconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || time.Duration(n) < auth.MinSession/time.Second || time.Duration(n) > auth.MaxSession/time.Second {
			return in, unfit(text, "durationSeconds", "have value from 900 to 43200")
		}
		seconds = n
	}
	in.Session.Lifetime = time.Duration(seconds) * time.Second
	if err := readTags(c, &in.Session); err != nil {
		return in, err
	}
	return in, s.readPolicies(ctx, c, &in.Session)
}

func missing(field string) error {
	return awsquery.Errorf(codeValidation, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", field)
}

func unfit(value, field, rule string) error {
	return awsquery.Errorf(codeValidation, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must %s", value, field, rule)
}

func readTags(c awsquery.Call, spec *auth.SessionSpec) error {
	keys := c.List("Tags", "Key")
	for i, key := range keys {
		value := c.Params.Get("Tags.member." + strconv.Itoa(i+1) + ".Value")
		spec.Tags = append(spec.Tags, lockstep.Tag{Key: key, Value: value})
	}
	spec.Transitive = c.List("TransitiveTagKeys", "")
	for _, key := range spec.Transitive {
		if !hasKey(keys, key) {
			return awsquery.Errorf(codeValidation, "The specified transitive tag key must be included in the requested tags.")
		}
	}
	return nil
}

func hasKey(keys []string, key string) bool {
	for _, k := range keys {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

func (s *Service) readPolicies(ctx context.Context, c awsquery.Call, spec *auth.SessionSpec) error {
	if c.Params.Has("Policy") {
		text := c.Params.Get("Policy")
		if n := utf8.RuneCountInString(text); n < 1 || n > maxPolicyChars {
			return &awsquery.Error{Code: codePackedPolicy, Status: http.StatusBadRequest,
				Message: fmt.Sprintf("The session policy has %d characters; it can have 1 to %d.", n, maxPolicyChars)}
		}
		if err := auth.CheckIdentityPolicy(text); err != nil {
			return awsquery.Errorf(codeBadPolicy, "%s", err)
		}
		spec.Policies = append(spec.Policies, text)
	}
	arns := c.List("PolicyArns", "arn")
	if len(arns) > maxPolicyARNs {
		return awsquery.Errorf(codeValidation, "A session can have at most %d managed policies.", maxPolicyARNs)
	}
	for _, arn := range arns {
		parts := policyARNForm.FindStringSubmatch(arn)
		if parts == nil {
			return awsquery.Errorf(codeValidation, "%s is invalid", arn)
		}
		found, err := s.config.Roles.Policy(ctx, lockstep.AccountID(parts[1]), parts[2])
		if errors.Is(err, lockstep.ErrNotFound) || err == nil && found.Account != c.Caller.Account {
			return awsquery.Errorf(codeBadPolicy, "The policy %s does not exist.", arn)
		}
		if err != nil {
			return err
		}
		spec.Policies = append(spec.Policies, found.Document)
	}
	return nil
}
