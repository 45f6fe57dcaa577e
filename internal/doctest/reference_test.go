package doctest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep"
	"lockstep/internal/servertest"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestStateTable holds the table of docs/concepts.md against the code: every
// move that lockstep.Transition allows stands there, and no other.
func TestStateTable(t *testing.T) {
	written, allowed := writtenMoves(t), allowedMoves()
	for m := range allowed {
		if !written[m] {
			t.Errorf("the code allows %s; the table does not have it", m)
		}
	}
	for m := range written {
		if !allowed[m] {
			t.Errorf("the table has %s; the code does not allow it", m)
		}
	}
}

// writtenMoves reads the rows "| states | signals | next | when |".
func writtenMoves(t *testing.T) map[string]bool {
	t.Helper()
	moves := make(map[string]bool)
	inside := false
	for line := range strings.Lines(read(t, "docs/concepts.md")) {
		cells := strings.Split(line, "|")
		switch {
		case strings.HasPrefix(line, "| state | signal | next |"):
			inside = true
			continue
		case !inside || strings.HasPrefix(line, "|---"):
			continue
		case len(cells) < 5:
			inside = false
			continue
		}
		for _, from := range words(cells[1]) {
			for _, signal := range words(cells[2]) {
				for _, next := range words(cells[3]) {
					moves[move(from, signal, next)] = true
				}
			}
		}
	}
	if len(moves) == 0 {
		t.Fatal("docs/concepts.md has no table of states")
	}
	return moves
}

func words(cell string) []string {
	var out []string
	for w := range strings.SplitSeq(cell, ",") {
		out = append(out, strings.TrimSpace(w))
	}
	return out
}

func move(from, signal, next string) string { return from + " -> " + signal + " -> " + next }

// allowedMoves tries every state, signal and set of facts.
func allowedMoves() map[string]bool {
	states := []lockstep.RunState{
		lockstep.RunQueued, lockstep.RunCreated, lockstep.RunSetting, lockstep.RunSet, lockstep.RunTested,
		lockstep.RunUndo, lockstep.RunSucceeded, lockstep.RunFailed, lockstep.RunCancelled, lockstep.RunLost,
	}
	signals := []lockstep.Signal{
		lockstep.SignalCreated, lockstep.SignalSetBegins, lockstep.SignalApplied, lockstep.SignalNotApplied,
		lockstep.SignalUnknown, lockstep.SignalRefusedValue, lockstep.SignalTestOK, lockstep.SignalTestRefused,
		lockstep.SignalProbeFailed, lockstep.SignalFinish, lockstep.SignalStop, lockstep.SignalUndone,
		lockstep.SignalUndoDeadline, lockstep.SignalNoDeposit, lockstep.SignalDeposit, lockstep.SignalTestDone,
	}
	moves := make(map[string]bool)
	for _, s := range states {
		for _, g := range signals {
			for _, f := range allFacts() {
				if next, err := lockstep.Transition(s, g, f); err == nil {
					moves[move(string(s), string(g), string(next))] = true
				}
			}
		}
	}
	return moves
}

func allFacts() []lockstep.Facts {
	var out []lockstep.Facts
	for _, chooser := range []lockstep.Chooser{lockstep.Chosen, lockstep.Issued, lockstep.ValueOnly} {
		for _, overlap := range []lockstep.Overlap{lockstep.OneValue, lockstep.TwoAccounts, lockstep.TwoValues} {
			for _, stop := range []lockstep.StopKind{lockstep.StopNone, lockstep.StopCancelled, lockstep.StopSuperseded, lockstep.StopFailed} {
				for bits := range 32 {
					out = append(out, lockstep.Facts{
						Traits: lockstep.Traits{Chooser: chooser, Overlap: overlap}, Stop: stop,
						CurrentIsBase: bits&1 > 0, CurrentIsOurs: bits&2 > 0, TestOnly: bits&4 > 0, OnIdleAccount: bits&8 > 0,
						NothingIssued: bits&16 > 0,
					})
				}
			}
		}
	}
	return out
}

func TestEveryEventTypeIsDescribed(t *testing.T) {
	text := read(t, "docs/reference/events.md")
	for _, e := range lockstep.EventTypes() {
		if !strings.Contains(text, "`"+string(e)+"`") {
			t.Errorf("docs/reference/events.md does not have %s", e)
		}
	}
}

func TestEveryRequestIsDescribed(t *testing.T) {
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(read(t, "api/v1/openapi.json")), &api); err != nil {
		t.Fatal(err)
	}
	served := make(map[string]bool)
	for path, methods := range api.Paths {
		for method := range methods {
			served[fmt.Sprintf("`%s %s`", strings.ToUpper(method), path)] = true
		}
	}
	described := make(map[string]bool)
	for _, r := range requestRow.FindAllStringSubmatch(read(t, "docs/reference/api.md"), -1) {
		described[r[1]] = true
		if !served[r[1]] {
			t.Errorf("docs/reference/api.md has %s, which is not served", r[1])
		}
	}
	for request := range served {
		if !described[request] {
			t.Errorf("docs/reference/api.md does not have %s", request)
		}
	}
}

