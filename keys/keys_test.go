package keys_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep"
	"lockstep/hsm/file"
	"lockstep/internal/migratedtest"
	"lockstep/keys"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

var (
	home  = store.Owner{Account: "000000000000", Region: "us-east-1"}
	other = store.Owner{Account: "111111111111", Region: "us-east-1"}
	place = keys.Binding{ARN: "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-AbCdEf", Version: "v1"}
)

const clearText = "correct horse battery staple"

// rootKey is a real root key that can be taken away and counts its trips.
type rootKey struct {
	*file.Key
	trips atomic.Int64
	away  atomic.Bool
}

func (r *rootKey) Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	r.trips.Add(1)
	if r.away.Load() {
		return nil, lockstep.ErrSealed
	}
	return r.Key.Unwrap(ctx, wrapped, associated)
}

func newRoot(t *testing.T) *rootKey {
	t.Helper()
	k, err := file.Create(file.Config{Path: filepath.Join(t.TempDir(), "root.key")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return &rootKey{Key: k}
}

func openStore(t *testing.T, dsn string) store.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sqlite(t *testing.T) store.Store {
	return openStore(t, migratedtest.SQLite(t))
}

// onBoth runs a test on each kind of store.
func onBoth(t *testing.T, test func(*testing.T, store.Store)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqlite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, openStore(t, migratedtest.Postgres(t))) })
}

// clock is a clock that is set by hand.
type clock struct{ nanos atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.nanos.Load()) }
func (c *clock) pass(d time.Duration) { c.nanos.Add(int64(d)) }
func newService(t *testing.T, s store.Store, root keys.RootKey) *keys.Service {
	t.Helper()
	return newTimed(t, s, root, nil)
}

