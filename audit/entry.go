package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"

	"lockstep"
)

// digest is the hash of an entry. The first entry of a chain follows the zero
// digest.
type digest [sha256.Size]byte

const (
	macSize = 16
	macText = `,"mac":"`
	sumText = `","hash":"`
	endText = `"}`
	seqText = `{"seq":`
)

// The places of the parts at the end of a line.
var (
	code    = base64.RawURLEncoding.Strict()
	macLen  = code.EncodedLen(macSize)
	sumLen  = code.EncodedLen(sha256.Size)
	tailLen = len(macText) + macLen + len(sumText) + sumLen + len(endText)
)

// entry is a line taken apart; it shares the line's memory.
type entry struct {
	seq uint64
	// content is all before the mac; sealed is all before the hash.
	content, sealed []byte
	mac             [macSize]byte
	hash            digest
}

// errMalformed: the bytes are no entry.
var errMalformed = fmt.Errorf("not an audit entry: %w", lockstep.ErrInvalid)

// parse takes a line, without its line end, apart. It checks the form alone.
// Errors: errMalformed.
func parse(line []byte) (entry, error) {
	var e entry
	at := len(line) - tailLen
	if at <= len(seqText) || len(line) > MaxEntry || !bytes.HasPrefix(line, []byte(seqText)) {
		return e, errMalformed
	}
	digits, _, found := bytes.Cut(line[len(seqText):at], []byte(","))
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	if !found || err != nil || digits[0] == '0' || digits[0] == '+' {
		return e, errMalformed
	}
	e.seq, e.content = seq, line[:at]
	rest := line[at:]
	take := func(text string) bool {
		ok := bytes.HasPrefix(rest, []byte(text))
		rest = bytes.TrimPrefix(rest, []byte(text))
		return ok
	}
	decode := func(into []byte, n int) bool {
		_, err := code.Decode(into, rest[:n])
		rest = rest[n:]
		return err == nil
	}
	ok := take(macText) && decode(e.mac[:], macLen)
	e.sealed = line[:len(line)-len(rest)]
	if !ok || !take(sumText) || !decode(e.hash[:], sumLen) || string(rest) != endText {
		return e, errMalformed
	}
	return e, nil
}

// content of an entry that is no record.
type (
	// fileEntry is the first entry of each file.
	fileEntry struct {
		Node string `json:"node"`
		// Prev is the hash of the entry before, so that a file can be checked
		// although the one before is missing.
		Prev   []byte `json:"prev"`
		Opened string `json:"opened"`
	}
	// marks is what tells the kinds of entries apart.
	marks struct {
		File *fileEntry `json:"file"`
		Head *Head      `json:"checkpoint"`
	}
)

// marksOf reads an entry that is no record; both fields are nil for a record.
// Only what begins like one is decoded: most entries are records.
func marksOf(content []byte) (marks, error) {
	var m marks
	_, body, _ := bytes.Cut(content, []byte(","))
	if !bytes.HasPrefix(body, []byte(`"file":`)) && !bytes.HasPrefix(body, []byte(`"checkpoint":`)) {
		return m, nil
	}
	if err := json.Unmarshal(append(bytes.Clone(content), '}'), &m); err != nil {
		return m, errMalformed
	}
	return m, nil
}

// record decodes a record's content. Errors: errMalformed.
func (e entry) record() (Record, error) {
	var r Record
	if err := json.Unmarshal(append(bytes.Clone(e.content), '}'), &r); err != nil {
		return Record{}, errors.Join(errMalformed, err)
	}
	return r, nil
}

// sealer makes and checks macs and hashes. It is used by one goroutine.
type sealer struct {
	node string
	mac  hash.Hash // nil: macs are not checked
	sum  hash.Hash
}

func newSealer(node string, key []byte) *sealer {
	s := &sealer{node: node, sum: sha256.New()}
	if len(key) > 0 {
		s.mac = hmac.New(sha256.New, key)
	}
	return s
}

func (s *sealer) macOf(content []byte) (out [macSize]byte) {
	var full [sha256.Size]byte
	s.mac.Reset()
	// The name cannot hold a zero byte.
	s.mac.Write([]byte(s.node))
	s.mac.Write([]byte{0})
	s.mac.Write(content)
	s.mac.Sum(full[:0])
	copy(out[:], full[:])
	return out
}

func (s *sealer) hashOf(prev digest, sealed []byte) (out digest) {
	s.sum.Reset()
	s.sum.Write(prev[:])
	s.sum.Write(sealed)
	s.sum.Sum(out[:0])
	return out
}

// authentic tells whether the mac is right; true if there is no key.
func (s *sealer) authentic(e entry) bool {
	if s.mac == nil {
		return true
	}
	want := s.macOf(e.content)
	return hmac.Equal(want[:], e.mac[:])
}

// follows tells whether the entry's hash is right after prev.
func (s *sealer) follows(prev digest, e entry) bool {
	return s.hashOf(prev, e.sealed) == e.hash
}

// appendLine seals a body (JSON without its opening brace) as the entry seq
// after prev.
func (s *sealer) appendLine(out []byte, seq uint64, prev digest, body []byte) ([]byte, digest) {
	start := len(out)
	out = append(out, seqText...)
	out = strconv.AppendUint(out, seq, 10)
	out = append(out, ',')
	out = append(out, body[:len(body)-1]...)
	mac := s.macOf(out[start:])
	out = append(out, macText...)
	out = code.AppendEncode(out, mac[:])
	sum := s.hashOf(prev, out[start:])
	out = append(out, sumText...)
	out = code.AppendEncode(out, sum[:])
	out = append(out, endText...)
	return append(out, '\n'), sum
}
