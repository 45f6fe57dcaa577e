package sqlstore

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

// counter is a session that remembers the statements that it ran.
type counter struct {
	session
	ran []string
}

func (c *counter) exec(query string, args ...any) (int64, error) {
	c.ran = append(c.ran, query)
	return c.session.exec(query, args...)
}

func (c *counter) query(query string, args ...any) (rows, error) {
	c.ran = append(c.ran, query)
	return c.session.query(query, args...)
}

// counted runs fn in an Update and returns its statements.
func counted(t *testing.T, s *Store, fn func(store.Tx) error) []string {
	t.Helper()
	var c *counter
	err := s.Update(t.Context(), func(st store.Tx) error {
		c = &counter{session: st.(*tx).session}
		st.(*tx).session = c
		return fn(st)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.ran
}

// inserted is a Secret with a Version under AWSCURRENT and an open Run.
func inserted(t *testing.T, s *Store) (id lockstep.SecretID, run lockstep.RunID) {
	t.Helper()
	run = "run-1"
	counted(t, s, func(tx store.Tx) error {
		at := tx.Now()
		sec := &lockstep.Secret{Account: "000000000000", Region: "us-east-1", Name: "app", Created: at}
		if err := tx.InsertSecret(sec); err != nil {
			return err
		}
		id = sec.ID
		if err := tx.InsertVersion(&lockstep.Version{Secret: id, ID: "v1", Created: at}); err != nil {
			return err
		}
		if err := tx.SaveStages(id, lockstep.Stages{lockstep.Current: "v1"}); err != nil {
			return err
		}
		return tx.InsertRun(&lockstep.Run{ID: run, Secret: id, Version: "v1", State: lockstep.RunQueued, Created: at})
	})
	return id, run
}

// TestOnlyChangesAreWritten looks at the statements of saves under the lock,
// and that they leave what a save of everything would leave.
func TestOnlyChangesAreWritten(t *testing.T) {
	day := time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what   string
		change func(*lockstep.Secret)
		want   string // how the statement begins; empty for none
	}{
		{"nothing", func(*lockstep.Secret) {}, ""},
		{"a rotation", func(s *lockstep.Secret) {
			s.Changed, s.LastRotated, s.NextRotation, s.Unverified = day, day, day.Add(time.Hour), true
			s.Rotation = &lockstep.Rotation{Rotator: "test"}
		}, saveRotated},
		{"rotation turned on", func(s *lockstep.Secret) {
			s.Rotation = &lockstep.Rotation{Enabled: true, Rotator: "test"}
		}, saveColumns},
		{"the description", func(s *lockstep.Secret) { s.Description = "new" }, saveColumns},
		{"a mark for deletion", func(s *lockstep.Secret) { s.DeleteAt = day }, saveColumns},
		{"a tag", func(s *lockstep.Secret) { s.Tags = []lockstep.Tag{{Key: "a", Value: "b"}} }, saveColumns},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := openFile(t, filepath.Join(t.TempDir(), "lockstep.db"))
			defer s.Close()
			id, _ := inserted(t, s)
			var want *lockstep.Secret
			ran := counted(t, s, func(tx store.Tx) (err error) {
				if want, err = tx.LockSecret(id); err != nil {
					return err
				}
				c.change(want)
				return tx.SaveSecret(want)
			})
			// What lists are found by follows with whatever it is made of.
			own := slices.DeleteFunc(ran[1:], func(q string) bool { return strings.Contains(q, "secret_terms") })
			if got := strings.Join(own, "\n"); got != c.want {
				t.Errorf("ran %s", got)
			}
			if found := len(own) < len(ran)-1; found && c.want != saveColumns {
				t.Error("the terms were written without need")
			}
			err := s.View(t.Context(), func(tx store.ReadTx) error {
				got, err := tx.Secret(id)
				if err != nil {
					return err
				}
				a, _ := secretArgs(got)
				b, _ := secretArgs(want)
				for i := range a {
					if a[i] != b[i] {
						t.Errorf("column %d is %v, want %v", i, a[i], b[i])
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestMovingARun writes a Run's state without its indexed columns, and all of
// it when one of those changed.
func TestMovingARun(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "lockstep.db"))
	defer s.Close()
	id, run := inserted(t, s)
	for _, c := range []struct {
		change func(*lockstep.Run)
		want   string
	}{
		{func(r *lockstep.Run) { r.State, r.Base, r.Attempts = lockstep.RunCreated, "v1", 2 }, moveRun},
		{func(r *lockstep.Run) { r.RetryAt = r.Created.Add(time.Hour) }, saveRun},
		{func(r *lockstep.Run) { r.State, r.Finished = lockstep.RunFailed, r.Created }, saveRun},
	} {
		var want lockstep.Run
		ran := counted(t, s, func(tx store.Tx) error {
			if _, err := tx.LockSecret(id); err != nil {
				return err
			}
			r, err := tx.Run(run)
			if err != nil {
				return err
			}
			c.change(r)
			want = *r
			return tx.SaveRun(r, nil)
		})
		if got := ran[len(ran)-1]; got != c.want {
			t.Errorf("ran %s\nwant %s", got, c.want)
		}
		err := s.View(t.Context(), func(tx store.ReadTx) error {
			got, err := tx.Run(run)
			if err == nil && *got != want {
				t.Errorf("stored %+v\nwant %+v", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLabelsAreReadOnce saves labels that the transaction has read under the
// lock, twice, and reads them back.
func TestLabelsAreReadOnce(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "lockstep.db"))
	defer s.Close()
	id, _ := inserted(t, s)
	ran := counted(t, s, func(tx store.Tx) error {
		if _, err := tx.LockSecret(id); err != nil {
			return err
		}
		stages, err := tx.Stages(id)
		if err != nil {
			return err
		}
		stages[lockstep.Pending] = "v1" // the map is the caller's own
		if err := tx.SaveStages(id, stages); err != nil {
			return err
		}
		delete(stages, lockstep.Pending)
		return tx.SaveStages(id, stages)
	})
	if len(ran) != 4 {
		t.Errorf("ran %d statements, want lock, read, insert, delete:\n%s", len(ran), strings.Join(ran, "\n"))
	}
	err := s.View(t.Context(), func(tx store.ReadTx) error {
		got, err := tx.Stages(id)
		if err == nil && (len(got) != 1 || got[lockstep.Current] != "v1") {
			t.Errorf("labels %v", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