func newTimed(t *testing.T, s store.Store, root keys.RootKey, now func() time.Time) *keys.Service {
	t.Helper()
	k, err := keys.New(t.Context(), keys.Config{Store: s, Root: root, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sealOne(t *testing.T, k *keys.Service, v lockstep.Value) *lockstep.Sealed {
	t.Helper()
	sealed, err := k.Seal(t.Context(), home, "", v, place)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// setState changes the state of a master key in the store.
func setState(t *testing.T, s store.Store, id string, state store.KeyState) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		k, err := tx.MasterKey(id)
		if err != nil {
			return err
		}
		k.State = state
		return tx.SaveMasterKey(k)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSealAndOpen(t *testing.T) {
	onBoth(t, func(t *testing.T, s store.Store) {
		root := newRoot(t)
		k := newService(t, s, root)
		for _, v := range []lockstep.Value{
			lockstep.StringValue(clearText), lockstep.BinaryValue([]byte{0, 1, 2, 0xff}),
			lockstep.StringValue("x"), lockstep.StringValue(strings.Repeat("x", lockstep.MaxValueBytes)),
		} {
			sealed := sealOne(t, k, v)
			again := newService(t, s, root) // after a restart
			for _, service := range []*keys.Service{k, again} {
				got, err := service.Open(t.Context(), sealed, place)
				if err != nil || !got.Equal(v) {
					t.Errorf("%d bytes do not come back: %v", len(v.Bytes()), err)
				}
			}
			if strings.Contains(string(sealed.Ciphertext)+string(sealed.WrappedKey)+string(sealed.Digest), clearText) {
				t.Error("the sealed form shows the value")
			}
		}
		a, b := sealOne(t, k, lockstep.StringValue("x")), sealOne(t, k, lockstep.StringValue("x"))
		if string(a.Ciphertext) == string(b.Ciphertext) || string(a.WrappedKey) == string(b.WrappedKey) {
			t.Error("the same value sealed twice looks the same")
		}
	})
}

// TestEveryFlippedByteIsRefused changes each byte of each sealed field.
func TestEveryFlippedByteIsRefused(t *testing.T) {
	k := newService(t, sqlite(t), newRoot(t))
	good := sealOne(t, k, lockstep.StringValue(clearText))
	fields := map[string]func(*lockstep.Sealed) *[]byte{
		"wrapped key": func(s *lockstep.Sealed) *[]byte { return &s.WrappedKey },
		"ciphertext":  func(s *lockstep.Sealed) *[]byte { return &s.Ciphertext },
		"digest":      func(s *lockstep.Sealed) *[]byte { return &s.Digest },
	}
	for name, field := range fields {
		for i := range *field(good) {
			for _, bit := range []byte{0x01, 0x80} {
				bad := *good
				changed := append([]byte(nil), *field(&bad)...)
				changed[i] ^= bit
				*field(&bad) = changed
				if _, err := k.Open(t.Context(), &bad, place); !errors.Is(err, lockstep.ErrDecrypt) {
					t.Fatalf("%s, byte %d changed: got %v, want ErrDecrypt", name, i, err)
				}
			}
		}
		for n := range len(*field(good)) {
			bad := *good
			*field(&bad) = (*field(good))[:n]
			if _, err := k.Open(t.Context(), &bad, place); !errors.Is(err, lockstep.ErrDecrypt) {
				t.Fatalf("%s cut to %d bytes: got %v, want ErrDecrypt", name, n, err)
			}
		}
	}
	if _, err := k.Open(t.Context(), good, place); err != nil {
		t.Fatalf("the untouched form must still open: %v", err)
	}
}

func TestMovedRowsAreRefused(t *testing.T) {
	k := newService(t, sqlite(t), newRoot(t))
	mine := sealOne(t, k, lockstep.StringValue(clearText))
	theirs, err := k.Seal(t.Context(), other, "", lockstep.StringValue("theirs"), place)
	if err != nil {
		t.Fatal(err)
	}
	same := sealOne(t, k, lockstep.StringValue("another value of the same place"))
	edited := func(edit func(*lockstep.Sealed)) *lockstep.Sealed {
		bad := *mine
		edit(&bad)
		return &bad
	}
	for rule, c := range map[string]struct {
		sealed *lockstep.Sealed
		at     keys.Binding
	}{
		"another secret's row":        {mine, keys.Binding{ARN: place.ARN + "x", Version: place.Version}},
		"another version's row":       {mine, keys.Binding{ARN: place.ARN, Version: "v2"}},
		"a cut between ARN and id":    {mine, keys.Binding{ARN: place.ARN + "v", Version: "1"}},
		"the data key of another":     {edited(func(s *lockstep.Sealed) { s.WrappedKey = same.WrappedKey }), place},
		"the ciphertext of another":   {edited(func(s *lockstep.Sealed) { s.Ciphertext = same.Ciphertext }), place},
		"the digest of another":       {edited(func(s *lockstep.Sealed) { s.Digest = same.Digest }), place},
		"text made binary":            {edited(func(s *lockstep.Sealed) { s.Binary = true }), place},
		"another master key":          {edited(func(s *lockstep.Sealed) { s.KeyID = theirs.KeyID }), place},
		"a version that is not there": {edited(func(s *lockstep.Sealed) { s.KeyVersion = 2 }), place},
	} {
		if _, err := k.Open(t.Context(), c.sealed, c.at); !errors.Is(err, lockstep.ErrDecrypt) {
			t.Errorf("%s: got %v, want ErrDecrypt", rule, err)
		}
	}
}

func TestSwappedMasterKeyRowsAreRefused(t *testing.T) {
	s, root := sqlite(t), newRoot(t)
	k := newService(t, s, root)
	mine := sealOne(t, k, lockstep.StringValue(clearText))
	theirs, err := k.Seal(t.Context(), other, "", lockstep.StringValue("theirs"), place)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx store.Tx) error {
		a, err := tx.MasterKey(mine.KeyID)
		if err != nil {
			return err
		}
		b, err := tx.MasterKey(theirs.KeyID)
		if err != nil {
			return err
		}
		a.Versions[0].Wrapped = b.Versions[0].Wrapped
		return tx.SaveMasterKey(a)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newService(t, s, root).Open(t.Context(), mine, place); !errors.Is(err, lockstep.ErrDecrypt) {
		t.Errorf("got %v, want ErrDecrypt", err)
	}
}

func TestWrongRootKey(t *testing.T) {
	s := sqlite(t)
	right, wrong := newRoot(t), newRoot(t)
	newService(t, s, right)
	_, err := keys.New(t.Context(), keys.Config{Store: s, Root: wrong})
	if !errors.Is(err, lockstep.ErrDecrypt) || !strings.Contains(err.Error(), right.ID()) || !strings.Contains(err.Error(), wrong.ID()) {
		t.Errorf("got %v; want ErrDecrypt that names both root keys", err)
	}
}

func TestInitialised(t *testing.T) {
	onBoth(t, func(t *testing.T, s store.Store) {
		root := newRoot(t)
		for _, want := range []bool{false, true} {
			got, err := keys.Initialised(t.Context(), s)
			if err != nil || got != want {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
			newService(t, s, root)
		}
	})
}

// TestDisabledKeyStops disables a key behind the Service's back, as another
// node would: within CacheFor neither reads nor writes go on.
func TestDisabledKeyStops(t *testing.T) {
	for _, state := range []store.KeyState{store.KeyDisabled, store.KeyPendingDeletion} {
		t.Run(string(state), func(t *testing.T) {
			s, root, c := sqlite(t), newRoot(t), &clock{}
			k := newTimed(t, s, root, c.now)
			sealed := sealOne(t, k, lockstep.StringValue(clearText))
			use := map[string]func() error{
				"open": func() error { _, err := k.Open(t.Context(), sealed, place); return err },
				"seal by default": func() error {
					_, err := k.Seal(t.Context(), home, "", lockstep.StringValue("x"), place)
					return err
				},
				"seal by id": func() error {
					_, err := k.Seal(t.Context(), home, sealed.KeyID, lockstep.StringValue("x"), place)
					return err
				},
				"ask": func() error { return k.CanSeal(t.Context(), home, "") },
			}
			check := func(when string, want error) {
				t.Helper()
				for name, fn := range use {
					if err := fn(); !errors.Is(err, want) {
						t.Errorf("%s, %s: got %v, want %v", when, name, err, want)
					}
				}
			}
			check("enabled", nil)
			setState(t, s, sealed.KeyID, state)
			c.pass(3*time.Second + 1)
			check("after CacheFor", lockstep.ErrState)
			setState(t, s, sealed.KeyID, store.KeyEnabled)
			c.pass(3*time.Second + 1)
			check("enabled again", nil)
		})
	}
}

// TestReadsDoNotCostATrip counts the calls to the root key.
func TestReadsDoNotCostATrip(t *testing.T) {
	s, root, c := sqlite(t), newRoot(t), &clock{}
	sealed := sealOne(t, newService(t, s, root), lockstep.StringValue(clearText))
	k := newTimed(t, s, root, c.now)
	before := root.trips.Load()
	for range 20 {
		c.pass(time.Second)
		if _, err := k.Open(t.Context(), sealed, place); err != nil {
			t.Fatal(err)
		}
	}
	if got := root.trips.Load() - before; got != 1 {
		t.Errorf("20 reads cost %d trips to the root key, want 1", got)
	}
}

func TestRootKeyAway(t *testing.T) {
	s, root := sqlite(t), newRoot(t)
	sealed := sealOne(t, newService(t, s, root), lockstep.StringValue(clearText))
	k := newService(t, s, root)
	root.away.Store(true)
	if _, err := k.Open(t.Context(), sealed, place); !errors.Is(err, lockstep.ErrSealed) {
		t.Errorf("open: got %v, want ErrSealed", err)
	}
	if _, err := keys.New(t.Context(), keys.Config{Store: s, Root: root}); !errors.Is(err, lockstep.ErrSealed) {
		t.Errorf("start: got %v, want ErrSealed", err)
	}
	root.away.Store(false)
	if _, err := k.Open(t.Context(), sealed, place); err != nil {
		t.Errorf("back again: %v", err)
	}
}

func TestKeysAreTheirOwners(t *testing.T) {
	k := newService(t, sqlite(t), newRoot(t))
	mine := sealOne(t, k, lockstep.StringValue(clearText)).KeyID
	for rule, c := range map[string]struct {
		owner store.Owner
		key   string
		want  error
	}{
		"the owner's":              {home, mine, nil},
		"another account's":        {other, mine, lockstep.ErrNotFound},
		"another region's":         {store.Owner{Account: home.Account, Region: "eu-west-1"}, mine, lockstep.ErrNotFound},
		"one that does not exist":  {home, "no-such-key", lockstep.ErrNotFound},
		"each has its own default": {other, "", nil},
	} {
		sealed, err := k.Seal(t.Context(), c.owner, c.key, lockstep.StringValue("x"), place)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", rule, err, c.want)
		}
		if err := k.CanSeal(t.Context(), c.owner, c.key); !errors.Is(err, c.want) {
			t.Errorf("%s, asked: got %v, want %v", rule, err, c.want)
		}
		if c.key == "" && sealed.KeyID == mine {
			t.Errorf("%s: both use key %s", rule, mine)
		}
	}
}

// TestNodesAgree starts many nodes at once on an empty store: they must share
// one digest key and one default key.
func TestNodesAgree(t *testing.T) {
	onBoth(t, func(t *testing.T, s store.Store) {
		const nodes = 8
		root := newRoot(t)
		value := lockstep.StringValue(clearText)
		var wg sync.WaitGroup
		services, sealed, errs := make([]*keys.Service, nodes), make([]*lockstep.Sealed, nodes), make([]error, nodes)
		for i := range nodes {
			wg.Go(func() {
				if services[i], errs[i] = keys.New(t.Context(), keys.Config{Store: s, Root: root}); errs[i] == nil {
					sealed[i], errs[i] = services[i].Seal(t.Context(), home, "", value, place)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for i, k := range services {
			if string(k.Digest(value)) != string(services[0].Digest(value)) {
				t.Errorf("node %d has another digest key", i)
			}
			if sealed[i].KeyID != sealed[0].KeyID {
				t.Errorf("node %d made another default key", i)
			}
			for j := range sealed {
				if got, err := k.Open(t.Context(), sealed[j], place); err != nil || !got.Equal(value) {
					t.Errorf("node %d can't open what node %d sealed: %v", i, j, err)
				}
			}
		}
	})
}

func TestDigests(t *testing.T) {
	s, root := sqlite(t), newRoot(t)
	k := newService(t, s, root)
	text, binary := lockstep.StringValue("a"), lockstep.BinaryValue([]byte("a"))
	seen := map[string]string{}
	for name, d := range map[string][]byte{
		"text": k.Digest(text), "binary": k.Digest(binary), "other text": k.Digest(lockstep.StringValue("b")),
		"empty": k.Digest(lockstep.Value{}), "account": []byte(k.AccountKey("a")), "purpose": k.Derive("a"), "purpose sa": k.Derive("s\x00a"),
	} {
		if was, taken := seen[string(d)]; taken {
			t.Errorf("%s and %s have the same digest", name, was)
		}
		seen[string(d)] = name
	}
	again := newService(t, s, root)
	if string(again.Digest(text)) != string(k.Digest(text)) || again.AccountKey("a") != k.AccountKey("a") {
		t.Error("a restart changes the digests")
	}
	elsewhere := newService(t, sqlite(t), root)
	if string(elsewhere.Digest(text)) == string(k.Digest(text)) {
		t.Error("two installations have the same digests")
	}
}

// TestErrorsShowNoValue seals a marker and looks for it in what goes wrong.
func TestErrorsShowNoValue(t *testing.T) {
	k := newService(t, sqlite(t), newRoot(t))
	sealed := sealOne(t, k, lockstep.StringValue(clearText))
	sealed.Ciphertext[20] ^= 1
	_, err := k.Open(t.Context(), sealed, place)
	if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, clearText) {
		t.Error(text)
	}
}
