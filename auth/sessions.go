package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"lockstep"
	"lockstep/auth/policy"
	"lockstep/auth/sigv4"
)

// The bounds of a session.
const (
	// MinSession and MaxSession are AWS's for AssumeRole.
	MinSession = 15 * time.Minute
	MaxSession = 12 * time.Hour
	// maxSessionPolicies bounds what a session's token carries.
	maxSessionPolicies = 11
)

// sessionKeyIDPrefix begins the ids of session keys.
const sessionKeyIDPrefix = "ASIA"

// SessionSpec is what a session is to be.
type SessionSpec struct {
	Account lockstep.AccountID
	// RoleARN is the role that it acts as. Empty: none; what its own Policies
	// allow is then all that it may, so there must be at least one.
	RoleARN string
	// Name tells the sessions of a role apart: 2 to 64 letters, digits and
	// _=,.@-
	Name string
	// Policies are identity policy documents that bound what the role may; none
	// bounds nothing.
	Policies []string
	// Tags outrank the role's of the same key, as aws:PrincipalTag/….
	Tags []lockstep.Tag
	// Transitive are the keys of those Tags that sessions made from this one
	// inherit.
	Transitive []string
	// Lifetime is required; at most MaxSession.
	Lifetime time.Duration
	// Binding ties the session to a Run's Version; nil: it is free.
	Binding *Binding
}

// Binding is what a session for one step of a rotation is for. Whoever takes a
// write from such a session puts Fence into its WHERE, and refuses what is not
// about Secret and Version.
type Binding struct {
	Secret  lockstep.SecretID  `json:"s"`
	Version lockstep.VersionID `json:"v"`
	Run     lockstep.RunID     `json:"r"`
	Fence   uint64             `json:"f"`
}

// Session is a short-lived credential in the hands of whom it was made for.
type Session struct {
	Credentials
	// ARN is the principal: arn:aws:sts::<account>:assumed-role/<role>/<name>,
	// or …:federated-user/<name> without a role.
	ARN string
	// ID is what policies know as aws:userid.
	ID      string
	Expires time.Time
}