var (
	requestRow  = regexp.MustCompile("(?m)^\\| (`[A-Z]+ /v1/[^`]+`) \\|")
	helpCommand = regexp.MustCompile(`(?m)^  (?:lockstep )?([a-z]+) {2,}\S`)
	helpFlag    = regexp.MustCompile(`--([a-z][a-z-]*)`)
)

// TestEveryCommandIsDescribed walks the program's own help.
func TestEveryCommandIsDescribed(t *testing.T) {
	binary := servertest.Build(t, "")
	sections := sectionsOf(read(t, "docs/reference/cli.md"))
	everywhere := sections["Commands"]
	sections["lockstep serve"] += read(t, "docs/reference/server.md")
	used := map[string]bool{"lockstep completion": true} // cobra's own
	var walk func(path []string)
	walk = func(path []string) {
		help := helpOf(t, binary, path)
		name := strings.Join(append([]string{"lockstep"}, path...), " ")
		if subs := subcommands(help); len(subs) > 0 {
			for _, sub := range subs {
				walk(append(slices.Clone(path), sub))
			}
			if sections[name] == "" {
				return // it does nothing without one of them
			}
		}
		section := covering(sections, name)
		if section == "" {
			t.Errorf("docs/reference/cli.md has no section for %q", name)
			return
		}
		used[section] = true
		_, flags, _ := strings.Cut(help, "Flags:")
		for _, f := range helpFlag.FindAllStringSubmatch(flagColumn(flags), -1) {
			if !strings.Contains(sections[section], "`--"+f[1]) && !strings.Contains(everywhere, "--"+f[1]) {
				t.Errorf("%s: the flag --%s is not described", name, f[1])
			}
		}
	}
	walk(nil)
	for name := range sections {
		if strings.HasPrefix(name, "lockstep ") && !used[name] {
			t.Errorf("docs/reference/cli.md describes %q, which the program does not have", name)
		}
	}
}

// covering finds the section of a command: its own, or that of a command above
// it.
func covering(sections map[string]string, command string) string {
	for command != "lockstep" {
		if _, ok := sections[command]; ok {
			return command
		}
		command = command[:strings.LastIndexByte(command, ' ')]
	}
	return ""
}

var helpDefault = regexp.MustCompile(`(?m)^ +(?:-., )?--([a-z-]+) .*\(default \[?"?([^"\])]+)"?\]?\)$`)

// TestDefaultsOfTheServer holds the defaults in docs/reference/server.md
// against the program's own.
func TestDefaultsOfTheServer(t *testing.T) {
	help := helpOf(t, servertest.Build(t, ""), []string{"serve"})
	own, _, _ := strings.Cut(help, "Global Flags:")
	text := read(t, "docs/reference/server.md")
	found := helpDefault.FindAllStringSubmatch(own, -1)
	if len(found) == 0 {
		t.Fatal("the help of serve shows no defaults")
	}
	for _, f := range found {
		if strings.Contains(f[2], " ") {
			continue // described in words
		}
		if want := fmt.Sprintf("| `--%s` | `%s` |", f[1], f[2]); !strings.Contains(text, want) {
			t.Errorf("docs/reference/server.md does not have %q", want)
		}
	}
}

// sectionsOf splits a page at its headings.
func sectionsOf(text string) map[string]string {
	out := make(map[string]string)
	name := ""
	for line := range strings.Lines(text) {
		if heading, ok := strings.CutPrefix(line, "#"); ok {
			name = strings.TrimSpace(strings.TrimLeft(heading, "#"))
		}
		out[name] += line
	}
	return out
}

func helpOf(t *testing.T, binary string, path []string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, append(slices.Clone(path), "--help")...).Output() // #nosec G204 -- the binary that was built here
	if err != nil {
		t.Fatalf("lockstep %s --help: %v", strings.Join(path, " "), err)
	}
	return string(out)
}

// subcommands are those that the help lists, but for cobra's own.
func subcommands(help string) []string {
	_, list, ok := strings.Cut(help, "Available Commands:\n")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var out []string
	for _, m := range helpCommand.FindAllStringSubmatch(list, -1) {
		if m[1] != "help" && m[1] != "completion" {
			out = append(out, m[1])
		}
	}
	return out
}

// flagColumn keeps the names of flags and leaves their descriptions out, which
// may mention other flags.
func flagColumn(flags string) string {
	var b strings.Builder
	for line := range strings.Lines(flags) {
		names, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		b.WriteString(names + "\n")
	}
	return b.String()
}
