package file

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
)

func FuzzDecode(f *testing.F) {
	signing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	text, err := material{wrapping: make([]byte, keySize), signing: signing}.encode(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte(titlePrefix))
	f.Add([]byte(title + "\n\n\n\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decode(text, nil)
		if err != nil {
			return
		}
		// One key has one text.
		again, err := m.encode(nil)
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("decoded text encodes to another one (%v)", err)
		}
	})
}
