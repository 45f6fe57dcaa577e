package bus

import (
	"fmt"
	"testing"

	"lockstep"
)

func names(events []lockstep.Event) string {
	s := ""
	for _, e := range events {
		s += fmt.Sprintf("%s:%d ", e.Name, e.Seq)
	}
	return s
}

func TestReplay(t *testing.T) {
	d := openDoor(t)
	for _, e := range []struct {
		name string
		seq  uint64
	}{{"prod/db/a", 1}, {"prod/db/b", 1}, {"test/x", 1}, {"prod/db/a", 2}, {"prod/db/a", 3}} {
		publishEvent(t, d.Bus, e.name, e.seq)
	}
	nc, _ := d.client(t, "orders", ownID)
	ask := func(subject string, req ReplayRequest, want string, present bool) ReplayEnd {
		t.Helper()
		got, end := replay(t, nc, ownID, subject, req)
		if names(got) != want || end.Present != present || end.Error != "" {
			t.Errorf("after %d: got %s(%+v), want %s", req.After, names(got), end, want)
		}
		return end
	}
	end := ask(prodDB, ReplayRequest{}, "prod/db/b:1 prod/db/a:3 ", true)
	if end.Last != 5 || end.Stream == "" {
		t.Errorf("end %+v", end)
	}
	ask(prodDB, ReplayRequest{After: end.Last, Stream: end.Stream}, "", false)
	ask(prodDB, ReplayRequest{After: 1, Stream: end.Stream}, "prod/db/b:1 prod/db/a:2 prod/db/a:3 ", false)
	publishEvent(t, d.Bus, "prod/db/c", 1)
	ask(prodDB, ReplayRequest{After: end.Last, Stream: end.Stream}, "prod/db/c:1 ", false)
	ask("lockstep.event.123456789012.us-east-1.version.current.prod.db.b", ReplayRequest{}, "prod/db/b:1 ", true)
	ask("lockstep.event.123456789012.us-east-1.run.failed.prod.db.>", ReplayRequest{}, "", true)
	// Another stream than the client knows: the present state.
	ask(prodDB, ReplayRequest{After: 2, Stream: "older"}, "prod/db/b:1 prod/db/a:3 prod/db/c:1 ", true)
	ask(prodDB, ReplayRequest{After: 999, Stream: end.Stream}, "prod/db/b:1 prod/db/a:3 prod/db/c:1 ", true)
}

func TestReplayOfMoreThanOneBatch(t *testing.T) {
	d := openDoor(t)
	const n = 3*replayBatch + 7
	ms := make([]Message, n)
	for i := range ms {
		ms[i], _ = event(t, fmt.Sprintf("prod/db/s%d", i), 1)
	}
	for _, err := range d.PublishEvents(testContext(t), ms) {
		if err != nil {
			t.Fatal(err)
		}
	}
	nc, _ := d.client(t, "orders", ownID)
	if got, end := replay(t, nc, ownID, prodDB, ReplayRequest{}); len(got) != n || end.Error != "" {
		t.Errorf("got %d events of %d, %+v", len(got), n, end)
	}
}

func TestReplayRefusesWhatIsNotARequest(t *testing.T) {
	d := openDoor(t)
	nc, _ := d.client(t, "orders", ownID)
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"{", `{"after":-1}`, string(make([]byte, maxReplayBody+1))} {
		if err := nc.PublishRequest(ReplaySubject(ownID, prodDB), inbox, []byte(body)); err != nil {
			t.Fatal(err)
		}
		m, err := sub.NextMsgWithContext(testContext(t))
		if err != nil || m.Header.Get(HeaderEnd) == "" || string(m.Data) == "" {
			t.Errorf("%q: %v, %v", body, m, err)
		}
	}
}
