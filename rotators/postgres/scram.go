package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"

	"github.com/xdg-go/stringprep"
)

// PostgreSQL's own figures. Every client pays the iterations at each login; a
// random password of 32 characters needs no more.
const (
	scramIterations = 4096
	scramSalt       = 16
)

// A text that is not exactly this would be taken by the server, without a
// word, as a clear password: hashed, and written to its log.
var wellFormed = regexp.MustCompile(
	`^SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$`)

// verifier computes what PostgreSQL stores for a password (RFC 5802, RFC 7677),
// with a new salt each time. Like the server, it takes a password that SASLprep
// refuses as it is. Errors: practically none.
func verifier(password string) (string, error) {
	salt := make([]byte, scramSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("draw salt: %w", err)
	}
	return verifierWith(password, salt, scramIterations)
}

func verifierWith(password string, salt []byte, iterations int) (string, error) {
	if prepared, err := stringprep.SASLprep.Prepare(password); err == nil && prepared != "" {
		password = prepared
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	out := fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key")))
	if !wellFormed.MatchString(out) {
		return "", errors.New("hash password: the verifier is malformed")
	}
	return out, nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
