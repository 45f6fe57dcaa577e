package keys

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"lockstep"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGCMVectors opens what others sealed: the cases for 256-bit keys and 96-bit
// nonces of the submission of GCM to NIST (McGrew and Viega, appendix B).
func TestGCMVectors(t *testing.T) {
	const key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
	for name, v := range map[string]struct{ key, nonce, plain, aad, sealed string }{
		"13, nothing": {
			"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
			"530f8afbc74536b9a963b4f1c4cb738b",
		},
		"14, a block": {
			"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "00000000000000000000000000000000", "",
			"cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
		},
		"16, with associated data": {
			key, "cafebabefacedbaddecaf888",
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
			"feedfacedeadbeeffeedfacedeadbeefabaddad2",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
				"76fc6ece0f4e1768cddf8853bb2d551b",
		},
	} {
		sealed := slices.Concat([]byte{formGCM}, unhex(t, v.nonce), unhex(t, v.sealed))
		got, err := open(unhex(t, v.key), sealed, unhex(t, v.aad))
		if err != nil || !bytes.Equal(got, unhex(t, v.plain)) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// TestOpenRefuses is a row for each way in which what we compose can be wrong: the
// form, the nonce's place and length, the tag's length, the key, the associated
// data.
func TestOpenRefuses(t *testing.T) {
	key, aad := bytes.Repeat([]byte{1}, 32), associated("what", "arn", "version")
	good, err := seal(key, []byte("value"), aad)
	if err != nil {
		t.Fatal(err)
	}
	const nonce = 12
	rows := map[string]struct{ key, sealed, aad []byte }{
		"nothing":                      {key, nil, aad},
		"the form alone":               {key, good[:1], aad},
		"form 0":                       {key, append([]byte{0}, good[1:]...), aad},
		"a form of the future":         {key, append([]byte{2}, good[1:]...), aad},
		"without its form":             {key, good[1:], aad},
		"a nonce of 11 bytes":          {key, slices.Delete(slices.Clone(good), 1, 2), aad},
		"a nonce of 13 bytes":          {key, slices.Insert(slices.Clone(good), 1, 0), aad},
		"a nonce of zeros":             {key, slices.Concat(good[:1], make([]byte, nonce), good[1+nonce:]), aad},
		"no ciphertext":                {key, slices.Concat(good[:1+nonce], good[len(good)-16:]), aad},
		"a byte more":                  {key, append(slices.Clone(good), 0), aad},
		"twice":                        {key, slices.Concat(good, good), aad},
		"a tag of zeros":               {key, slices.Concat(good[:len(good)-16], make([]byte, 16)), aad},
		"another key":                  {bytes.Repeat([]byte{2}, 32), good, aad},
		"half the key":                 {key[:16], good, aad},
		"no associated data":           {key, good, nil},
		"its parts swapped":            {key, good, associated("what", "version", "arn")},
		"a part fewer":                 {key, good, associated("what", "arn")},
		"an empty part more":           {key, good, associated("what", "arn", "version", "")},
		"a byte from part to part":     {key, good, associated("what", "arnv", "ersion")},
		"the same bytes as one part":   {key, good, associated("whatarnversion")},
		"another purpose":              {key, good, associated("else", "arn", "version")},
		"its own length as its prefix": {key, good, append([]byte{byte(len(aad))}, aad...)},
	}
	for n := range 16 {
		rows[fmt.Sprintf("a tag of %d bytes", n)] = struct{ key, sealed, aad []byte }{key, good[:len(good)-16+n], aad}
	}
	for name, r := range rows {
		if got, err := open(r.key, r.sealed, r.aad); !errors.Is(err, lockstep.ErrDecrypt) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := open(key[:31], good, aad); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
}

// TestAssociatedIsOneToOne: two lists of parts never give the same bytes, wherever
// the same letters are cut.
func TestAssociatedIsOneToOne(t *testing.T) {
	seen := make(map[string][]string)
	var cuts func(rest string, parts []string)
	cuts = func(rest string, parts []string) {
		if rest == "" {
			for _, list := range [][]string{parts, append(slices.Clone(parts), "")} {
				text := string(associated(list...))
				if other, taken := seen[text]; taken && !slices.Equal(other, list) {
					t.Fatalf("%q and %q are the same", other, list)
				}
				seen[text] = list
			}
			return
		}
		for n := range len(rest) + 1 {
			if n == 0 && len(parts) > 0 && parts[len(parts)-1] == "" {
				continue // no end of empty parts
			}
			cuts(rest[n:], append(slices.Clone(parts), rest[:n]))
		}
	}
	cuts("a\x01b\x00\x02c", nil)
	if len(seen) < 100 {
		t.Errorf("only %d lists", len(seen))
	}
}

// TestUserCiphertexts is a row for each thing that is no ciphertext of ours.
func TestUserCiphertexts(t *testing.T) {
	id := "11111111-2222-3333-4444-555555555555"
	head := append([]byte{formUser, byte(len(id))}, id...)
	version := func(n ...byte) []byte { return append(slices.Clone(head), n...) }
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"one byte":               {formUser},
		"AWS's form":             unhex(t, "010203007880c5"),
		"an id without length":   {formUser, 0, 0, 0, 0, 1},
		"an id that is too long": append([]byte{formUser, maxKeyID + 1}, make([]byte, 100)...),
		"an id that is cut off":  head[:10],
		"no version":             head,
		"half a version":         version(0, 0),
		"version 0":              version(0, 0, 0, 0),
		"a version beyond all":   version(0xff, 0xff, 0xff, 0xff),
	} {
		if _, _, _, err := splitUser(b); !errors.Is(err, lockstep.ErrDecrypt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, other := range map[string]Context{
		"none": nil, "another value": {"app": "x", "env": "prod"}, "a pair fewer": {"app": "orders"},
		"a pair more": {"app": "orders", "env": "prod", "": ""}, "keys for values": {"orders": "app", "prod": "env"},
		"cut elsewhere": {"apporders": "", "env": "prod"}, "case": {"App": "orders", "env": "prod"},
	} {
		if bytes.Equal(userAAD(id, 1, other), userAAD(id, 1, Context{"env": "prod", "app": "orders"})) {
			t.Errorf("another context is the same: %s", name)
		}
	}
	if bytes.Equal(userAAD(id, 1, nil), userAAD(id, 2, nil)) || bytes.Equal(userAAD(id, 1, nil), userAAD("x", 1, nil)) {
		t.Error("key and version are not bound")
	}
}
