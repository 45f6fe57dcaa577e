package sqlstore_test

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	"lockstep"
	"lockstep/internal/migratedtest"
	"lockstep/store"
	"lockstep/store/sqlstore"
)

func dump(t *testing.T, s *sqlstore.Store) (rows []sqlstore.Row) {
	t.Helper()
	err := s.Dump(t.Context(), func(r sqlstore.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func load(t *testing.T, s *sqlstore.Store, rows []sqlstore.Row) error {
	t.Helper()
	return s.Load(t.Context(), func() (sqlstore.Row, error) {
		if len(rows) == 0 {
			return sqlstore.Row{}, io.EOF
		}
		r := rows[0]
		rows = rows[1:]
		return r, nil
	})
}

func update(t *testing.T, s *sqlstore.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// TestDumpAndLoad moves a store between the kinds of database, in each
// direction, and compares what comes out.
func TestDumpAndLoad(t *testing.T) {
	kinds := map[string]func() *sqlstore.Store{
		"sqlite": func() *sqlstore.Store { return opened(t, sqlstore.Config{DSN: sqliteDSN(t)}) },
		"postgres": func() *sqlstore.Store {
			return opened(t, sqlstore.Config{DSN: migratedtest.Postgres(t), Connections: 4})
		},
	}
	for from, openFrom := range kinds {
		for to, openTo := range kinds {
			t.Run(from+" to "+to, func(t *testing.T) {
				source, target := openFrom(), openTo()
				plain, rotated, gone := variety(t, source)
				rows := dump(t, source)
				if err := load(t, target, rows); err != nil {
					t.Fatal(err)
				}
				if got := dump(t, target); len(got) != len(rows)+1 { // the pause
					t.Errorf("%d rows, want %d", len(got), len(rows)+1)
				}
				wantPaused(t, target, rotated)
				for _, id := range []lockstep.SecretID{plain, rotated} {
					want, got := secretOf(t, source, id), secretOf(t, target, id)
					if got.Unverified != (id == rotated) {
						t.Errorf("%s: unverified is %v", got.Name, got.Unverified)
					}
					got.Unverified = want.Unverified
					if !reflect.DeepEqual(got, want) {
						t.Errorf("got %+v\nwant %+v", got, want)
					}
				}
				// A number that was given once is never given again.
				next := &lockstep.Secret{Account: "000000000000", Region: "us-east-1", Name: "next", ARN: "arn:next"}
				update(t, target, func(tx store.Tx) error { return tx.InsertSecret(next) })
				if next.ID <= gone {
					t.Errorf("number %d was given again", next.ID)
				}
				if err := load(t, target, rows); !errors.Is(err, lockstep.ErrExists) {
					t.Errorf("a second load: %v", err)
				}
				// What breaks in the middle leaves nothing.
				empty := openTo()
				bad := append(slices.Clone(rows[:len(rows)/2]), sqlstore.Row{Table: "unheard_of"})
				if err := load(t, empty, bad); !errors.Is(err, lockstep.ErrInvalid) {
					t.Errorf("a table of the future: %v", err)
				}
				if err := load(t, empty, rows); err != nil {
					t.Errorf("after a failed load: %v", err)
				}
			})
		}
	}
}

// wantPaused looks that rotations are paused until the Secret is verified.
func wantPaused(t *testing.T, s *sqlstore.Store, waits lockstep.SecretID) {
	t.Helper()
	owner := store.Owner{Account: "000000000000", Region: "us-east-1"}
	look := func() (holds []*lockstep.Hold, done []store.Owner, broken []store.Violation) {
		err := s.View(t.Context(), func(tx store.ReadTx) (err error) {
			holds, err = tx.Holds(owner)
			if err == nil {
				done, err = tx.RestoresVerified()
			}
			if err == nil {
				broken, _, err = tx.Violations(0, 10_000)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return holds, done, slices.DeleteFunc(broken, func(v store.Violation) bool { return v.Rule != "restored" })
	}
	verified := func(is bool) {
		update(t, s, func(tx store.Tx) error {
			secret, err := tx.LockSecret(waits)
			if err != nil {
				return err
			}
			secret.Unverified = !is
			return tx.SaveSecret(secret)
		})
	}
	holds, done, broken := look()
	if len(holds) != 1 || holds[0].Kind != lockstep.HoldPause || len(done) > 0 || len(broken) != 1 || broken[0].ARN != "arn:rotated" {
		t.Errorf("after the load: holds %v, verified %v, named %v", holds, done, broken)
	}
	verified(true)
	if _, done, broken := look(); !slices.Equal(done, []store.Owner{owner}) || len(broken) > 0 {
		t.Errorf("once it is verified: %v, named %v", done, broken)
	}
	verified(false)
}

func secretOf(t *testing.T, s *sqlstore.Store, id lockstep.SecretID) (out *lockstep.Secret) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.ReadTx) error {
		var err error
		out, err = tx.Secret(id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// variety stores something of everything that a dump may trip over: binary and
// empty values, JSON, booleans, numbers that are no longer there.
func variety(t *testing.T, s *sqlstore.Store) (plain, rotated, gone lockstep.SecretID) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		for _, sec := range []*lockstep.Secret{
			{Name: "plain", Tags: []lockstep.Tag{{Key: "ключ", Value: `"quoted" and 'so'`}}},
			{Name: "rotated", Rotation: &lockstep.Rotation{Enabled: true, Rotator: "postgres"}},
			{Name: "gone"},
		} {
			sec.Account, sec.Region, sec.ARN, sec.Created, sec.Changed = "000000000000", "us-east-1", lockstep.ARN("arn:"+sec.Name), tx.Now(), tx.Now()
			if err := tx.InsertSecret(sec); err != nil {
				return err
			}
			sealed := &lockstep.Sealed{KeyID: "k", KeyVersion: 1, WrappedKey: []byte{0, 0xff, '\n'}, Ciphertext: []byte{}, Binary: true, Digest: []byte("d")}
			for _, v := range []*lockstep.Version{{ID: "v1", Sealed: sealed, MaybeLive: true}, {ID: "v2"}} {
				v.Secret, v.Created = sec.ID, tx.Now()
				if err := tx.InsertVersion(v); err != nil {
					return err
				}
			}
			if err := tx.SaveStages(sec.ID, lockstep.Stages{lockstep.Current: "v1"}); err != nil {
				return err
			}
			switch sec.Name {
			case "plain":
				plain = sec.ID
			case "rotated":
				rotated = sec.ID
			default:
				gone = sec.ID
			}
		}
		if err := tx.SaveSetting("bytes", []byte{0, 1, 2}); err != nil {
			return err
		}
		return tx.InsertMasterKey(&store.MasterKey{ID: "k", State: store.KeyEnabled, Created: tx.Now(),
			Versions: []store.KeyVersion{{Number: 1, RootID: "r", Wrapped: []byte{1}, Created: tx.Now()}}})
	})
	update(t, s, func(tx store.Tx) error { return tx.PurgeSecret(gone) })
	return plain, rotated, gone
}