// SessionsConfig is what Sessions needs.
type SessionsConfig struct {
	// Key seals the tokens. All nodes of an installation share it. Required.
	Key []byte
	// Policies tells what a role may. Required.
	Policies *Policies
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Sessions makes and recognises short-lived credentials. Nothing about them is
// stored: the token is the session, sealed, and the secret access key follows
// from the key's id; so any node knows the sessions of all, and a crash loses
// none. A session ends with its time, with its role, or with the key of the
// installation; it cannot be revoked by itself. It is safe for concurrent use.
type Sessions struct {
	config SessionsConfig
	aead   cipher.AEAD
	mac    []byte
}

// NewSessions makes Sessions. Errors: ErrInvalid if something is missing.
func NewSessions(c SessionsConfig) (*Sessions, error) {
	if len(c.Key) < sha256.Size || c.Policies == nil {
		return nil, fmt.Errorf("sessions config: a Key of 32 bytes and Policies are required: %w", lockstep.ErrInvalid)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Sessions{config: c, mac: derive(c.Key, "secret access keys")}
	block, err := aes.NewCipher(derive(c.Key, "session tokens"))
	if err == nil {
		s.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		return nil, fmt.Errorf("make the cipher of session tokens: %w", err)
	}
	return s, nil
}

func derive(key []byte, purpose string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// ticket is what a session token holds.
type ticket struct {
	Account    lockstep.AccountID `json:"a"`
	Role       string             `json:"r,omitempty"`
	RoleID     string             `json:"i,omitempty"`
	Name       string             `json:"n"`
	Policies   []string           `json:"p,omitempty"`
	Tags       []lockstep.Tag     `json:"t,omitempty"`
	Transitive []string           `json:"k,omitempty"`
	Expires    int64              `json:"e"`
	Binding    *Binding           `json:"b,omitempty"`
}

var sessionNameForm = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)

// Mint makes a session; whoever calls has decided that it may be. Errors:
// Refusals of kind ErrInvalid (name, policies, lifetime) and ErrNotFound (the
// role); ErrBusy.
func (s *Sessions) Mint(ctx context.Context, spec SessionSpec) (Session, error) {
	if err := spec.check(); err != nil {
		return Session{}, err
	}
	t := ticket{
		Account: spec.Account, Role: spec.RoleARN, Name: spec.Name, Policies: spec.Policies, Tags: spec.Tags,
		Transitive: spec.Transitive, Binding: spec.Binding, Expires: s.config.Now().Add(spec.Lifetime).Unix(),
	}
	if spec.RoleARN != "" {
		access, err := s.config.Policies.Of(ctx, spec.RoleARN)
		if err != nil {
			return Session{}, described(err, KindRole, NameOf(spec.RoleARN))
		}
		t.RoleID = access.ID
	}
	random, err := draw(keyIDAlphabet, keyIDRandom)
	if err != nil {
		return Session{}, err
	}
	id := sessionKeyIDPrefix + random
	token, err := s.seal(t, id)
	if err != nil {
		return Session{}, err
	}
	return Session{
		Credentials: Credentials{AccessKeyID: id, SecretKey: s.secretOf(id), SessionToken: token},
		ARN:         t.arn(), ID: t.id(), Expires: time.Unix(t.Expires, 0).UTC(),
	}, nil
}

func (spec SessionSpec) check() error {
	switch {
	case !sessionNameForm.MatchString(spec.Name):
		return lockstep.Refuse(lockstep.ErrInvalid, "%q cannot be the name of a session: use 2 to 64 letters, digits and _+=,.@-", spec.Name)
	case spec.Lifetime < time.Second || spec.Lifetime > MaxSession:
		return lockstep.Refuse(lockstep.ErrInvalid, "A session lasts from a second to %s.", MaxSession)
	case spec.RoleARN == "" && len(spec.Policies) == 0:
		return lockstep.Refuse(lockstep.ErrInvalid, "A session without a role needs a policy.")
	case len(spec.Policies) > maxSessionPolicies:
		return lockstep.Refuse(lockstep.ErrInvalid, "A session has at most %d policies.", maxSessionPolicies)
	}
	for _, p := range spec.Policies {
		if err := checkDocument(p, policy.IdentityPolicy); err != nil {
			return err
		}
	}
	return checkTags(spec.Tags)
}

// arn is the session's principal.
func (t ticket) arn() string {
	if t.Role == "" {
		return "arn:aws:sts::" + string(t.Account) + ":federated-user/" + t.Name
	}
	return "arn:aws:sts::" + string(t.Account) + ":assumed-role/" + NameOf(t.Role) + "/" + t.Name
}

func (t ticket) id() string {
	if t.Role == "" {
		return string(t.Account) + ":" + t.Name
	}
	return t.RoleID + ":" + t.Name
}

func (s *Sessions) seal(t ticket, id string) (string, error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("make session token: %w", err)
	}
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("make session token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(id))), nil
}

// errNoSession: the token is not one of ours, or belongs to another key.
var errNoSession = fmt.Errorf("session token is not genuine: %w", lockstep.ErrNotFound)

func (s *Sessions) open(id, token string) (ticket, error) {
	var t ticket
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	n := s.aead.NonceSize()
	if err != nil || len(raw) < n || !strings.HasPrefix(id, sessionKeyIDPrefix) {
		return t, errNoSession
	}
	plain, err := s.aead.Open(nil, raw[:n], raw[n:], []byte(id))
	if err != nil || json.Unmarshal(plain, &t) != nil {
		return t, errNoSession
	}
	return t, nil
}

// secretOf is the secret access key of a session key: only who holds the
// installation's key can tell it from the id.
func (s *Sessions) secretOf(id string) lockstep.Value {
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte(id))
	return lockstep.StringValue(base64.RawURLEncoding.EncodeToString(h.Sum(nil))[:secretLength])
}

// SessionKey is sigv4.SessionLookup's. The end of the session is in the
// Credential: that it is over is told to its holder alone. Errors: ErrNotFound
// if the token is not genuine, belongs to another key, or its role is gone;
// ErrBusy.
func (s *Sessions) SessionKey(ctx context.Context, accessKeyID, token string) (sigv4.Credential[Principal], error) {
	t, err := s.open(accessKeyID, token)
	if err != nil {
		return sigv4.Credential[Principal]{}, err
	}
	access, err := s.accessOf(ctx, t)
	if err != nil {
		return sigv4.Credential[Principal]{}, err
	}
	return sigv4.Credential[Principal]{
		SecretKey: s.secretOf(accessKeyID), Expires: time.Unix(t.Expires, 0).UTC(),
		Principal: Principal{
			ARN: t.arn(), Account: t.Account, Name: t.Name, AccessKeyID: accessKeyID, Access: access,
			Session: &SessionInfo{ID: t.id(), Tags: t.Tags, Transitive: t.Transitive, Binding: t.Binding},
		},
	}, nil
}

// accessOf is what the session may at present: the role's policies may have
// changed since it began.
func (s *Sessions) accessOf(ctx context.Context, t ticket) (*Access, error) {
	var own []*policy.Policy
	for _, text := range t.Policies {
		p, err := s.config.Policies.documents.read(text, policy.IdentityPolicy)
		if err != nil {
			return nil, fmt.Errorf("read session policy: %w", err)
		}
		own = append(own, p)
	}
	if t.Role == "" {
		// Its policies allow, and bound what resource policies allow too.
		return &Access{ID: t.id(), Identity: own, Session: own, Tags: t.Tags}, nil
	}
	role, err := s.config.Policies.Of(ctx, t.Role)
	if errors.Is(err, lockstep.ErrNotFound) || err == nil && role.ID != t.RoleID {
		return nil, fmt.Errorf("the role of the session is gone: %w", lockstep.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return &Access{
		ID: t.id(), Identity: role.Identity, Boundary: role.Boundary, Session: own,
		Tags: mergeTags(role.Tags, t.Tags), RoleARN: t.Role,
	}, nil
}

// mergeTags lets a session's tags outrank the role's; keys are told apart
// without regard to case.
func mergeTags(role, session []lockstep.Tag) []lockstep.Tag {
	out := slices.Clone(session)
	for _, t := range role {
		if !slices.ContainsFunc(session, func(o lockstep.Tag) bool { return strings.EqualFold(o.Key, t.Key) }) {
			out = append(out, t)
		}
	}
	return out
}

// uniqueID is an id in AWS's form that stays with one user or role and is not
// given to another that takes its name later.
func uniqueID(prefix, arn string, created time.Time) string {
	sum := sha256.Sum256([]byte(arn + "\n" + created.UTC().Format(time.RFC3339Nano)))
	id := make([]byte, keyIDRandom)
	for i := range id {
		id[i] = keyIDAlphabet[sum[i]&31]
	}
	return prefix + string(id)
}
