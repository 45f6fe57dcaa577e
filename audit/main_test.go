package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep"
	"lockstep/audit"
	"lockstep/hsm/file"
)

// TestMain lets the tests run this binary as a process of its own, which can be
// killed, or run out of room.
func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv("AUDIT_TEST_ROLE"); role {
	case "":
		os.Exit(m.Run())
	case "append":
		err = appendForEver(os.Getenv("AUDIT_TEST_DIR"))
	case "full":
		err = appendUntilFull(os.Getenv("AUDIT_TEST_DIR"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fileHeads keeps heads in a file.
type fileHeads struct{ path string }

func (h fileHeads) Load(context.Context, string) (head audit.Head, err error) {
	text, err := os.ReadFile(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return head, lockstep.ErrNotFound
	}
	return head, errors.Join(err, json.Unmarshal(text, &head))
}

func (h fileHeads) Save(_ context.Context, head audit.Head) error {
	text, err := json.Marshal(head)
	if err == nil {
		err = os.WriteFile(h.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(h.path+".new", h.path)
	}
	return err
}

// processConfig is a log in a directory, with its root key and heads beside it.
func processConfig(dir string) (audit.Config, error) {
	root, err := file.Open(file.Config{Path: filepath.Join(dir, "root.key")})
	if errors.Is(err, lockstep.ErrNotFound) {
		root, err = file.Create(file.Config{Path: filepath.Join(dir, "root.key")})
	}
	return audit.Config{
		Dir: filepath.Join(dir, "audit"), Node: node, MACKey: macKey, Signers: audit.Always(root),
		Heads: fileHeads{filepath.Join(dir, "head")}, Checkpoint: 20 * time.Millisecond, MaxFile: 100_000,
	}, err
}

// appendForEver writes records from many goroutines and prints the id of each
// that was acknowledged.
func appendForEver(dir string) error {
	cfg, err := processConfig(dir)
	if err != nil {
		return err
	}
	l, err := audit.Open(context.Background(), cfg)
	if err != nil {
		return err
	}
	var out sync.Mutex
	for worker := range 16 {
		go func() {
			for i := 0; ; i++ {
				r := record(i)
				r.RequestID = fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				if err := l.Append(context.Background(), r); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(r.RequestID)
				out.Unlock()
			}
		}()
	}
	select {}
}

// appendUntilFull writes until its files may not grow any more, sees that
// nothing is accepted then, lets them grow again, and sees that it goes on.
func appendUntilFull(dir string) error {
	ctx := context.Background()
	signal.Ignore(syscall.SIGXFSZ)
	cfg, err := processConfig(dir)
	if err != nil {
		return err
	}
	cfg.MaxFile = 0
	l, err := audit.Open(ctx, cfg)
	if err != nil {
		return err
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	// The journal has its room already, as long as the file has to be.
	const limit = 1<<20 + 20_000
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: was.Max}); err != nil {
		return err
	}
	n := 1200
	err = l.Append(ctx, records(1, n)...)
	for err == nil {
		n++
		err = l.Append(ctx, record(n))
	}
	if !errors.Is(err, lockstep.ErrBusy) || !errors.Is(l.Ready(), lockstep.ErrBusy) || !errors.Is(l.Append(ctx, record(n+1)), lockstep.ErrBusy) {
		return fmt.Errorf("with no room: %w; ready: %w", err, l.Ready())
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for l.Ready() != nil {
		<-tick.C
	}
	if err := l.Append(ctx, record(n+2)); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	fmt.Println(n)
	return l.Close(ctx)
}

// process starts this binary in a role.
func process(t *testing.T, role, dir string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "AUDIT_TEST_ROLE="+role, "AUDIT_TEST_DIR="+dir)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	return cmd, &errOut
}
