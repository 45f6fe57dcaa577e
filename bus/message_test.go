package bus

import (
	"errors"
	"strings"
	"testing"

	"lockstep"
)

const goodJob = `{"kind":"run","account":"123456789012","region":"us-east-1","secretId":7,"name":"a/b","run":"run-1","seq":2}`

func TestDecodeJob(t *testing.T) {
	m, err := DecodeJob([]byte(goodJob))
	if err != nil || m.Run != "run-1" || m.SecretID != 7 || m.Seq != 2 {
		t.Fatalf("got %+v, %v", m, err)
	}
	for name, body := range map[string]string{
		"empty":           ``,
		"not JSON":        `run`,
		"array":           `[]`,
		"null":            `null`,
		"unknown field":   strings.Replace(goodJob, `"seq"`, `"value":"x","seq"`, 1),
		"two values":      goodJob + goodJob,
		"trailing":        goodJob + `]`,
		"unknown kind":    strings.Replace(goodJob, `"kind":"run"`, `"kind":"drop"`, 1),
		"run without id":  strings.Replace(goodJob, `"run":"run-1",`, ``, 1),
		"retire without":  strings.Replace(goodJob, `"kind":"run"`, `"kind":"retire"`, 1),
		"plan without":    strings.Replace(goodJob, `"kind":"run"`, `"kind":"plan"`, 1),
		"no secret":       strings.Replace(goodJob, `"secretId":7`, `"secretId":0`, 1),
		"no name":         strings.Replace(goodJob, `"a/b"`, `""`, 1),
		"no account":      strings.Replace(goodJob, `"123456789012"`, `""`, 1),
		"negative":        strings.Replace(goodJob, `"seq":2`, `"seq":-1`, 1),
		"an event":        `{"specversion":"1.0","id":"evt-1","type":"lockstep.version.current"}`,
		"a stream answer": `{"type":"io.nats.jetstream.api.v1.stream_info_response"}`,
		"too long":        strings.Replace(goodJob, `a/b`, strings.Repeat("a", 9000), 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := DecodeJob([]byte(body)); !errors.Is(err, lockstep.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

func FuzzDecodeJob(f *testing.F) {
	f.Add([]byte(goodJob))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := DecodeJob(body)
		if err != nil {
			return
		}
		out, err := EncodeJob(m)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		again, err := DecodeJob(out)
		if err != nil || again != m {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}
