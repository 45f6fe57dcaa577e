package audit

import (
	"bytes"
	"testing"
	"time"
)

func FuzzParse(f *testing.F) {
	s := newSealer("node", make([]byte, 32))
	body, err := Record{Name: "GetSecretValue", Resources: []Resource{{ARN: "arn"}}}.encode("node", time.Now())
	if err != nil {
		f.Fatal(err)
	}
	line, _ := s.appendLine(nil, 7, digest{}, body)
	f.Add(line[:len(line)-1])
	head, _ := s.appendLine(nil, 1, digest{}, []byte(`"checkpoint":{"node":"n","seq":1}}`))
	f.Add(head[:len(head)-1])
	f.Add([]byte(`{"seq":1,"mac":"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parse(line)
		if err != nil {
			return
		}
		// One entry has one text.
		again := append(bytes.Clone(e.content), macText...)
		again = code.AppendEncode(again, e.mac[:])
		if !bytes.Equal(again, e.sealed) {
			t.Fatalf("%q is sealed as %q", line, e.sealed)
		}
		again = append(again, sumText...)
		again = append(code.AppendEncode(again, e.hash[:]), endText...)
		if !bytes.Equal(again, line) {
			t.Fatalf("%q is written as %q", line, again)
		}
		_, _ = marksOf(e.content)
		_, _ = ReadRecord(line)
	})
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("{\n"), uint64(3))
	f.Fuzz(func(t *testing.T, content []byte, head uint64) {
		v := newVerifier("node", Trust{MACKey: make([]byte, 32)})
		v.end(v.lines(content))
		v.finish()
		if len(content) > 0 && len(v.findings) == 0 {
			t.Fatalf("%q passes", content)
		}
	})
}
