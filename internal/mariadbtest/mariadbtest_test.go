package mariadbtest_test

import (
	"strings"
	"testing"

	"lockstep/internal/mariadbtest"
)

func TestServer(t *testing.T) {
	s := mariadbtest.Start(t)
	if got := s.Text(t, "SELECT VERSION(), 1"); len(got) != 1 || !strings.Contains(got[0], "MariaDB") || !strings.HasSuffix(got[0], "|1") {
		t.Fatalf("version %q", got)
	}
	s.Must(t, "CREATE USER kept IDENTIFIED BY 'it-is-kept-1'")
	s.Pause(t)
	if s.Exec(t.Context(), "DO 1") == nil {
		t.Error("a paused server answers")
	}
	s.Resume(t)
	s.Connect(t, "kept", "it-is-kept-1")
}
