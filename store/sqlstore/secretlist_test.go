package sqlstore

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"lockstep"
	"lockstep/internal/pgtest"
	"lockstep/store"
)

// TestWaysOfListing: a walk in the order asked for and a search by each
// condition find the same, whichever ListSecrets takes.
func TestWaysOfListing(t *testing.T) {
	for name, dsn := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "lockstep.db") },
		"postgres": func(t *testing.T) string { return pgtest.Shared(t).DatabaseDSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), Config{DSN: dsn(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			err = s.Update(t.Context(), func(st store.Tx) error {
				own, ok := st.(*tx)
				if !ok {
					t.Fatalf("got a %T", st)
				}
				return waysAgree(t, own)
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func waysAgree(t *testing.T, own *tx) error {
	o := store.Owner{Account: "a", Region: "r"}
	for i := range 30 {
		s := &lockstep.Secret{Account: o.Account, Region: o.Region, Name: fmt.Sprintf("n%02d", (i*7)%30), ARN: "arn", Created: own.Now(), Changed: own.Now()}
		s.Tags = []lockstep.Tag{{Key: "third", Value: fmt.Sprint("v", i%3)}, {Key: "thirds", Value: fmt.Sprint("v", i%3)}, {Key: "late", Value: fmt.Sprint("l", i/15)}}
		if err := own.InsertSecret(s); err != nil {
			return err
		}
	}
	with := func(kind store.TermKind, prefix string) []store.TermRange {
		return []store.TermRange{store.TermsWith(kind, prefix)}
	}
	// Names have too many terms to go along each; all tag values are five, two of
	// them of each Secret.
	shapes := map[string][][]store.TermRange{
		"one term each":  {with(store.TermTagValue, "v1"), with(store.TermTagValue, "l1")},
		"several terms":  {with(store.TermName, "n"), with(store.TermTagValue, "")},
		"too many terms": {with(store.TermName, "n"), with(store.TermName, "n1")},
	}
	for shape, terms := range shapes {
		if err := waysOf(t, own, shape, store.SecretQuery{Owner: o, Limit: 4, Terms: terms}); err != nil {
			return err
		}
	}
	return nil
}

// waysOf compares the ways of one query in each order, page by page.
func waysOf(t *testing.T, own *tx, shape string, q store.SecretQuery) error {
	t.Helper()
	for _, sort := range []store.SecretSort{store.SortCreated, store.SortName, store.SortChanged, store.SortAccessed} {
		for _, descending := range []bool{false, true} {
			q.Sort, q.Descending, q.After = sort, descending, nil
			for range 3 { // pages
				want, err := own.walk(q, 0)
				if err != nil {
					return err
				}
				for what, list := range map[string]func() ([]*lockstep.Secret, error){
					"search by the first":   func() ([]*lockstep.Secret, error) { return own.search(q, lead{at: 0}) },
					"search by the second":  func() ([]*lockstep.Secret, error) { return own.search(q, lead{at: 1}) },
					"along their terms":     func() ([]*lockstep.Secret, error) { return own.broadSearch(q) },
					"a walk that is long":   func() ([]*lockstep.Secret, error) { return own.walk(q, 100) },
					"whichever is the best": func() ([]*lockstep.Secret, error) { return own.ListSecrets(q) },
				} {
					got, err := list()
					if err != nil {
						return err
					}
					if !slices.EqualFunc(got, want, func(a, b *lockstep.Secret) bool { return a.ID == b.ID }) {
						t.Errorf("%s: %s, by %q, descending %t: %d found, want %d", shape, what, sort, descending, len(got), len(want))
					}
				}
				if len(want) == 0 {
					break
				}
				q.After = want[len(want)-1]
			}
			if short, err := own.walk(q, 1); err != nil || len(short) > 1 {
				t.Errorf("a walk for one found %d: %v", len(short), err)
			}
		}
	}
	return nil
}
