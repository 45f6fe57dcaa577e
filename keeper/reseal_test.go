package keeper_test

import (
	"context"
	"errors"
	"testing"

	"lockstep"
	"lockstep/keeper"
	"lockstep/keys"
)

// TestAnotherKey: a new key of a Secret takes over what AWS's labels stand on, and
// leaves alone what it may not, or cannot, open.
func TestAnotherKey(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.made("a", "t1", "one")
		for _, v := range [][2]string{{"t2", "two"}, {"t3", "three"}} {
			_, err := w.put("a", v[0], v[1])
			w.must(err)
		}
		_, err := w.put("a", "t4", "four", lockstep.Pending)
		w.must(err)
		old := w.version("a", "t1").Sealed.KeyID
		first, second := w.key(), w.key()

		_, err = w.Update(t.Context(), ref("a"), keeper.UpdateInput{KMSKeyID: &first})
		w.must(err)
		w.wantKeys("a", map[string]string{"t1": old, "t2": first, "t3": first, "t4": first})

		// With a value: the one that it follows moves too.
		_, err = w.Update(t.Context(), ref("a"), keeper.UpdateInput{KMSKeyID: &second, Token: "t5", Value: lockstep.StringValue("five")})
		w.must(err)
		w.wantKeys("a", map[string]string{"t1": old, "t2": second, "t3": second, "t4": second, "t5": second})

		// A key that cannot be used any more holds nobody back.
		w.must(w.keys.Disable(t.Context(), keys.Ref{Owner: home, ID: second}))
		_, err = w.Update(t.Context(), ref("a"), keeper.UpdateInput{KMSKeyID: &first})
		w.must(err)
		w.wantKeys("a", map[string]string{"t3": second, "t5": second})
		w.must(w.keys.Enable(t.Context(), keys.Ref{Owner: home, ID: second}))

		for id, want := range map[string]string{"t1": "one", "t2": "two", "t3": "three", "t4": "four", "t5": "five"} {
			got, err := w.Get(t.Context(), ref("a"), keeper.GetInput{Version: lockstep.VersionID(id)})
			if err != nil || got.Value.Reveal() != want {
				t.Errorf("%s does not open any more: %v", id, err)
			}
		}
	})
}

// TestAnotherKeyWithoutTheRightToOpen: who may not open under the former key gives
// the Secret its new one, and what is there stays under the former.
func TestAnotherKeyWithoutTheRightToOpen(t *testing.T) {
	w := onSQLite(t)
	w.made("a", "t1", "one")
	old, next := w.version("a", "t1").Sealed.KeyID, w.key()
	var asked []keeper.KeyAction
	by := ref("a")
	by.Use = func(_ context.Context, u keeper.KeyUse) error {
		asked = append(asked, u.Action)
		if u.Action == keeper.UseToOpen {
			return errors.Join(lockstep.ErrDenied, errors.New("kms:Decrypt"))
		}
		return nil
	}
	_, err := w.Update(t.Context(), by, keeper.UpdateInput{KMSKeyID: &next})
	w.must(err)
	w.wantKeys("a", map[string]string{"t1": old})
	if got := w.secret("a").KMSKeyID; got != next || len(asked) != 2 {
		t.Errorf("key %q, asked %v", got, asked)
	}
}

// key makes a master key.
func (w *world) key() string {
	w.t.Helper()
	k, err := w.keys.Create(w.t.Context(), keys.CreateInput{Owner: home})
	w.must(err)
	return k.ID
}

func (w *world) wantKeys(name string, want map[string]string) {
	w.t.Helper()
	for id, key := range want {
		if got := w.version(name, id).Sealed.KeyID; got != key {
			w.t.Errorf("%s is under key %s, want %s", id, got, key)
		}
	}
}
