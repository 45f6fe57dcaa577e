package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"lockstep"
)

// KeyLookup finds the credential of an access key id. P is whatever the
// caller wants to know about the one who signs.
type KeyLookup[P any] interface {
	// SecretKey returns the credential, or an error that wraps
	// lockstep.ErrNotFound when there is none or it is not active. Any other
	// error is taken as a failure of the server, not of the client. It is
	// called for every request, so it should answer from memory.
	SecretKey(ctx context.Context, accessKeyID string) (Credential[P], error)
}

// SessionLookup is the further ability of a KeyLookup whose session
// credentials are not stored but derived from their token. When the lookup has
// it, requests that carry a session token come here instead.
type SessionLookup[P any] interface {
	// SessionKey checks that the token is genuine and belongs to the key id.
	// Errors as KeyLookup.SecretKey. The Credential's TokenHash may be nil
	// then; if it is set it is compared as well.
	SessionKey(ctx context.Context, accessKeyID, sessionToken string) (Credential[P], error)
}

// Credential is what is known of an access key.
type Credential[P any] struct {
	// SecretKey is the secret access key.
	SecretKey lockstep.Value
	// TokenHash is HashToken of the session token that must come with the key;
	// nil for a long-term key, with which no token may come.
	TokenHash []byte
	// Expires ends the credential; zero: never.
	Expires time.Time
	// Principal is handed on in the Identity, unread.
	Principal P
}

// HashToken is the form in which session tokens are kept at rest. Session
// tokens are long and random, so a plain hash is enough.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// sessionKeyPrefix begins the ids of session keys. Such an id is never valid
// without its token.
const sessionKeyPrefix = "ASIA"

// tokenMatches compares in constant time. trusted: the lookup checked the
// token itself.
func (c Credential[P]) tokenMatches(accessKeyID, token string, checked tokenCheck) bool {
	if c.TokenHash != nil {
		return subtle.ConstantTimeCompare(HashToken(token), c.TokenHash) == 1
	}
	if token == "" {
		return len(accessKeyID) < len(sessionKeyPrefix) || accessKeyID[:len(sessionKeyPrefix)] != sessionKeyPrefix
	}
	return checked == checkedByLookup
}

// tokenCheck says who has looked at the session token so far.
type tokenCheck int

const (
	notChecked tokenCheck = iota
	checkedByLookup
)

// deriveKey is AWS's chain of HMACs from the secret key to the key of one day,
// region and service.
func deriveKey(secret []byte, scope Scope) [sha256.Size]byte {
	start := make([]byte, 0, 4+len(secret))
	start = append(append(start, "AWS4"...), secret...)
	key := sumHMAC(start, scope.Date)
	clear(start)
	key = sumHMAC(key[:], scope.Region)
	key = sumHMAC(key[:], scope.Service)
	return sumHMAC(key[:], terminator)
}

func sumHMAC(key []byte, message string) [sha256.Size]byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}
