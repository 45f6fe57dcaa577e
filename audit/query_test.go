package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/audit"
)

func TestFind(t *testing.T) {
	r := newRig(t)
	l := r.open(t, func(c *audit.Config) { c.MaxFile = 1500 })
	at := time.Now().UTC().Truncate(time.Second)
	add := func(user, secret, event, code string, age time.Duration) {
		t.Helper()
		err := l.Append(t.Context(), audit.Record{
			Time: at.Add(-age), Source: "secretsmanager.amazonaws.com", Name: event, Type: audit.TypeAPICall, ErrorCode: code,
			Identity:  audit.Identity{Type: "IAMUser", ARN: "arn:aws:iam::000000000000:user/" + user, Name: user},
			RequestID: fmt.Sprintf("%s %s %s", user, event, secret),
			Resources: []audit.Resource{{ARN: "arn:aws:secretsmanager:us-east-1:000000000000:secret:" + secret + "-AbCdEf", VersionID: "v1"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("ann", "prod/db", "GetSecretValue", "", 50*time.Second)
	add("bob", "prod/db", "GetSecretValue", "AccessDeniedException", 40*time.Second)
	add("ann", "prod/db-two", "GetSecretValue", "", 30*time.Second)
	add("ann", "prod/db", "PutSecretValue", "", 20*time.Second)
	closeLog(t, l)
	const arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db"
	for what, c := range map[string]struct {
		q    audit.Query
		want []string
	}{
		"all":                     {audit.Query{}, []string{"ann GetSecretValue prod/db", "bob GetSecretValue prod/db", "ann GetSecretValue prod/db-two", "ann PutSecretValue prod/db"}},
		"a secret by name":        {audit.Query{Secret: "prod/db"}, []string{"ann GetSecretValue prod/db", "bob GetSecretValue prod/db", "ann PutSecretValue prod/db"}},
		"a secret by ARN":         {audit.Query{Secret: arn + "-AbCdEf", Event: "PutSecretValue"}, []string{"ann PutSecretValue prod/db"}},
		"a secret by partial ARN": {audit.Query{Secret: arn, Principal: "bob"}, []string{"bob GetSecretValue prod/db"}},
		"a user by ARN":           {audit.Query{Principal: "arn:aws:iam::000000000000:user/bob"}, []string{"bob GetSecretValue prod/db"}},
		"since":                   {audit.Query{Since: at.Add(-35 * time.Second)}, []string{"ann GetSecretValue prod/db-two", "ann PutSecretValue prod/db"}},
		"until":                   {audit.Query{Until: at.Add(-40 * time.Second)}, []string{"ann GetSecretValue prod/db"}},
		"denied":                  {audit.Query{DeniedOnly: true}, []string{"bob GetSecretValue prod/db"}},
		"the newest":              {audit.Query{Limit: 1}, []string{"ann PutSecretValue prod/db"}},
		"nobody":                  {audit.Query{Principal: "carl"}, nil},
	} {
		found, err := audit.Find(r.dir, c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			got = append(got, f.RequestID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

// TestFindSkipsFiles makes files out of the range unreadable: they are not
// opened.
func TestFindSkipsFiles(t *testing.T) {
	r := newRig(t)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 3 {
		l := r.open(t, func(c *audit.Config) { c.Now = func() time.Time { return now } })
		appendN(t, l, i, 1)
		closeLog(t, l)
		now = now.Add(48 * time.Hour)
	}
	files := r.files(t)
	for _, skipped := range []string{files[0], files[2]} {
		write(t, skipped, []byte("not to be looked at"))
	}
	begin := time.Date(2030, 1, 4, 0, 0, 0, 0, time.UTC)
	found, err := audit.Find(r.dir, audit.Query{Since: begin, Until: begin.Add(24 * time.Hour)})
	if err != nil || len(found) != 1 {
		t.Errorf("found %v (%v)", found, err)
	}
}

// flaky is a sink that fails at first.
type flaky struct {
	mu    sync.Mutex
	fails int
	got   []uint64
	more  chan struct{}
}

func (f *flaky) Name() string { return "flaky" }

func (f *flaky) Deliver(_ context.Context, list []audit.Line) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails > 0 {
		f.fails--
		return errors.New("away")
	}
	for _, l := range list {
		f.got = append(f.got, l.Seq)
	}
	select {
	case f.more <- struct{}{}:
	default:
	}
	return nil
}

func (f *flaky) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.got) == 0 {
		return 0
	}
	return f.got[len(f.got)-1]
}

// TestForward copies a log over failures, new files and a restart.
func TestForward(t *testing.T) {
	r := newRig(t)
	small := func(c *audit.Config) { c.MaxFile = 3000 }
	l := r.open(t, small)
	s := &flaky{fails: 2, more: make(chan struct{}, 1)}
	f := audit.Forward(t.Context(), l, s)
	appendN(t, l, 1, 20)
	last, _ := l.Durable()
	waitFor(t, func() bool { return s.last() == last })
	f.Stop()
	appendN(t, l, 21, 20)
	closeLog(t, l)
	l = r.open(t, small)
	f = audit.Forward(t.Context(), l, s)
	defer f.Stop()
	last, _ = l.Durable()
	waitFor(t, func() bool { return s.last() == last })
	for i, seq := range s.got {
		if seq != s.got[0]+uint64(i) {
			t.Fatalf("entry %d came after %d", seq, s.got[max(i-1, 0)])
		}
	}
}

func TestWriterSink(t *testing.T) {
	var out bytes.Buffer
	s := audit.NewWriterSink("stdout", &out)
	if err := s.Deliver(t.Context(), []audit.Line{{Seq: 1, Text: []byte("one")}, {Seq: 2, Text: []byte("two")}}); err != nil || out.String() != "one\ntwo\n" {
		t.Errorf("%q (%v)", &out, err)
	}
}

func TestReadOnlyAction(t *testing.T) {
	for name, want := range map[string]bool{"GetSecretValue": true, "ListSecrets": true, "DescribeKey": true, "PutSecretValue": false, "Decrypt": false, "GetSessionToken": false} {
		if audit.ReadOnlyAction(name) != want {
			t.Errorf("%s", name)
		}
	}
}

func TestNodeName(t *testing.T) {
	for given, want := range map[string]string{"": "local", "host:/var/lib": "host-var-lib", "../..": "local", "a b": "a-b", strings.Repeat("x", 200): strings.Repeat("x", 128)} {
		if got := audit.NodeName(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
