package storetest

import (
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var rotatorTests = map[string]func(*testing.T, *fixture){
	"rows":  rotatorRows,
	"users": rotatorUsers,
}

func rotatorRows(t *testing.T, f *fixture) {
	r := &store.Rotator{
		Name: "b", Account: account, Kind: store.RotatorWebhook, Target: "https://example.com/hook", CA: "pem",
		Addresses: []string{"loopback"}, Timeout: time.Minute, CreatedBy: "arn:aws:iam::000000000000:root", Created: f.now(t),
		Key: &lockstep.Sealed{KeyID: "k", KeyVersion: 2, WrappedKey: []byte{1}, Ciphertext: []byte{2}, Binary: true, Digest: []byte{3}},
	}
	noZeroField(t, *r)
	get := func(tx store.ReadTx) (*store.Rotator, error) { return tx.Rotator("b") }
	list := func(after string, limit int) []*store.Rotator {
		return read(t, f, func(tx store.ReadTx) ([]*store.Rotator, error) {
			return tx.Rotators(store.NameQuery{Account: account, After: after, Limit: limit})
		})
	}
	missing(t, f, get)
	other := &store.Rotator{Name: "a", Account: account, Kind: store.RotatorNATS, Timeout: time.Second, CreatedBy: "x", Created: r.Created}
	foreign := &store.Rotator{Name: "c", Account: "111111111111", Kind: store.RotatorExec, Target: "x", Timeout: time.Second, CreatedBy: "x", Created: r.Created}
	for _, r := range []*store.Rotator{r, other, foreign} {
		f.update(t, func(tx store.Tx) error { return tx.InsertRotator(r) })
	}
	same(t, read(t, f, get), r)
	same(t, list("", 10), []*store.Rotator{other, r})
	same(t, list("", 1), []*store.Rotator{other})
	same(t, list("a", 10), []*store.Rotator{r})
	f.refuse(t, lockstep.ErrExists, func(tx store.Tx) error {
		taken := *foreign
		taken.Name = "b"
		return tx.InsertRotator(&taken)
	})
	f.update(t, func(tx store.Tx) error { return tx.DeleteRotator("b") })
	missing(t, f, get)
	f.refuse(t, lockstep.ErrNotFound, func(tx store.Tx) error { return tx.DeleteRotator("b") })
}

func rotatorUsers(t *testing.T, f *fixture) {
	uses := func(rotator string, custom lockstep.Rotation) func(*lockstep.Secret) {
		return func(s *lockstep.Secret) { custom.Rotator = rotator; s.Rotation = &custom }
	}
	own := f.secret(t, "own", uses("mine", lockstep.Rotation{Custom: true, Enabled: true}))
	idle := f.secret(t, "idle", uses("mine", lockstep.Rotation{Recipe: true}))
	f.secret(t, "none")
	f.secret(t, "native", uses("mine", lockstep.Rotation{Enabled: true}))
	f.secret(t, "another", uses("yours", lockstep.Rotation{Custom: true}))
	f.secret(t, "gone", uses("mine", lockstep.Rotation{Custom: true}), func(s *lockstep.Secret) { s.Gone = true })
	users := func(of lockstep.AccountID, limit int) []lockstep.ARN {
		return read(t, f, func(tx store.ReadTx) ([]lockstep.ARN, error) { return tx.RotatorUsers(of, "mine", limit) })
	}
	same(t, users(account, 10), []lockstep.ARN{idle.ARN, own.ARN})
	same(t, users(account, 1), []lockstep.ARN{idle.ARN})
	same(t, len(users("111111111111", 10)), 0)

	// Nobody but the function can look whether the target accepts a value.
	f.update(t, func(tx store.Tx) error {
		s, err := tx.LockSecret(own.ID)
		if err != nil {
			return err
		}
		s.Unverified = true
		return tx.SaveSecret(s)
	})
	same(t, len(read(t, f, func(tx store.ReadTx) ([]lockstep.SecretID, error) { return tx.UnverifiedDue(10) })), 0)
}
