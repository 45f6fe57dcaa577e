package bus

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAuditSubject(t *testing.T) {
	for want, parts := range map[string][3]string{
		"lockstep.audit.local.secretsmanager.GetSecretValue": {"local", "secretsmanager.amazonaws.com", "GetSecretValue"},
		"lockstep.audit.host-a.-.-":                          {"host.a", "", ""},
		"lockstep.audit.n.lockstep.a-b":                      {"n", "lockstep", "a.>*b"},
	} {
		if got := AuditSubject(parts[0], parts[1], parts[2]); got != want {
			t.Errorf("%q: %s, want %s", parts, got, want)
		}
	}
}

// TestAuditStream publishes twice what a restart would repeat; the stream has it
// once, in order. Without the setting there is no stream.
func TestAuditStream(t *testing.T) {
	b := start(t, func(c *Config) { c.Audit = true })
	ctx := testContext(t)
	ms := []Message{
		{ID: "local-1", Subject: AuditSubject("local", "lockstep", "StartServer"), Body: []byte(`{"seq":1}`)},
		{ID: "local-2", Subject: AuditSubject("local", "lockstep", "StartServer"), Body: []byte(`{"seq":2}`)},
	}
	for range 2 {
		for _, err := range b.PublishAudit(ctx, ms) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := b.js.Stream(ctx, StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	last, err := s.GetLastMsgForSubject(ctx, ms[1].Subject)
	if err != nil || string(last.Data) != `{"seq":2}` {
		t.Errorf("last message %v (%v)", last, err)
	}
	if _, err := start(t, nil).js.Stream(ctx, StreamAudit); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("without the setting: %v", err)
	}
}
