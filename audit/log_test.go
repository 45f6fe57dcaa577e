package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/audit"
	"lockstep/hsm/file"
)

func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	l := r.open(t)
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := range 20 {
				if err := l.Append(t.Context(), record(worker*20+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	if got := requests(t, r.dir); len(got) != 640 {
		t.Errorf("%d records, want 640", len(got))
	}
	r.mustVerify(t)
	if err := l.Append(t.Context(), record(1)); !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("append after close: %v", err)
	}
	closeLog(t, l)
}

func TestOneWriterAChain(t *testing.T) {
	r := newRig(t)
	l := r.open(t)
	if _, err := audit.Open(t.Context(), r.config()); !errors.Is(err, lockstep.ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	closeLog(t, l)
	closeLog(t, r.open(t))
}

func TestFieldsAreBounded(t *testing.T) {
	r := newRig(t)
	l := r.open(t)
	long := strings.Repeat("ü\"\n", 100_000)
	huge := record(1)
	huge.UserAgent, huge.Name, huge.Detail.Reason = long, long, "\x00\xff"+long
	for range 500 {
		huge.Resources = append(huge.Resources, audit.Resource{ARN: long})
	}
	if err := l.Append(t.Context(), huge); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	r.mustVerify(t)
	found, err := audit.Find(r.dir, audit.Query{Principal: "app"})
	if err != nil || len(found) != 1 || len(found[0].UserAgent) > 512 || len(found[0].Resources) > 100 {
		t.Fatalf("found %d (%v)", len(found), err)
	}
}

// TestTornWrites cuts a log within what was written last, which no head vouches
// for, at each byte, and starts again.
func TestTornWrites(t *testing.T) {
	r := newRig(t)
	l := r.open(t)
	appendN(t, l, 1, 2)
	content := bytes.Clone(read(t, r.files(t)[0]))
	name := filepath.Base(r.files(t)[0])
	closeLog(t, l)
	begin := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
	for n := begin + 1; n < len(content); n += 7 {
		tail := content[begin:n]
		again := &rig{dir: filepath.Join(t.TempDir(), "audit"), root: r.root, heads: newElsewhere()}
		chain := filepath.Join(again.dir, node)
		if err := os.MkdirAll(chain, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(chain, name), content[:n])
		if report := again.verify(t, again.trust()); len(report.Findings) != 1 || report.Findings[0].Kind != audit.Torn || report.Findings[0].Seq != 3 {
			t.Fatalf("before the start, cut to %d: %v", n, report.Findings)
		}
		l := again.open(t)
		appendN(t, l, 3, 1)
		closeLog(t, l)
		again.mustVerify(t)
		if got := requests(t, again.dir); !slices.Equal(got, []string{"request-1", "request-3"}) {
			t.Fatalf("cut to %d: %v", n, got)
		}
		if told, err := audit.Find(again.dir, audit.Query{Event: "RepairAuditLog"}); err != nil || len(told) != 1 {
			t.Fatalf("the repair is not recorded (%v)", err)
		}
		aside, err := filepath.Glob(filepath.Join(chain, "torn-*"))
		if err != nil || len(aside) != 1 || !bytes.Equal(read(t, aside[0]), tail) {
			t.Fatalf("the torn bytes are not set aside: %v", aside)
		}
	}
}

// TestDamageIsNotMended changes what a head vouches for, and starts again.
func TestDamageIsNotMended(t *testing.T) {
	for what, c := range map[string]struct {
		do   func(t *testing.T, r *rig)
		kind audit.Kind
	}{
		"a record changed": {func(t *testing.T, r *rig) {
			content := read(t, r.files(t)[0])
			write(t, r.files(t)[0], bytes.Replace(content, []byte("request-3"), []byte("request-4"), 1))
		}, audit.Changed},
		"the end cut off": {func(t *testing.T, r *rig) {
			content := read(t, r.files(t)[0])
			write(t, r.files(t)[0], bytes.Join(lines(content)[:4], nil))
		}, audit.CutOff},
		"the end torn": {func(t *testing.T, r *rig) {
			content := read(t, r.files(t)[0])
			write(t, r.files(t)[0], content[:len(bytes.Join(lines(content)[:4], nil))-9])
		}, audit.Torn},
		"the file taken away": {func(t *testing.T, r *rig) {
			if err := os.Remove(r.files(t)[0]); err != nil {
				t.Fatal(err)
			}
		}, audit.CutOff},
	} {
		t.Run(what, func(t *testing.T) {
			r, _ := written(t, 5)
			c.do(t, r)
			before := r.verify(t, r.trust())
			if len(before.Findings) == 0 || before.Findings[0].Kind != c.kind {
				t.Fatalf("before the start: %v", before.Findings)
			}
			l := r.open(t)
			appendN(t, l, 6, 2)
			closeLog(t, l)
			after := r.verify(t, r.trust())
			if after.OK() || !names(after, before.Findings[0].Seq) {
				t.Errorf("before %v\nafter %v", before.Findings, after.Findings)
			}
			if told, err := audit.Find(r.dir, audit.Query{Event: "ReportAuditDamage"}); err != nil || len(told) == 0 {
				t.Errorf("the damage is not recorded (%v)", err)
			}
			if got := requests(t, r.dir); !slices.Contains(got, "request-7") {
				t.Errorf("the log does not go on: %v", got)
			}
		})
	}
}

// TestTakenAwayWhileOpen removes the open file; what follows is not written to
// nowhere.
func TestTakenAwayWhileOpen(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	l := r.open(t, func(c *audit.Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	appendN(t, l, 1, 2)
	if err := os.Remove(r.files(t)[0]); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	now = now.Add(2 * time.Second)
	mu.Unlock()
	appendN(t, l, 3, 1)
	closeLog(t, l)
	if got := requests(t, r.dir); !slices.Equal(got, []string{"request-3"}) {
		t.Errorf("requests %v", got)
	}
	report := r.verify(t, r.trust())
	if len(report.Findings) != 1 || report.Findings[0].Kind != audit.Missing || report.Findings[0].Last != 3 {
		t.Errorf("findings %v", report.Findings)
	}
}

// TestFilesAndRetention turns files over by size and prunes by age.
func TestFilesAndRetention(t *testing.T) {
	r := newRig(t)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func(c *audit.Config) {
		c.Now = func() time.Time { return now }
		c.MaxFile = 2000
	}
	for range 4 {
		l := r.open(t, clock)
		appendN(t, l, 1, 5)
		closeLog(t, l)
		now = now.Add(24 * time.Hour)
	}
	before := r.mustVerify(t)
	first := r.files(t)[0]
	if n := len(r.files(t)); n < 6 {
		t.Fatalf("%d files", n)
	}
	l := r.open(t, clock, func(c *audit.Config) { c.Keep, c.Checkpoint = 48*time.Hour, time.Millisecond })
	appendN(t, l, 1, 1)
	waitFor(t, func() bool { return r.files(t)[0] != first })
	closeLog(t, l)
	after := r.mustVerify(t)
	if after.Chains[0].First <= before.Chains[0].First {
		t.Errorf("nothing was pruned: %+v", after)
	}
	if report := r.verify(t, r.withoutMAC()); !report.OK() {
		t.Errorf("without the key of the macs: %v", report.Findings)
	}
	// What was not pruned, but taken away, is missing all the same.
	gone := r.files(t)[0]
	content := read(t, gone)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if report := r.verify(t, r.trust()); report.OK() || report.Findings[0].Kind != audit.Missing {
		t.Errorf("the oldest file taken away: %v", report.Findings)
	}
	write(t, gone, content)
	if err := os.Remove(filepath.Join(r.dir, node, "anchors.json")); err != nil {
		t.Fatal(err)
	}
	if report := r.verify(t, r.trust()); report.OK() {
		t.Error("without the anchor, what was pruned is missing")
	}
}

// waitFor waits for something that a goroutine of the log does.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("waited in vain")
		}
	}
}

func TestHeadsAreKept(t *testing.T) {
	r := newRig(t)
	l := r.open(t, func(c *audit.Config) { c.Checkpoint = time.Millisecond })
	appendN(t, l, 1, 1)
	select {
	case <-r.heads.saved:
	case <-time.After(time.Minute):
		t.Fatal("no head was kept")
	}
	if report := r.mustVerify(t); report.Chains[0].Head < 2 {
		t.Errorf("report %+v", report)
	}
}

// TestKilled kills a writing process again and again: what was acknowledged is
// there, and the chain is whole.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for range 3 {
		cmd, errOut := process(t, "append", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for n := 0; in.Scan(); n++ {
			acknowledged = append(acknowledged, in.Text())
			if n == 500 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		if errOut.Len() > 0 {
			t.Fatal(errOut.String())
		}
	}
	if len(acknowledged) < 1500 {
		t.Fatalf("%d records", len(acknowledged))
	}
	r := fromProcess(t, dir)
	if report := r.verify(t, r.trust()); slices.ContainsFunc(report.Findings, func(f audit.Finding) bool { return f.Kind != audit.Torn }) {
		t.Errorf("before a start: %v", report.Findings)
	}
	cfg, err := processConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	if report := r.verify(t, r.trust()); !report.OK() {
		t.Errorf("findings: %v", report.Findings)
	}
	there := make(map[string]bool)
	for _, id := range requests(t, r.dir) {
		there[id] = true
	}
	for i, id := range acknowledged {
		// The last line of a killed process may be half printed.
		if !there[id] && strings.Count(id, "-") == 2 && i+1 < len(acknowledged) {
			t.Errorf("record %s was acknowledged and is not there", id)
		}
	}
}

func fromProcess(t *testing.T, dir string) *rig {
	t.Helper()
	root, err := file.Open(file.Config{Path: filepath.Join(dir, "root.key")})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{dir: filepath.Join(dir, "audit"), root: root, heads: newElsewhere()}
	head, err := fileHeads{filepath.Join(dir, "head")}.Load(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.heads.Save(context.WithoutCancel(t.Context()), head); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNoRoom(t *testing.T) {
	dir := t.TempDir()
	cmd, errOut := process(t, "full", dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errOut)
	}
	n := 0
	if _, err := fmt.Sscan(string(out), &n); err != nil || n < 10 {
		t.Fatalf("%q: %v", out, err)
	}
	r := fromProcess(t, dir)
	r.mustVerify(t)
	var want []string
	for i := range n + 2 {
		want = append(want, fmt.Sprintf("request-%d", i+1))
	}
	// Those that could not be written are there too, late.
	got := requests(t, r.dir)
	if !slices.Equal(got, want) {
		t.Errorf("requests %v\nwant %v", got, want)
	}
	told, err := audit.Find(r.dir, audit.Query{Event: "ResumeAuditLog"})
	if err != nil || len(told) != 1 || told[0].Detail.Count < 2 {
		t.Errorf("the outage is recorded as %+v (%v)", told, err)
	}
}
