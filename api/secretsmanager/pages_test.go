package secretsmanager

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"lockstep"
	"lockstep/store"
)

func newTestPages(t testing.TB, key string) *pages {
	t.Helper()
	p, err := newPages([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPageTokens(t *testing.T) {
	p, at := newTestPages(t, "key"), time.UnixMicro(1700000000123456).UTC()
	s := &lockstep.Secret{ID: 7, Name: strings.Repeat("n", 512), Created: at, Changed: at.Add(1), Accessed: time.Time{}}
	for _, by := range []store.SecretSort{store.SortCreated, store.SortName, store.SortChanged, store.SortAccessed} {
		token, err := p.seal(secretCursor(s, by), "scope")
		if err != nil || len(token) > lengthNextToken.Max {
			t.Fatalf("%q: %v, %d characters", by, err, len(token))
		}
		c, err := p.open(token, "scope")
		if err != nil {
			t.Fatal(err)
		}
		got := c.secret(by)
		if got.ID != 7 || (by == store.SortName) != (got.Name == s.Name) || (by == store.SortCreated) != got.Created.Equal(at) || !got.Accessed.IsZero() {
			t.Errorf("%q: %+v", by, got)
		}
		if _, err := p.open(token, "other scope"); err == nil {
			t.Error("a token opened for another question")
		}
		if _, err := newTestPages(t, "other").open(token, "scope"); err == nil {
			t.Error("a token opened under another key")
		}
		if raw, _ := base64.RawURLEncoding.DecodeString(token); strings.Contains(string(raw), "nnnn") {
			t.Error("a token shows what it holds")
		}
	}
}

func FuzzPageToken(f *testing.F) {
	p := newTestPages(f, "key")
	sealed := cursor{ID: 1, Text: "a", At: 2}
	good, err := p.seal(sealed, "scope")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		// Each process of a fuzzing run seals its own seed, so tokens differ.
		if c, err := p.open(token, "scope"); err == nil && (c != sealed || len(token) != len(good)) {
			t.Fatal("a forged token opened")
		}
	})
}
