package keys

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lockstep/internal/servertest"
)

// TestNoCoreDumps asks the kernel about the running server.
func TestNoCoreDumps(t *testing.T) {
	s := servertest.Start(t, servertest.Options{})
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.PID()))
	must(t, err)
	for line := range strings.Lines(string(limits)) {
		if words := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (words[4] != "0" || words[5] != "0") {
			t.Error(line)
		}
	}
	if !strings.Contains(s.Log(), `"coreDumpsOff":true`) {
		t.Error("the log does not say that core dumps are off")
	}
}
