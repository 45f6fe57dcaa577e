package audit

import "bytes"

// Forged is an entry in the hands of an attacker.
type Forged struct {
	Body []byte // its content after the number, without brace
	mac  []byte
}

// Forge rewrites a file as an attacker without keys can: entries changed by
// edit, numbered and hashed anew, with the macs that they had.
func Forge(content []byte, edit func([]Forged) []Forged) []byte {
	var list []Forged
	for line := range bytes.Lines(content) {
		e, err := parse(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			continue
		}
		_, body, _ := bytes.Cut(e.content, []byte(","))
		list = append(list, Forged{Body: bytes.Clone(body), mac: bytes.Clone(e.mac[:])})
	}
	list = edit(list)
	s := newSealer("", []byte("an attacker's own key"))
	var prev digest
	var out []byte
	for i, f := range list {
		line, _ := s.appendLine(nil, uint64(i+1), prev, append(f.Body, '}'))
		e, _ := parse(bytes.TrimSuffix(line, []byte("\n")))
		sealed := append(bytes.Clone(e.content), macText...)
		sealed = code.AppendEncode(sealed, f.mac)
		prev = s.hashOf(prev, sealed)
		out = append(append(out, sealed...), sumText...)
		out = append(append(code.AppendEncode(out, prev[:]), endText...), '\n')
	}
	return out
}
