package keeper_test

import (
	"errors"
	"testing"

	"lockstep"
	"lockstep/store"
)

// TestHoldsFollowAHand: a value put by hand may log in as another Account; the
// Secret then holds that one, and not the former.
func TestHoldsFollowAHand(t *testing.T) {
	w := onSQLite(t)
	w.made("a", "one", login("app", "v1").Reveal())
	w.made("b", "one", login("other", "v1").Reveal())
	for name, user := range map[string]string{"a": "app", "b": "other"} {
		w.rotate(name, "single")
		id := w.secret(name).ID
		w.update(func(tx store.Tx) error { return tx.HoldAccount(w.keys.AccountKey(user), id) })
	}
	holder := func(user string) (id lockstep.SecretID) {
		err := w.store.View(t.Context(), func(tx store.ReadTx) (err error) {
			id, err = tx.AccountHolder(w.keys.AccountKey(user))
			return err
		})
		if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
			t.Fatal(err)
		}
		return id
	}
	_, err := w.put("a", "two", login("new", "v2").Reveal())
	w.must(err)
	if holder("new") != w.secret("a").ID || holder("app") != 0 {
		t.Errorf("held: new by %d, app by %d", holder("new"), holder("app"))
	}
	_, err = w.put("a", "staged", login("aside", "v3").Reveal(), "mine")
	w.must(err)
	if holder("aside") != 0 || holder("new") != w.secret("a").ID {
		t.Error("a value that is not AWSCURRENT changed what is held")
	}
	_, err = w.put("a", "three", login("other", "v4").Reveal())
	if !errors.Is(err, lockstep.ErrState) {
		t.Errorf("an account that another secret rotates: %v", err)
	}
	if got := w.labels("a"); got != "AWSCURRENT=two AWSPREVIOUS=one mine=staged" {
		t.Errorf("labels %s", got)
	}
}
