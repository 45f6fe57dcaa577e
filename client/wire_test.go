package client

import (
	"encoding/json"
	"testing"

	"lockstep/bus"
)

// TestTheServerSpeaksTheSame holds what this package says to NATS together
// with what package bus expects, since applications do not import the server.
func TestTheServerSpeaksTheSame(t *testing.T) {
	l, err := newLink(&Client{}, "", "orders api")
	if err != nil {
		t.Fatal(err)
	}
	marshal := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for what, pair := range map[string][2]string{
		"name":           {l.name, bus.ClientName(l.id, "orders api")},
		"inbox":          {inboxPrefix + l.id, bus.InboxPrefix(l.id)},
		"replay subject": {replayRoot + l.id + ".x", bus.ReplaySubject(l.id, "x")},
		"header":         {headerEnd, bus.HeaderEnd},
		"request":        {marshal(replayRequest{1, "s"}), marshal(bus.ReplayRequest{After: 1, Stream: "s"})},
		"end":            {marshal(replayEnd{1, "s", true, "e"}), marshal(bus.ReplayEnd{Last: 1, Stream: "s", Present: true, Error: "e"})},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s here, %s there", what, pair[0], pair[1])
		}
	}
}
