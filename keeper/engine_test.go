package keeper_test

import (
	"errors"
	"strings"
	"testing"

	"lockstep"
	"lockstep/store"
)

func TestEngineValues(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		admin := w.made("admin", "m1", `{"username":"root"}`)
		s := w.made("a", "t0", `{"username":"app","password":"0"}`)
		w.rotate("a", "single")
		for _, token := range []string{"t1", "t2"} {
			_, err := w.put("a", token, `{"username":"app","password":"`+token+`","masterarn":"`+string(admin.ARN)+`"}`)
			w.must(err)
		}
		w.start("a", "t2", openRun{state: lockstep.RunSetting, sealed: true})
		got, err := w.EngineValues(t.Context(), s.ID, pendingToken)
		w.must(err)
		if !got.Pending.Equal(login("app", "new")) || got.CurrentID != "t2" || !strings.Contains(got.Current.Reveal(), `"t2"`) {
			t.Errorf("pending or current is wrong: %s", got.CurrentID)
		}
		// AWSPREVIOUS (t1) first; t0 was AWSCURRENT before rotation was on.
		if len(got.Live) != 1 || !strings.Contains(got.Live[0].Reveal(), `"t1"`) {
			t.Errorf("%d other values may be live", len(got.Live))
		}
		if got.AdminID != admin.ID || got.Admin.Reveal() != `{"username":"root"}` {
			t.Errorf("admin %d", got.AdminID)
		}
		empty, err := w.EngineValues(t.Context(), s.ID, "")
		if err != nil || !empty.Pending.IsZero() || len(empty.Live) != 2 {
			t.Errorf("without a run: %d live, %v", len(empty.Live), err)
		}
		if accessed := w.secret("a").Accessed; !accessed.IsZero() {
			t.Error("the engine's look counts as a read")
		}
	})
}

func TestEngineValuesWithoutItsAdmin(t *testing.T) {
	w := onSQLite(t)
	s := w.made("a", "t1", `{"username":"app","masterarn":"nobody"}`)
	got, err := w.EngineValues(t.Context(), s.ID, "")
	if err != nil || !errors.Is(got.NoAdmin, lockstep.ErrNotFound) || !strings.Contains(got.NoAdmin.Error(), "nobody") || got.Current.IsZero() {
		t.Errorf("got %v, %v, want the value and the name of the admin secret", got.NoAdmin, err)
	}
	other := w.made("b", "t1", `no JSON`)
	if got, err := w.EngineValues(t.Context(), other.ID, ""); err != nil || got.AdminID != 0 {
		t.Errorf("a value that names no admin: %v", err)
	}
}

// TestAdminOfAnotherAccount: a value may not borrow another tenant's secret.
func TestAdminOfAnotherAccount(t *testing.T) {
	w := onSQLite(t)
	admin := w.made("admin", "m1", `{"username":"root"}`)
	theirs := strings.Replace(string(admin.ARN), string(home.Account), "111111111111", 1)
	s := w.made("a", "t1", `{"username":"app","masterarn":"`+theirs+`"}`)
	if got, err := w.EngineValues(t.Context(), s.ID, ""); err != nil || !errors.Is(got.NoAdmin, lockstep.ErrNotFound) || !got.Admin.IsZero() {
		t.Errorf("got %v, %v", got.NoAdmin, err)
	}
}

func TestSealPendingNamesItsAccount(t *testing.T) {
	w := onSQLite(t)
	w.made("a", "t1", `{"username":"app"}`)
	w.rotate("a", "pair")
	s := w.secret("a")
	sealed, account, err := w.SealPending(t.Context(), s, "v", login("app_clone", "x"))
	if err != nil || sealed == nil || account != w.keys.AccountKey("app_clone") {
		t.Errorf("account %q, %v", account, err)
	}
	// Without it, nothing would keep set from AWSCURRENT's own account.
	if _, _, err := w.SealPending(t.Context(), s, "v", lockstep.StringValue("{}")); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("a value whose account can't be told: %v", err)
	}
	w.rotate("a", "values")
	if _, account, err := w.SealPending(t.Context(), w.secret("a"), "v", lockstep.StringValue("{}")); err != nil || account != "" {
		t.Errorf("a rotator without accounts: %q, %v", account, err)
	}
}

func TestTargetAccounts(t *testing.T) {
	w := onSQLite(t)
	s := w.made("a", "t1", `{"username":"app"}`)
	got, err := w.TargetAccounts(t.Context(), s.ID, "single")
	if err != nil || got.Current != "t1" || got.Own != w.keys.AccountKey("app") || len(got.All) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	bad := w.made("b", "t1", `{}`)
	if _, err := w.TargetAccounts(t.Context(), bad.ID, "single"); !errors.Is(err, lockstep.ErrInvalid) {
		t.Errorf("a value without a username: %v", err)
	}
	none := w.made("c", "", "")
	if got, err := w.TargetAccounts(t.Context(), none.ID, "single"); err != nil || got.Current != "" || got.Own != "" {
		t.Errorf("a secret without a value: %+v, %v", got, err)
	}
}

// TestRowsCarryNoClearValue reads everything that was stored and told.
func TestRowsCarryNoClearValue(t *testing.T) {
	const marker = "MARKER-7f3a"
	onBoth(t, func(t *testing.T, w *world) {
		s := w.made("a", "t1", `{"username":"`+marker+`"}`)
		w.rotate("a", "single")
		_, err := w.put("a", "t2", `{"username":"`+marker+`2"}`)
		w.must(err)
		for _, e := range w.events(s.ID) {
			text, err := e.MarshalJSON()
			if err != nil || strings.Contains(string(text), marker) {
				t.Errorf("event %s: %v", text, err)
			}
		}
		w.view(func(tx store.ReadTx) error {
			list, err := tx.Versions(s.ID)
			for _, v := range list {
				row := string(v.Sealed.Ciphertext) + string(v.Sealed.WrappedKey) + string(v.Sealed.Digest) + string(v.Account)
				if strings.Contains(row, marker) {
					t.Errorf("version %s shows its value", v.ID)
				}
			}
			return err
		})
		_, err = w.put("a", "t2", marker)
		if err == nil || strings.Contains(err.Error(), marker) {
			t.Errorf("got %v", err)
		}
	})
}
