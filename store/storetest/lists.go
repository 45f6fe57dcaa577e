package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

var listTests = map[string]func(*testing.T, *fixture){
	"every order, both ways, in pages": listOrders,
	"what is left out":                 listFilters,
	"by index terms":                   listTerms,
}

func listOrders(t *testing.T, f *fixture) {
	at := f.now(t).Truncate(time.Hour)
	// The names sort by their bytes; several have the same times.
	for i, name := range []string{"b", "A", "a/b", "a", "a-b", "B", "ab"} {
		f.secret(t, name, func(s *lockstep.Secret) {
			s.Created, s.Changed = at.Add(time.Duration(i/3)*time.Hour), at.Add(-time.Duration(i/2)*time.Hour)
			s.Accessed = at.AddDate(0, 0, i%2)
		})
	}
	for _, c := range []struct {
		sort store.SecretSort
		want []string
	}{
		{store.SortCreated, []string{"b", "A", "a/b", "a", "a-b", "B", "ab"}},
		{store.SortChanged, []string{"ab", "a-b", "B", "a/b", "a", "b", "A"}},
		{store.SortAccessed, []string{"b", "a/b", "a-b", "ab", "A", "a", "B"}},
		{store.SortName, []string{"A", "B", "a", "a-b", "a/b", "ab", "b"}},
	} {
		for _, descending := range []bool{false, true} {
			want := slices.Clone(c.want)
			if descending {
				slices.Reverse(want)
			}
			q := store.SecretQuery{Owner: owner, Sort: c.sort, Descending: descending}
			t.Run(fmt.Sprintf("%q descending %t", c.sort, descending), func(t *testing.T) {
				same(t, names(t, f, q), want)
				for size := 1; size <= 3; size++ {
					q.Limit = size
					same(t, pages(t, f, q), want)
				}
			})
		}
	}
}

func names(t *testing.T, f *fixture, q store.SecretQuery) (out []string) {
	t.Helper()
	for _, s := range read(t, f, func(tx store.ReadTx) ([]*lockstep.Secret, error) { return tx.ListSecrets(q) }) {
		out = append(out, s.Name)
	}
	return out
}

// pages reads page after page until one is empty.
func pages(t *testing.T, f *fixture, q store.SecretQuery) (out []string) {
	t.Helper()
	for {
		page := read(t, f, func(tx store.ReadTx) ([]*lockstep.Secret, error) { return tx.ListSecrets(q) })
		if len(page) == 0 {
			return out
		}
		if len(page) > q.Limit {
			t.Fatalf("page of %d, limit %d", len(page), q.Limit)
		}
		for _, s := range page {
			out = append(out, s.Name)
		}
		q.After = page[len(page)-1]
	}
}

func listFilters(t *testing.T, f *fixture) {
	f.secret(t, "prod/a")
	f.secret(t, "prod/b")
	f.secret(t, "prod_c")
	f.secret(t, "Prod/d")
	f.secret(t, "prod/marked", func(s *lockstep.Secret) { s.DeleteAt = s.Created.Add(time.Hour) })
	f.secret(t, "prod/gone", func(s *lockstep.Secret) { s.Gone = true })
	other := newSecret(t, "prod/other", f.now(t))
	other.Account = "111111111111"
	f.update(t, func(tx store.Tx) error { return tx.InsertSecret(other) })

	byName := store.SecretQuery{Owner: owner, Sort: store.SortName}
	same(t, names(t, f, byName), []string{"Prod/d", "prod/a", "prod/b", "prod_c"})
	byName.IncludeDeleted = true
	same(t, names(t, f, byName), []string{"Prod/d", "prod/a", "prod/b", "prod/marked", "prod_c"})
	byName.NamePrefix = "prod/"
	same(t, names(t, f, byName), []string{"prod/a", "prod/b", "prod/marked"})
	byName.NamePrefix = "prod%"
	same(t, names(t, f, byName), nil)
}

// listTerms finds by index terms, whatever order is asked for and however the
// Secrets came to have them.
func listTerms(t *testing.T, f *fixture) {
	tagged := func(value string) func(*lockstep.Secret) {
		return func(s *lockstep.Secret) {
			s.Tags = []lockstep.Tag{{Key: "stage", Value: value}, {Key: "stages", Value: value + "s"}}
			s.Description = "of " + value
		}
	}
	f.secret(t, "a/one", tagged("prod"))
	f.secret(t, "a/two", tagged("test"))
	f.secret(t, "b/three", tagged("prod"))
	f.secret(t, "b/marked", tagged("prod"), func(s *lockstep.Secret) { s.DeleteAt = s.Created.Add(time.Hour) })
	f.secret(t, "b/gone", tagged("prod"), func(s *lockstep.Secret) { s.Gone = true })
	f.secret(t, "primary", func(s *lockstep.Secret) { s.PrimaryRegion = region })
	renamed := f.secret(t, "late", tagged("test"))
	f.update(t, func(tx store.Tx) error {
		s, err := tx.LockSecret(renamed.ID)
		if err != nil {
			return err
		}
		s.Tags = []lockstep.Tag{{Key: "stage", Value: "prod"}}
		return tx.SaveSecret(s)
	})
	with := func(kind store.TermKind, prefix string) []store.TermRange {
		return []store.TermRange{store.TermsWith(kind, prefix)}
	}
	for _, c := range []struct {
		name  string
		terms [][]store.TermRange
		want  []string
	}{
		{"a tag's value", [][]store.TermRange{with(store.TermTagValue, "prod")}, []string{"a/one", "b/three", "late"}},
		{"a tag's key", [][]store.TermRange{with(store.TermTagKey, "stages")}, []string{"a/one", "a/two", "b/three"}},
		{"a name", [][]store.TermRange{with(store.TermName, "a/")}, []string{"a/one", "a/two"}},
		{"not a name", [][]store.TermRange{store.TermsWithout(store.TermName, "a/")}, []string{"b/three", "late", "primary"}},
		{"a word", [][]store.TermRange{with(store.TermWord, "tes")}, []string{"a/two", "late"}},
		{"two of them", [][]store.TermRange{with(store.TermTagValue, "prod"), with(store.TermName, "b")}, []string{"b/three"}},
		{"one or the other", [][]store.TermRange{append(with(store.TermName, "b"), with(store.TermName, "late")...)}, []string{"b/three", "late"}},
		{"the primary region", [][]store.TermRange{with(store.TermPrimary, "us-")}, []string{"primary"}},
		{"nothing", [][]store.TermRange{with(store.TermName, "c")}, nil},
		{"no ranges", [][]store.TermRange{{}}, nil},
		{"everything", [][]store.TermRange{with(store.TermName, "")}, []string{"a/one", "a/two", "b/three", "late", "primary"}},
	} {
		for _, sort := range []store.SecretSort{store.SortName, store.SortCreated, store.SortChanged, store.SortAccessed} {
			q := store.SecretQuery{Owner: owner, Sort: sort, Terms: c.terms}
			t.Run(fmt.Sprintf("%s, by %q", c.name, sort), func(t *testing.T) {
				all := names(t, f, q)
				slices.Sort(all)
				same(t, all, c.want)
				for q.Limit = 1; q.Limit <= 2; q.Limit++ {
					paged := pages(t, f, q)
					slices.Sort(paged)
					same(t, paged, c.want)
				}
				q.Limit, q.Descending = 2, true
				back := pages(t, f, q)
				slices.Sort(back)
				same(t, back, c.want)
			})
		}
	}
}
