package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"lockstep"
	"lockstep/backup"
)

type row struct{ Text string }

// root is a root key in memory that wraps by remembering.
type root struct{ wrapped []byte }

func (r *root) ID() string { return "memory-1" }
func (r *root) Wrap(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	r.wrapped = bytes.Clone(plaintext)
	return []byte("handle"), nil
}
func (r *root) Unwrap(context.Context, []byte, []byte) ([]byte, error) {
	return bytes.Clone(r.wrapped), nil
}

func write(t *testing.T, k backup.Key, rows int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := backup.NewWriter[row](&out, k)
	if err == nil {
		err = w.File(backup.File{Name: "ca.pem", Content: []byte("authority")})
	}
	for range rows {
		if err == nil {
			err = w.Row(row{"content of a row"})
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readAll(b []byte, open func(*backup.Reader[row]) error) (rows int, err error) {
	r, err := backup.NewReader[row](bytes.NewReader(b))
	if err == nil {
		err = open(r)
	}
	for err == nil {
		var one *row
		if _, one, err = r.Next(); one != nil {
			rows++
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return rows, err
}

func TestRoundTrip(t *testing.T) {
	memory := &root{}
	k, err := backup.RootKey(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{0, 1, 10_000} { // the last fills several chunks
		b := write(t, k, rows)
		got, err := readAll(b, func(r *backup.Reader[row]) error { return r.OpenByRoot(t.Context(), memory) })
		if err != nil || got != rows {
			t.Errorf("%d rows: %d, %v", rows, got, err)
		}
		whole := &backup.Whole{}
		for i := range b { // byte by byte
			_, _ = whole.Write(b[i : i+1])
			if i < len(b)-1 && whole.Err() == nil {
				t.Fatalf("whole after %d of %d bytes", i+1, len(b))
			}
			if rows > 1 && i == 3000 {
				_, _ = whole.Write(b[i+1:])
				break
			}
		}
		if err := whole.Err(); err != nil {
			t.Errorf("%d rows: %v", rows, err)
		}
	}
}

// TestEveryChangeIsRefused flips each byte, cuts at each, and moves chunks.
func TestEveryChangeIsRefused(t *testing.T) {
	memory := &root{}
	k, err := backup.RootKey(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	open := func(r *backup.Reader[row]) error { return r.OpenByRoot(t.Context(), memory) }
	good := write(t, k, 3)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := readAll(bad, open); !errors.Is(err, lockstep.ErrDecrypt) && !errors.Is(err, lockstep.ErrInvalid) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := readAll(good[:i], open); !errors.Is(err, lockstep.ErrDecrypt) && !errors.Is(err, lockstep.ErrInvalid) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := readAll(append(bytes.Clone(good), 0), open); !errors.Is(err, lockstep.ErrDecrypt) {
		t.Errorf("one byte more: %v", err)
	}
	long := write(t, k, 10_000)
	const chunk = 4 + 64<<10 + 16
	first := len(long) - (len(long) % chunk) // wherever the chunks begin, one in the middle goes
	cut := append(bytes.Clone(long[:first/2]), long[min(len(long), first/2+chunk):]...)
	if _, err := readAll(cut, open); !errors.Is(err, lockstep.ErrDecrypt) {
		t.Errorf("a chunk dropped: %v", err)
	}
}

func TestPassphrase(t *testing.T) {
	key, salt, err := backup.PassphraseKey([]byte("open sesame"), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := write(t, backup.Key{Header: backup.Header{Salt: salt}, Material: key}, 2)
	for phrase, want := range map[string]error{"open sesame": nil, "close sesame": lockstep.ErrDecrypt, "": lockstep.ErrInvalid} {
		_, err := readAll(b, func(r *backup.Reader[row]) error { return r.OpenByPassphrase([]byte(phrase)) })
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", phrase, err, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("lockstep backup 1\n\x00\x00\x00\x02{}\x80\x00\x00\x10----------------"))
	f.Fuzz(func(t *testing.T, b []byte) {
		memory := &root{wrapped: make([]byte, 32)}
		n, err := readAll(b, func(r *backup.Reader[row]) error { return r.OpenByRoot(t.Context(), memory) })
		if err == nil {
			t.Fatalf("%d rows out of %q", n, b)
		}
	})
}
