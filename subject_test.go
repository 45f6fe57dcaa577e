package lockstep_test

import (
	"strings"
	"testing"

	"lockstep"
)

func TestSecretKey(t *testing.T) {
	for name, key := range map[string]string{
		"orders":          "orders",
		"prod/db/orders":  "prod.db.orders",
		"v1.2/orders":     "v1%2E2.orders",
		"/prod":           "%.prod",
		"prod/":           "prod.%",
		"a//b":            "a.%.b",
		"/":               "%.%",
		"a_+=@!-Z09":      "a_+=@!-Z09",
		"a b*>":           "a%20b%2A%3E",
		"50%":             "50%25",
		"%2E":             "%252E",
		"":                "%",
		"prod/db\x00/é":   "prod.db%00.%C3%A9",
		"...":             "%2E%2E%2E",
		"$JS/API/$SYS.#1": "%24JS.API.%24SYS%2E%231",
	} {
		if got := lockstep.SecretKey(name); got != key {
			t.Errorf("SecretKey(%q) = %q, want %q", name, got, key)
		}
		if got := lockstep.NameOfKey(key); got != name {
			t.Errorf("NameOfKey(%q) = %q, want %q", key, got, name)
		}
	}
}

func TestNameOfKeyLeavesWhatIsNoEscape(t *testing.T) {
	for key, name := range map[string]string{"a%2": "a%2", "a%zz": "a%zz", "a%%": "a%%", "%+1": "%+1"} {
		if got := lockstep.NameOfKey(key); got != name {
			t.Errorf("NameOfKey(%q) = %q, want %q", key, got, name)
		}
	}
}

func FuzzSecretKey(f *testing.F) {
	for _, name := range []string{"prod/db/orders", "v1.2//x", "%", "%2E", "", "a b", "é", "a-123456"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key := lockstep.SecretKey(name)
		if got := lockstep.NameOfKey(key); got != name {
			t.Fatalf("NameOfKey(SecretKey(%q)) = %q", name, got)
		}
		for token := range strings.SplitSeq(key, ".") {
			if token == "" || strings.ContainsAny(token, "*> \t\r\n\x00") {
				t.Fatalf("SecretKey(%q) = %q has the token %q", name, key, token)
			}
		}
	})
}

func FuzzNameOfKey(f *testing.F) {
	f.Add("prod.%.v1%2E2")
	f.Add("%zz.%")
	f.Fuzz(func(_ *testing.T, key string) { lockstep.NameOfKey(key) })
}

func TestSubjects(t *testing.T) {
	e := &lockstep.Event{Account: "000000000000", Region: "us-east-1", Type: lockstep.EventVersionCurrent, Name: "prod/db/v1.2"}
	if got, want := lockstep.EventSubject(e), "lockstep.event.000000000000.us-east-1.version.current.prod.db.v1%2E2"; got != want {
		t.Errorf("EventSubject = %s, want %s", got, want)
	}
	got := lockstep.JobSubject("000000000000", "us-east-1", "default", "run", "prod/db")
	if want := "lockstep.job.000000000000.us-east-1.default.run.prod.db"; got != want {
		t.Errorf("JobSubject = %s, want %s", got, want)
	}
}
