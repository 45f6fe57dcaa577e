package backup

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lockstep"
)

// A sealed stream is a row of chunks, each a length (4 bytes, the highest bit
// set on the last) and AES-256-GCM of up to chunkSize bytes. The nonce counts
// the chunks and says whether it is the last, so that chunks cannot be dropped,
// swapped, repeated or cut off at the end. The key serves one stream alone.
const (
	chunkSize = 64 << 10
	lastChunk = 1 << 31
	tagSize   = 16
)

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

func nonceOf(n uint64, last byte) []byte {
	nonce := make([]byte, 12)
	binary.BigEndian.PutUint64(nonce[3:], n)
	nonce[11] = last
	return nonce
}

// sealer writes a sealed stream. Close writes the last chunk.
type sealer struct {
	out    io.Writer
	aead   cipher.AEAD
	header []byte
	buf    []byte
	n      uint64
}

func (s *sealer) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if len(s.buf) == chunkSize {
			if err := s.flush(0); err != nil {
				return 0, err
			}
		}
		n := min(chunkSize-len(s.buf), len(p))
		s.buf, p = append(s.buf, p[:n]...), p[n:]
	}
	return written, nil
}

func (s *sealer) Close() error { return s.flush(1) }

func (s *sealer) flush(last byte) error {
	sealed := s.aead.Seal(nil, nonceOf(s.n, last), s.buf, s.header) // #nosec G407 -- the nonce counts, under a key of this stream alone
	size := uint32(len(sealed))                                     // #nosec G115 -- at most chunkSize and a tag
	if last == 1 {
		size |= lastChunk
	}
	s.n, s.buf = s.n+1, s.buf[:0]
	if _, err := s.out.Write(binary.BigEndian.AppendUint32(nil, size)); err != nil {
		return err
	}
	_, err := s.out.Write(sealed)
	return err
}

// opener reads a sealed stream. It returns io.EOF only after the last chunk has
// been authenticated.
type opener struct {
	in     *bufio.Reader
	aead   cipher.AEAD
	header []byte
	clear  []byte
	n      uint64
	done   bool
}

var errDamaged = fmt.Errorf("the backup is damaged or cut off: %w", lockstep.ErrDecrypt)

func (o *opener) Read(p []byte) (int, error) {
	for len(o.clear) == 0 {
		if o.done {
			return 0, io.EOF
		}
		if err := o.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.clear)
	o.clear = o.clear[n:]
	return n, nil
}

func (o *opener) next() error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(o.in, head); err != nil {
		return cutOff(err)
	}
	size := binary.BigEndian.Uint32(head)
	last := byte(size >> 31)
	size &^= lastChunk
	if size < tagSize || size > chunkSize+tagSize {
		return errDamaged
	}
	sealed := make([]byte, size)
	if _, err := io.ReadFull(o.in, sealed); err != nil {
		return cutOff(err)
	}
	var err error
	if o.clear, err = o.aead.Open(sealed[:0], nonceOf(o.n, last), sealed, o.header); err != nil {
		return errDamaged
	}
	o.n++
	if o.done = last == 1; o.done {
		if _, err := o.in.ReadByte(); !errors.Is(err, io.EOF) {
			return errDamaged
		}
	}
	return nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errDamaged
	}
	return err
}

// Whole tells whether what passes through it is a header and chunks up to a
// last one, without a key: so the receiver of a backup knows that it has all.
type Whole struct {
	rest   []byte
	headed bool
	left   int64
	last   bool
	extra  bool
}

// Write takes the next bytes. It never fails.
func (w *Whole) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if w.left > 0 {
			take := min(w.left, int64(len(p)))
			p, w.left = p[take:], w.left-take
			continue
		}
		if w.last {
			w.extra = true
			return n, nil
		}
		w.rest, p = append(w.rest, p[0]), p[1:]
		w.step()
	}
	return n, nil
}

func (w *Whole) step() {
	if len(w.rest) < 4 {
		return
	}
	if !w.headed {
		if len(w.rest) < len(magic)+4 {
			return
		}
		w.left = int64(binary.BigEndian.Uint32(w.rest[len(magic):]))
		w.headed, w.rest = true, nil
		return
	}
	size := binary.BigEndian.Uint32(w.rest)
	w.last, w.left, w.rest = size&lastChunk != 0, int64(size&^lastChunk), nil
}

// Err is nil if all has come.
func (w *Whole) Err() error {
	if !w.last || w.left > 0 || w.extra {
		return errDamaged
	}
	return nil
}
