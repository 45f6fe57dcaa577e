package keys

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"lockstep/internal/servertest"
)

// listener is a syslog server that keeps what it is sent.
type listener struct {
	address string
	mu      sync.Mutex
	got     strings.Builder
}

func listen(t *testing.T) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	out := &listener{address: l.Addr().String()}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { out.read(c) })
		}
	})
	// The server ends before this, by a clean-up of a later date, and with it its
	// connections.
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	return out
}

func (l *listener) read(c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		l.mu.Lock()
		l.got.WriteString(in.Text() + "\n")
		l.mu.Unlock()
	}
}

func (l *listener) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got.String()
}

var macOf = regexp.MustCompile(`"mac":"([^"]+)"`)

// macs are the macs of the records of one event in a text: the same record has
// the same wherever it went.
func macs(text, event string) (out []string) {
	for line := range strings.Lines(text) {
		if m := macOf.FindStringSubmatch(line); m != nil && strings.Contains(line, `"eventName":"`+event+`"`) {
			out = append(out, m[1])
		}
	}
	return out
}

// contents is the text of all files under a directory.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		out.Write(text)
		return err
	}))
	return out.String()
}

// TestAuditSinks: syslog, standard output and the stream get each record of the
// log, also those that were made while a sink was away, and no value.
func TestAuditSinks(t *testing.T) {
	const value = "a-value-that-no-sink-may-hold"
	syslog := listen(t)
	s := servertest.Start(t, servertest.Options{Args: []string{
		"--audit-sink", "stdout,jetstream", "--audit-sink", "syslog+tcp://" + syslog.address,
	}})
	create(t, s, "a", value)
	wantValue(t, s, "a", value)
	eventually(t, "syslog has the read", func() bool { return len(macs(syslog.text(), "GetSecretValue")) == 1 })
	if !strings.Contains(syslog.text(), "lockstep-audit") {
		t.Error("syslog does not say who sent it")
	}
	eventually(t, "standard output has the read", func() bool { return len(macs(s.Log(), "GetSecretValue")) == 1 })
	// The last that the server does before it ends goes to the sinks at its next
	// start.
	s.Kill()
	must(t, s.Restart(t.Context()))
	wantValue(t, s, "a", value)
	eventually(t, "syslog has what came after the restart", func() bool { return len(macs(syslog.text(), "GetSecretValue")) >= 2 })
	if code := s.Stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	file := macs(contents(t, filepath.Join(s.DataDir, "audit")), "GetSecretValue")
	if len(file) != 2 {
		t.Fatalf("%d reads in the log", len(file))
	}
	for name, text := range map[string]string{
		"syslog": syslog.text(), "standard output": s.Log(),
		"the stream": lineEach(contents(t, filepath.Join(s.DataDir, "jetstream"))),
	} {
		there := strings.Join(macs(text, "GetSecretValue"), " ")
		for _, mac := range file {
			if !strings.Contains(there, mac) {
				t.Errorf("%s lacks a read: %q", name, there)
			}
		}
		if strings.Contains(text, value) {
			t.Errorf("%s holds a value", name)
		}
	}
}

// lineEach puts each record of a stream's file on a line.
func lineEach(text string) string { return strings.ReplaceAll(text, `{"seq":`, "\n"+`{"seq":`) }

// auditDisk is a small disk for an audit log; fill leaves no byte free on it, and
// the function it returns makes room. Where nobody may mount a disk, the log's
// directory is taken away instead.
func auditDisk(t *testing.T) (dir string, fill func() (free func())) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "audit")
	must(t, os.Mkdir(dir, 0o700))
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=0700")
	if errors.Is(err, syscall.EPERM) {
		return dir, func() func() {
			must(t, os.Rename(dir, dir+".away"))
			must(t, os.WriteFile(dir, nil, 0o600))
			return func() { must(t, os.Remove(dir)); must(t, os.Rename(dir+".away", dir)) }
		}
	}
	must(t, err)
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir, func() func() {
		filler := filepath.Join(dir, "filler")
		f, err := os.Create(filler) // #nosec G304 -- a file of the test's own
		must(t, err)
		for size := 1 << 20; size > 0; {
			if n, err := f.Write(make([]byte, size)); err != nil {
				size = min(n, size/2)
			}
		}
		must(t, f.Close())
		return func() { must(t, os.Remove(filler)) }
	}
}

// TestAuditDiskFull: once its audit log cannot be written, a server answers no
// request with a value; when there is room again it goes on by itself, and the
// log has every answer that was given.
func TestAuditDiskFull(t *testing.T) {
	dir, fill := auditDisk(t)
	s := servertest.Start(t, servertest.Options{Args: []string{"--audit-dir", dir}})
	create(t, s, "a", "value of a")
	options := s.Secrets(t).Options()
	options.RetryMaxAttempts = 1 // each answer counts
	client := secretsmanager.New(options)
	var answered, refused atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				call, done := context.WithTimeout(ctx, patience)
				if _, err := valueOf(call, client, "a"); err == nil {
					answered.Add(1)
				} else if ctx.Err() == nil {
					refused.Add(1)
				}
				done()
			}
		})
	}
	defer func() { cancel(); readers.Wait() }()
	eventually(t, "reads work", func() bool { return answered.Load() > 10 })
	free := fill()
	eventually(t, "reads are refused", func() bool { return refused.Load() > 0 })
	before := answered.Load()
	// What was on its way when the disk became full may still be answered.
	eventually(t, "reads are refused again and again", func() bool { return refused.Load() > 12 })
	if more := answered.Load() - before; more > 4 {
		t.Errorf("%d reads were answered while nothing could be recorded", more)
	}
	if _, err := valueOf(t.Context(), client, "a"); err == nil || !strings.Contains(err.Error(), "audit log") {
		t.Errorf("the answer is %v", err)
	}
	free()
	before = answered.Load()
	eventually(t, "reads work again", func() bool { return answered.Load() > before+10 })
	cancel()
	readers.Wait()
	s.Kill()
	if n := int64(len(macs(contents(t, dir), "GetSecretValue"))); n < answered.Load() {
		t.Errorf("%d reads were answered, %d are in the log", answered.Load(), n)
	}
	out, err := cli(t, s, "audit", "verify", "--dir", dir)
	if err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
