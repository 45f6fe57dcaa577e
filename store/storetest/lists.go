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
