package secretsmanager

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/api/awsjson"
	"lockstep/store"
)

// maxPage is the largest and the default page of a list; maxBatch of a batch.
const (
	maxPage  = 100
	maxBatch = 20
)

// pageSize is what the client asked for, or all that is allowed.
func pageSize(asked *int64, max int) int {
	if asked == nil {
		return max
	}
	return int(*asked)
}

// cursor is the last thing that a page showed. The next page starts after it
// by its place in the order, not by a count, so that what is inserted or
// removed between two pages neither repeats nor hides anything else.
type cursor struct {
	ID   int64  `json:"i,omitempty"`
	Text string `json:"s,omitempty"`
	At   int64  `json:"t,omitempty"`
}

func secretCursor(s *lockstep.Secret, by store.SecretSort) cursor {
	c := cursor{ID: int64(s.ID)}
	switch by {
	case store.SortName:
		c.Text = s.Name
	case store.SortChanged:
		c.At = micros(s.Changed)
	case store.SortAccessed:
		c.At = micros(s.Accessed)
	default:
		c.At = micros(s.Created)
	}
	return c
}

// secret is the reverse of secretCursor, with the fields that the store's
// order looks at.
func (c cursor) secret(by store.SecretSort) *lockstep.Secret {
	s := &lockstep.Secret{ID: lockstep.SecretID(c.ID)}
	switch by {
	case store.SortName:
		s.Name = c.Text
	case store.SortChanged:
		s.Changed = fromMicros(c.At)
	case store.SortAccessed:
		s.Accessed = fromMicros(c.At)
	default:
		s.Created = fromMicros(c.At)
	}
	return s
}

// micros keeps the zero time apart from every other: it is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func versionCursor(v *lockstep.Version) cursor {
	return cursor{Text: string(v.ID), At: micros(v.Created)}
}

// coversVersion tells whether v was on the page that ended here, or before.
func (c cursor) coversVersion(v *lockstep.Version) bool {
	at := micros(v.Created)
	return at < c.At || at == c.At && string(v.ID) <= c.Text
}

// pages makes the tokens between pages: a cursor, encrypted and bound to the
// question that it belongs to. A token of another question, caller, action or
// installation does not open.
type pages struct{ aead cipher.AEAD }

func newPages(key []byte) (*pages, error) {
	sum := sha256.Sum256(append([]byte("lockstep-page-token\n"), key...))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, fmt.Errorf("make the cipher of page tokens: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make the cipher of page tokens: %w", err)
	}
	return &pages{aead}, nil
}

// scopeOf is the question a token belongs to: caller's account, region, action
// and whatever else decides what the pages hold.
func scopeOf(r *request, parts ...string) string {
	all := append([]string{string(r.Caller.Account), string(r.Caller.Region), r.Action}, parts...)
	for i, p := range all {
		all[i] = strconv.Quote(p)
	}
	return strings.Join(all, ",")
}

func boolText(b bool) string { return strconv.FormatBool(b) }

func (p *pages) seal(c cursor, scope string) (string, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("make page token: %w", err)
	}
	nonce := make([]byte, p.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("make page token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(p.aead.Seal(nonce, nonce, plain, []byte(scope))), nil
}

func (p *pages) open(token, scope string) (cursor, error) {
	bad := awsjson.Errorf(codeInvalidNextToken, "The NextToken value is invalid.")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < p.aead.NonceSize() || strings.ContainsAny(token, "\r\n") {
		return cursor{}, bad
	}
	nonce, sealed := raw[:p.aead.NonceSize()], raw[p.aead.NonceSize():]
	plain, err := p.aead.Open(nil, nonce, sealed, []byte(scope))
	if err != nil {
		return cursor{}, bad
	}
	var c cursor
	if err := json.Unmarshal(plain, &c); err != nil {
		return cursor{}, bad
	}
	return c, nil
}
