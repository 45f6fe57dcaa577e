package lockstep

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// AccountID is the twelve-digit number of the account (tenant) that owns a
// Secret. It is not the Account at a target: see [AccountKey].
type AccountID string

// Region is the region name of a Secret, as it stands in a request's
// credential scope, for example "us-east-1".
type Region string

// SecretID is the store's own number of a Secret. It is never reused and never
// shown to a client.
type SecretID int64

// VersionID names one Version of a Secret: 32 to 64 characters, the
// ClientRequestToken of the call that made it.
type VersionID string

// RunID names one Run, for example "run-0190f3c2a1b4…".
type RunID string

// AccountKey is the keyed hash of (engine, address, user) that identifies the
// principal at a target whose credential is rotated. It tells two Accounts
// apart without telling what they are.
type AccountKey string

// TargetKey is the keyed hash of (engine, address) that identifies a target. It
// tells two targets apart without telling where they are.
type TargetKey string

// ARN is the Amazon Resource Name form of a Secret's identity:
// arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>.
type ARN string

const arnSuffixAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewSecretARN makes the ARN of a new Secret with six random letters or
// digits at its end, so that a name used again never gets the ARN it had
// before. It fails only if the system has no randomness.
func NewSecretARN(region Region, account AccountID, name string) (ARN, error) {
	suffix := make([]byte, 6)
	for i := range suffix {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(arnSuffixAlphabet))))
		if err != nil {
			return "", fmt.Errorf("draw ARN suffix: %w", err)
		}
		suffix[i] = arnSuffixAlphabet[n.Int64()]
	}
	return ARN(fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-%s", region, account, name, suffix)), nil
}

// SecretARN is an ARN taken apart. Resource is what follows "secret:": the
// name with its suffix, or for a partial ARN the name alone.
type SecretARN struct {
	Region   Region
	Account  AccountID
	Resource string
}

// ParseSecretARN takes a full or partial secret ARN apart. It returns false if
// s is not of that form; a plain name is not.
func ParseSecretARN(s string) (SecretARN, bool) {
	parts := strings.SplitN(s, ":", 7)
	if len(parts) != 7 || parts[0] != "arn" || parts[2] != "secretsmanager" || parts[5] != "secret" || parts[6] == "" {
		return SecretARN{}, false
	}
	return SecretARN{Region: Region(parts[3]), Account: AccountID(parts[4]), Resource: parts[6]}, true
}

// NewID returns prefix, a dash and 32 random hexadecimal digits. It fails only
// if the system has no randomness.
func NewID(prefix string) (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("draw id: %w", err)
	}
	return prefix + "-" + hex.EncodeToString(b), nil
}

// NewVersionID returns a random UUID (version 4, RFC 9562), the default
// ClientRequestToken. It fails only if the system has no randomness.
func NewVersionID() (VersionID, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("draw version id: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return VersionID(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])), nil
}
