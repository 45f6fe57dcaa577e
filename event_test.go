package lockstep_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"lockstep"
)

func fullEvent() lockstep.Event {
	return lockstep.Event{
		ID: "evt-1", Type: lockstep.EventVersionCurrent, Secret: 7,
		Account: "123456789012", Region: "eu-west-1", Name: "prod/db/orders",
		ARN: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db/orders-AbCdEf",
		Seq: 42, Time: time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC),
		Data: lockstep.EventData{
			VersionID: "v2", Previous: "v1", Stages: map[string]lockstep.VersionID{"AWSCURRENT": "v2"},
			Run: "run-1", Trigger: lockstep.TriggerSchedule, State: lockstep.RunSucceeded,
			Step: lockstep.StepFinish, Attempt: 2, Reason: "because", Hint: "do this",
		},
	}
}

// TestEventIsACloudEvent lets the CloudEvents project's own reader judge.
func TestEventIsACloudEvent(t *testing.T) {
	for _, typ := range lockstep.EventTypes() {
		e := fullEvent()
		e.Type = typ
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var c cloudevents.Event
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s is no CloudEvent: %v", typ, err)
		}
		want := [...]string{"1.0", "evt-1", "lockstep." + string(typ), "lockstep://123456789012/eu-west-1", string(e.ARN), "application/json"}
		got := [...]string{c.SpecVersion(), c.ID(), c.Type(), c.Source(), c.Subject(), c.DataContentType()}
		if got != want || !c.Time().Equal(e.Time) {
			t.Errorf("got %v at %v, want %v at %v", got, c.Time(), want, e.Time)
		}
		var data struct {
			Name     string `json:"name"`
			Sequence uint64 `json:"sequence"`
		}
		if err := c.DataAs(&data); err != nil || data.Name != e.Name || data.Sequence != 42 {
			t.Errorf("data %+v: %v", data, err)
		}
	}
}

func TestEventRoundTrip(t *testing.T) {
	want := fullEvent()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got lockstep.Event
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want.Secret = 0 // the store's number does not leave the store
	want.Data.Name, want.Data.Sequence = want.Name, want.Seq
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEventLeavesOutWhatDoesNotApply(t *testing.T) {
	e := fullEvent()
	e.Data = lockstep.EventData{}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), `"data":{"name":"prod/db/orders","sequence":42}}`) {
		t.Errorf("got %s", text)
	}
}

func TestEventRefused(t *testing.T) {
	good, err := json.Marshal(fullEvent())
	if err != nil {
		t.Fatal(err)
	}
	for rule, change := range map[string][2]string{
		"no JSON":              {"{", "["},
		"another version":      {`"specversion":"1.0"`, `"specversion":"0.3"`},
		"no id":                {`"id":"evt-1"`, `"id":""`},
		"another's type":       {"lockstep.version.current", "com.example.version.current"},
		"a type of our length": {"lockstep.version.current", "abcdefgh.version.current"},
		"no type":              {"lockstep.version.current", "lockstep."},
		"no time":              {"2026-03-04T05:06:07.089Z", "today"},
		"no secret ARN":        {"arn:aws:secretsmanager:", "arn:aws:kms:"},
		"a sequence below 0":   {`"sequence":42`, `"sequence":-1`},
	} {
		text := strings.Replace(string(good), change[0], change[1], 1)
		var e lockstep.Event
		if err := e.UnmarshalJSON([]byte(text)); !errors.Is(err, lockstep.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", rule, err)
		}
	}
}

func TestEventOfANewerServer(t *testing.T) {
	e := fullEvent()
	e.Type = "secret.borrowed"
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var got lockstep.Event
	if err := json.Unmarshal(text, &got); err != nil || got.Type != "secret.borrowed" {
		t.Errorf("got %s, %v", got.Type, err)
	}
}

// FuzzEvent checks that whatever is read can be written and read again to the
// same Event.
func FuzzEvent(f *testing.F) {
	good, err := json.Marshal(fullEvent())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"specversion":"1.0"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e, again lockstep.Event
		if e.UnmarshalJSON(text) != nil {
			return
		}
		out, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatalf("read again: %v of %s", err, out)
		}
		twice, err := json.Marshal(again)
		if err != nil || string(twice) != string(out) {
			t.Fatalf("%s\n%s\n%v", out, twice, err)
		}
	})
}
