package postgres

import "testing"

// SettingsOfKept asks the one session that is kept for what a change sets.
func (b *base) SettingsOfKept(t *testing.T) []string {
	t.Helper()
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	if len(b.sessions.idle) != 1 {
		t.Fatalf("%d sessions are kept, want one", len(b.sessions.idle))
	}
	var out []string
	for _, name := range []string{"role", "search_path", "statement_timeout", "lock_timeout",
		"default_transaction_read_only", "standard_conforming_strings"} {
		var val string
		err := b.sessions.idle[0].conn.QueryRow(t.Context(), "SELECT pg_catalog.current_setting('"+name+"')").Scan(&val)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, val)
	}
	return out
}
