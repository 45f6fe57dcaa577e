package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lockstep"
	"lockstep/audit"
	"lockstep/hsm"
	"lockstep/hsm/file"
)

// elsewhere keeps heads, as the store does.
type elsewhere struct {
	mu    sync.Mutex
	heads map[string]audit.Head
	saved chan struct{} // receives when there is news
}

func newElsewhere() *elsewhere {
	return &elsewhere{heads: make(map[string]audit.Head), saved: make(chan struct{}, 1)}
}

func (e *elsewhere) Load(_ context.Context, node string) (audit.Head, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h, ok := e.heads[node]
	if !ok {
		return h, fmt.Errorf("head of %s: %w", node, lockstep.ErrNotFound)
	}
	return h, nil
}

func (e *elsewhere) Save(_ context.Context, h audit.Head) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heads[h.Node].Seq <= h.Seq {
		e.heads[h.Node] = h
	}
	select {
	case e.saved <- struct{}{}:
	default:
	}
	return nil
}

func (e *elsewhere) all() []audit.Head {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []audit.Head
	for _, h := range e.heads {
		out = append(out, h)
	}
	return out
}

// rig is an installation with audit logs.
type rig struct {
	dir   string
	root  hsm.Key
	heads *elsewhere
	log   *bytes.Buffer
}

const node = "node-a"

var macKey = bytes.Repeat([]byte{7}, 32)

func newRig(t testing.TB) *rig {
	t.Helper()
	dir := t.TempDir()
	root, err := file.Create(file.Config{Path: filepath.Join(dir, "root.key")})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{dir: filepath.Join(dir, "audit"), root: root, heads: newElsewhere(), log: &bytes.Buffer{}}
}

func (r *rig) config() audit.Config {
	return audit.Config{
		Dir: r.dir, Node: node, MACKey: macKey, Signers: audit.Always(r.root), Heads: r.heads, Checkpoint: time.Hour,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func (r *rig) open(t testing.TB, edit ...func(*audit.Config)) *audit.Log {
	t.Helper()
	cfg := r.config()
	for _, e := range edit {
		e(&cfg)
	}
	l, err := audit.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.WithoutCancel(t.Context())) })
	return l
}

func (r *rig) trust() audit.Trust {
	return audit.Trust{MACKey: macKey, Public: audit.PublicKeys{r.root.ID(): r.root.Public()}, Heads: r.heads.all()}
}

// withoutMAC is what somebody without the installation's keys can check.
func (r *rig) withoutMAC() audit.Trust {
	t := r.trust()
	t.MACKey = nil
	return t
}

func (r *rig) verify(t testing.TB, trust audit.Trust) audit.Report {
	t.Helper()
	report, err := audit.Verify([]string{r.dir}, trust)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (r *rig) mustVerify(t testing.TB) audit.Report {
	t.Helper()
	report := r.verify(t, r.trust())
	if !report.OK() {
		t.Fatalf("findings: %v", report.Findings)
	}
	return report
}

// record is the read of a secret by somebody.
func record(n int) audit.Record {
	return audit.Record{
		Source: "secretsmanager.amazonaws.com", Name: "GetSecretValue", Type: audit.TypeAPICall, ReadOnly: true,
		Identity:  audit.Identity{Type: "IAMUser", ARN: "arn:aws:iam::000000000000:user/app", Name: "app", Account: "000000000000"},
		RequestID: fmt.Sprintf("request-%d", n), Address: "127.0.0.1", Region: "us-east-1",
		Resources: []audit.Resource{{ARN: fmt.Sprintf("arn:aws:secretsmanager:us-east-1:000000000000:secret:db/%d-AbCdEf", n), VersionID: fmt.Sprintf("version-%d", n)}},
	}
}

// records are n of them.
func records(from, n int) []audit.Record {
	out := make([]audit.Record, n)
	for i := range out {
		out[i] = record(from + i)
	}
	return out
}

func appendN(t testing.TB, l *audit.Log, from, n int) {
	t.Helper()
	for i := range n {
		if err := l.Append(t.Context(), record(from+i)); err != nil {
			t.Fatal(err)
		}
	}
}

func closeLog(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// files are the chain's, oldest first.
func (r *rig) files(t testing.TB) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(r.dir, node, "*.jsonl"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no files: %v", err)
	}
	return list
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func requests(t testing.TB, dir string) []string {
	t.Helper()
	found, err := audit.Find(dir, audit.Query{Event: "GetSecretValue"})
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		t.Fatal(err)
	}
	var out []string
	for _, r := range found {
		out = append(out, r.RequestID)
	}
	return out
}
