package keys_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/hsm/file"
	"lockstep/keys"
	"lockstep/store"
)

// TestHeldWhileTheRootIsAway: reads go on for HoldFor, then fail closed, and
// come back by themselves.
func TestHeldWhileTheRootIsAway(t *testing.T) {
	s, root, c := sqlite(t), newRoot(t), &clock{}
	sealed := sealOne(t, newService(t, s, root), lockstep.StringValue(clearText))
	k, err := keys.New(t.Context(), keys.Config{Store: s, Root: root, Now: c.now, HoldFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	open := func() error { _, err := k.Open(t.Context(), sealed, place); return err }
	for _, step := range []struct {
		when string
		pass time.Duration
		away bool
		want error
	}{
		{"at first", 0, false, nil},
		{"away, within the first half", 29 * time.Minute, true, nil},
		{"away, within the second half", 30 * time.Minute, true, nil},
		{"away for too long", time.Minute + time.Second, true, lockstep.ErrSealed},
		{"back", time.Second, false, nil},
		{"unwrapped anew", 59 * time.Minute, true, nil},
		{"away for too long again", 2 * time.Minute, true, lockstep.ErrSealed},
	} {
		c.pass(step.pass)
		root.away.Store(step.away)
		if err := open(); !errors.Is(err, step.want) {
			t.Fatalf("%s: %v, want %v", step.when, err, step.want)
		}
		if err := k.Ready(t.Context()); !errors.Is(err, step.want) {
			t.Errorf("%s, ready: %v, want %v", step.when, err, step.want)
		}
	}
}

// shelf opens root key files by their names.
type shelf struct{ dir string }

func (s shelf) Open(_ context.Context, line string) (keys.OpenedRoot, error) {
	k, err := file.Open(file.Config{Path: filepath.Join(s.dir, line)})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (s shelf) Make(ctx context.Context, line string) (keys.OpenedRoot, error) {
	if k, err := s.Open(ctx, line); err == nil {
		return k, nil
	}
	k, err := file.Create(file.Config{Path: filepath.Join(s.dir, line)})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (s shelf) service(t *testing.T, st store.Store, line string) (*keys.Service, error) {
	t.Helper()
	root, err := s.Make(t.Context(), line)
	if err != nil {
		t.Fatal(err)
	}
	k, err := keys.New(t.Context(), keys.Config{Store: st, Root: root, RootLine: line, Roots: s})
	if err == nil {
		t.Cleanup(func() { _ = k.Close() })
	}
	return k, err
}

// breaking is a store whose n-th write fails.
type breaking struct {
	store.Store
	left int
}

var errBroken = errors.New("broken here")

func (b *breaking) Update(ctx context.Context, fn func(store.Tx) error) error {
	b.left--
	if b.left == 0 {
		return errBroken
	}
	return b.Store.Update(ctx, fn)
}

// TestMoveRootResumes breaks a move at each of its writes: everything stays
// readable, and whichever root key the next start has, the move comes to its
// end.
func TestMoveRootResumes(t *testing.T) {
	for n := 1; ; n++ {
		st, roots := sqlite(t), shelf{t.TempDir()}
		k, err := roots.service(t, st, "old")
		if err != nil {
			t.Fatal(err)
		}
		sealed := sealOne(t, k, lockstep.StringValue(clearText))
		for range 3 {
			if _, err := k.Create(t.Context(), keys.CreateInput{Owner: home}); err != nil {
				t.Fatal(err)
			}
		}
		b := &breaking{Store: st}
		k, err = roots.service(t, b, "old")
		if err != nil {
			t.Fatal(err)
		}
		b.left = n
		_, err = k.MigrateRoot(t.Context(), "new")
		whole := err == nil
		if !whole && !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		b.left = 0
		if _, err := k.Open(t.Context(), sealed, place); err != nil {
			t.Fatalf("broken at write %d: %v", n, err)
		}
		for _, line := range []string{"new", "old"} {
			again, err := roots.service(t, st, line)
			if err != nil {
				// Only what the record no longer or not yet knows is refused.
				if !errors.Is(err, lockstep.ErrDecrypt) || !strings.Contains(err.Error(), "start with that one") {
					t.Fatalf("broken at write %d, started with %s: %v", n, line, err)
				}
				continue
			}
			if err := again.Maintain(t.Context()); err != nil {
				t.Fatalf("broken at write %d, started with %s: %v", n, line, err)
			}
			if got, err := again.Open(t.Context(), sealed, place); err != nil || got.Reveal() != clearText {
				t.Fatalf("broken at write %d, started with %s: %v", n, line, err)
			}
			status, err := again.RootStatus(t.Context())
			if err != nil || status.Previous != nil || status.Remaining != 0 {
				t.Fatalf("broken at write %d: %+v, %v", n, status, err)
			}
			if n > 1 && status.Current.Line != "new" {
				t.Fatalf("broken at write %d: it ended at %s", n, status.Current.Line)
			}
		}
		if whole {
			break
		}
	}
}

// TestAnotherNodeFollows: a node that knows only the former root key goes on,
// and what it makes after the move is wrapped by the new one.
func TestAnotherNodeFollows(t *testing.T) {
	onBoth(t, func(t *testing.T, st store.Store) {
		roots := shelf{t.TempDir()}
		one, err := roots.service(t, st, "old")
		if err != nil {
			t.Fatal(err)
		}
		two, err := roots.service(t, st, "old")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := one.MigrateRoot(t.Context(), "new"); err != nil {
			t.Fatal(err)
		}
		made, err := two.Create(t.Context(), keys.CreateInput{Owner: home})
		if err != nil {
			t.Fatal(err)
		}
		status, err := two.RootStatus(t.Context())
		if err != nil || made.Versions[0].RootID != status.Current.ID || status.Remaining != 0 {
			t.Errorf("%+v, wrapped by %s, %v", status, made.Versions[0].RootID, err)
		}
		if _, err := one.Seal(t.Context(), home, made.ID, lockstep.StringValue("x"), place); err != nil {
			t.Errorf("the first node: %v", err)
		}
		// One that makes nothing follows by its rounds: it signs and seals
		// backups by the root key of the moment.
		if _, err := one.MigrateRoot(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		if err := two.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := two.Root().ID(), one.Root().ID(); got != want {
			t.Errorf("the second node still has root key %s, want %s", got, want)
		}
	})
}

// addSecrets stores Versions of one Secret under a key.
func addSecrets(t *testing.T, st store.Store, k *keys.Service, keyID string, n int) (lockstep.SecretID, lockstep.ARN) {
	t.Helper()
	arn := lockstep.ARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:many-AbCdEf")
	var id lockstep.SecretID
	err := st.Update(t.Context(), func(tx store.Tx) error {
		s := &lockstep.Secret{Account: home.Account, Region: home.Region, Name: "many", ARN: arn, Created: tx.Now(), Changed: tx.Now()}
		if err := tx.InsertSecret(s); err != nil {
			return err
		}
		id = s.ID
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		v := lockstep.VersionID(fmt.Sprintf("v-%d", i))
		sealed, err := k.Seal(t.Context(), home, keyID, lockstep.StringValue(string(v)), keys.Binding{ARN: string(arn), Version: string(v)})
		if err == nil {
			err = st.Update(t.Context(), func(tx store.Tx) error {
				return tx.InsertVersion(&lockstep.Version{Secret: id, ID: v, Created: tx.Now(), Sealed: sealed})
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return id, arn
}

func versions(t *testing.T, st store.Store, id lockstep.SecretID) (out []*lockstep.Version) {
	t.Helper()
	err := st.View(t.Context(), func(tx store.ReadTx) error {
		var err error
		out, err = tx.Versions(id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRewrap: after a rotation the data keys are wrapped by the new version, a
// damaged one is reported and holds up none of the others, and every value
// stays what it was, byte for byte.
func TestRewrap(t *testing.T) {
	onBoth(t, func(t *testing.T, st store.Store) {
		k := newService(t, st, newRoot(t))
		mk, err := k.Create(t.Context(), keys.CreateInput{Owner: home})
		if err != nil {
			t.Fatal(err)
		}
		ref := keys.Ref{Owner: home, ID: mk.ID}
		id, arn := addSecrets(t, st, k, mk.ID, 5)
		before := versions(t, st, id)
		damaged := *before[1]
		sealed := *damaged.Sealed
		sealed.WrappedKey = append([]byte(nil), sealed.WrappedKey...)
		sealed.WrappedKey[9] ^= 1
		damaged.Sealed = &sealed
		if err := st.Update(t.Context(), func(tx store.Tx) error { return tx.SaveVersion(&damaged) }); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Rotate(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		err = k.Maintain(t.Context())
		if !errors.Is(err, lockstep.ErrDecrypt) || !strings.Contains(err.Error(), "v-1") || !strings.Contains(err.Error(), string(arn)) {
			t.Errorf("the damaged one is not named: %v", err)
		}
		for i, v := range versions(t, st, id) {
			want := 2
			if i == 1 {
				want = 1
			}
			if v.Sealed.KeyVersion != want || string(v.Sealed.Ciphertext) != string(before[i].Sealed.Ciphertext) {
				t.Errorf("%s: key version %d, want %d, and the value untouched", v.ID, v.Sealed.KeyVersion, want)
			}
			got, err := k.Open(t.Context(), v.Sealed, keys.Binding{ARN: string(arn), Version: string(v.ID)})
			if i != 1 && (err != nil || got.Reveal() != string(v.ID)) || i == 1 && !errors.Is(err, lockstep.ErrDecrypt) {
				t.Errorf("%s: %v", v.ID, err)
			}
		}
		// What was read before the re-wrapping opens as well.
		if _, err := k.Open(t.Context(), before[0].Sealed, keys.Binding{ARN: string(arn), Version: string(before[0].ID)}); err != nil {
			t.Errorf("under the former version: %v", err)
		}
	})
}

// TestScheduledRotation turns the store's row back in time.
func TestScheduledRotation(t *testing.T) {
	st := sqlite(t)
	k := newService(t, st, newRoot(t))
	mk, err := k.Create(t.Context(), keys.CreateInput{Owner: home})
	if err != nil {
		t.Fatal(err)
	}
	ref := keys.Ref{Owner: home, ID: mk.ID}
	if err := k.SetRotation(t.Context(), ref, 90); err != nil {
		t.Fatal(err)
	}
	overdue := func() {
		t.Helper()
		err := st.Update(t.Context(), func(tx store.Tx) error {
			row, err := tx.LockMasterKey(mk.ID)
			if err != nil {
				return err
			}
			row.NextRotation = tx.Now().Add(-time.Second)
			return tx.SaveMasterKey(row)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	now := func() *store.MasterKey {
		t.Helper()
		if err := k.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		row, err := k.Find(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	if got := now(); len(got.Versions) != 1 {
		t.Fatalf("rotated %d times before it was due", len(got.Versions)-1)
	}
	overdue()
	for range 2 { // once, however often it is looked at
		if got := now(); len(got.Versions) != 2 || time.Until(got.NextRotation) < 89*24*time.Hour {
			t.Fatalf("%d versions, next %s", len(got.Versions), got.NextRotation)
		}
	}
	if err := k.Disable(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	overdue()
	if got := now(); len(got.Versions) != 2 || got.NextRotation.Before(time.Now()) {
		t.Errorf("a disabled key: %d versions, next %s", len(got.Versions), got.NextRotation)
	}
}

// FuzzKeyOf takes any bytes apart as a ciphertext.
func FuzzKeyOf(f *testing.F) {
	id := "00000000-0000-4000-8000-000000000000"
	f.Add(append([]byte{0xc1, byte(len(id))}, id+"\x00\x00\x00\x01\x01nonce-nonce-tag-tag-tag-tag-"...))
	f.Add([]byte{0xc1, 64})
	f.Fuzz(func(t *testing.T, blob []byte) {
		key, err := keys.KeyOf(blob)
		if err != nil && !errors.Is(err, lockstep.ErrDecrypt) || err == nil && (key == "" || len(key) > 64) {
			t.Fatalf("%x: %q, %v", blob, key, err)
		}
	})
}
