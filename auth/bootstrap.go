package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"lockstep"
	"lockstep/store"
)

// Bootstrapping is what Bootstrap needs. All fields but Deliver are required.
type Bootstrapping struct {
	Store  store.Store
	Sealer Sealer
	// Owner is the account whose root user is made, and the home region,
	// whose default master key seals its access key.
	Owner store.Owner
	// Deliver, if set, is called with the new credentials after they are made
	// and before they are stored, to put them where the operator finds them
	// (WriteCredentials). A crash in between leaves credentials that are not
	// valid yet and that the next start replaces; the other order could leave
	// a root user whose key nobody has.
	Deliver func(Credentials) error
}

// Bootstrap makes the root user of an account with one access key, if there is
// none. It returns the credentials the one time that they were made, and nil
// on every later start. Errors: ErrConflict if another node made the root user
// in the same moment (what Deliver got is not valid then); ErrSealed, ErrBusy.
func Bootstrap(ctx context.Context, b Bootstrapping) (*Credentials, error) {
	arn := RootARN(b.Owner.Account)
	exists, err := userExists(ctx, b.Store, arn)
	if err != nil || exists {
		return nil, err
	}
	made, sealed, err := newAccessKey(ctx, b.Sealer, b.Owner, arn)
	if err != nil {
		return nil, err
	}
	if b.Deliver != nil {
		if err := b.Deliver(made); err != nil {
			return nil, fmt.Errorf("deliver the root user's access key: %w", err)
		}
	}
	err = b.Store.Update(ctx, func(tx store.Tx) error {
		return insertRoot(tx, arn, b.Owner.Account, store.AccessKey{
			ID: made.AccessKeyID, UserARN: arn, Secret: sealed, Active: true, Created: tx.Now(),
		})
	})
	if errors.Is(err, lockstep.ErrExists) {
		return nil, fmt.Errorf("store the root user: another node was faster: %w", lockstep.ErrConflict)
	}
	if err != nil {
		return nil, fmt.Errorf("store the root user: %w", err)
	}
	return &made, nil
}

func insertRoot(tx store.Tx, arn string, account lockstep.AccountID, key store.AccessKey) error {
	user := &store.User{ARN: arn, Account: account, Name: "root", Created: key.Created}
	if err := tx.InsertUser(user); err != nil {
		return err
	}
	return tx.InsertAccessKey(&key)
}

func userExists(ctx context.Context, s store.Store, arn string) (bool, error) {
	err := s.View(ctx, func(tx store.ReadTx) error {
		_, err := tx.User(arn)
		return err
	})
	if errors.Is(err, lockstep.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the root user: %w", err)
	}
	return true, nil
}

// newAccessKey draws an access key for a user and seals its secret under the
// owner's default master key.
func newAccessKey(ctx context.Context, s Sealer, owner store.Owner, userARN string) (Credentials, *lockstep.Sealed, error) {
	made, err := newCredentials()
	if err != nil {
		return Credentials{}, nil, err
	}
	sealed, err := s.Seal(ctx, owner, "", made.SecretKey, binding(userARN, made.AccessKeyID))
	if err != nil {
		return Credentials{}, nil, fmt.Errorf("seal an access key of %s: %w", userARN, err)
	}
	return made, sealed, nil
}

const (
	keyIDPrefix   = "AKIA"
	keyIDAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	keyIDRandom   = 16
	// The secret has about 238 random bits and no character that a shell, a
	// URL or an INI file treats as special.
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	secretLength   = 40
)

// newCredentials draws a long-term access key. It fails only if the system has
// no randomness.
func newCredentials() (Credentials, error) {
	id, err := draw(keyIDAlphabet, keyIDRandom)
	if err != nil {
		return Credentials{}, err
	}
	secret, err := draw(secretAlphabet, secretLength)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{AccessKeyID: keyIDPrefix + id, SecretKey: lockstep.StringValue(secret)}, nil
}

func draw(alphabet string, n int) (string, error) {
	out := make([]byte, n)
	size := big.NewInt(int64(len(alphabet)))
	for i := range out {
		k, err := rand.Int(rand.Reader, size)
		if err != nil {
			return "", fmt.Errorf("draw access key: %w", err)
		}
		out[i] = alphabet[k.Int64()]
	}
	return string(out), nil
}
