// Package backup writes the whole of an installation to one sealed stream, and
// reads it back: the store as a logical dump, which either kind of database
// takes, and the files of the data directory that clients rely on (the server's
// authority, the root user's credentials). The embedded NATS is not in it: it is
// made anew from the store.
//
// A stream begins with a header in clear, which says what opens it: the root
// key, named by its id, or a passphrase. What follows is encrypted under a key
// of its own in chunks that authenticate each other's order and end. The root
// key itself is never in a backup, and without it the values in a backup stay
// sealed, also if a passphrase opened the stream.
package backup

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/scrypt"

	"lockstep"
)

// Wrapper is what of a root key seals a backup.
type Wrapper interface {
	ID() string
	Wrap(ctx context.Context, plaintext, associated []byte) ([]byte, error)
}

// Unwrapper is what of a root key opens a backup.
type Unwrapper interface {
	ID() string
	Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error)
}

const (
	magic     = "lockstep backup 1\n"
	maxHeader = 4096
	keySize   = 32
	saltSize  = 16

	// scrypt's cost: 128 MiB and about half a second.
	scryptN, scryptR, scryptP = 1 << 17, 8, 1
)

var associated = []byte("lockstep-backup")

// Header says what opens a backup.
type Header struct {
	// RootID and Wrapped are there if the root key sealed it.
	RootID  string `json:"rootKeyId,omitempty"`
	Wrapped []byte `json:"wrapped,omitempty"`
	// Salt is there if a passphrase did.
	Salt []byte `json:"salt,omitempty"`
}

// File is a file of the data directory, mode 0600.
type File struct {
	Name    string
	Content []byte
}

// entry is one thing in the stream: a File or a row of the store.
type entry[R any] struct {
	File *File
	Row  *R
}

// PassphraseKey derives the key of a stream from a passphrase; salt is nil for
// a new backup, and its Header's for an old one.
func PassphraseKey(passphrase, salt []byte) (key, used []byte, err error) {
	if len(passphrase) == 0 {
		return nil, nil, fmt.Errorf("the passphrase is empty: %w", lockstep.ErrInvalid)
	}
	if salt == nil {
		salt = make([]byte, saltSize)
		if _, err := rand.Read(salt); err != nil {
			return nil, nil, fmt.Errorf("draw salt: %w", err)
		}
	}
	key, err = scrypt.Key(passphrase, salt, scryptN, scryptR, scryptP, keySize)
	if err != nil {
		return nil, nil, fmt.Errorf("derive key: %w", err)
	}
	return key, salt, nil
}

// Key is the key of a new stream with its Header.
type Key struct {
	Header Header
	// Material is 32 bytes, for one stream alone.
	Material []byte
}

// RootKey makes a Key that a root key opens. Errors: the root key's.
func RootKey(ctx context.Context, root Wrapper) (Key, error) {
	material := make([]byte, keySize)
	if _, err := rand.Read(material); err != nil {
		return Key{}, fmt.Errorf("draw key: %w", err)
	}
	wrapped, err := root.Wrap(ctx, material, associated)
	if err != nil {
		return Key{}, fmt.Errorf("wrap the backup's key: %w", err)
	}
	return Key{Header{RootID: root.ID(), Wrapped: wrapped}, material}, nil
}

// Writer writes a backup of rows of type R.
type Writer[R any] struct {
	out    *sealer
	encode *gob.Encoder
}

// NewWriter begins a backup. Errors: ErrInvalid for a Key that is none; out's.
func NewWriter[R any](out io.Writer, k Key) (*Writer[R], error) {
	if len(k.Material) != keySize {
		return nil, fmt.Errorf("a backup's key has %d bytes: %w", keySize, lockstep.ErrInvalid)
	}
	header, err := json.Marshal(k.Header)
	if err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	aead, err := newAEAD(k.Material)
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(header))) // #nosec G115 -- some hundred bytes
	if _, err := out.Write(append(head, header...)); err != nil {
		return nil, err
	}
	s := &sealer{out: out, aead: aead, header: header}
	return &Writer[R]{out: s, encode: gob.NewEncoder(s)}, nil
}

// File adds a file.
func (w *Writer[R]) File(f File) error { return w.encode.Encode(entry[R]{File: &f}) }

// Row adds a row of the store.
func (w *Writer[R]) Row(r R) error { return w.encode.Encode(entry[R]{Row: &r}) }

// Close ends the backup. One that was not closed is refused when it is read.
func (w *Writer[R]) Close() error { return w.out.Close() }

// Reader reads a backup.
type Reader[R any] struct {
	// Header says what opens it.
	Header Header
	in     *bufio.Reader
	header []byte
	decode *gob.Decoder
}

// NewReader reads the header. Errors: ErrInvalid if it is no backup.
func NewReader[R any](in io.Reader) (*Reader[R], error) {
	b := bufio.NewReader(in)
	head := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(b, head); err != nil || string(head[:len(magic)]) != magic {
		return nil, fmt.Errorf("it is no backup of this version: %w", lockstep.ErrInvalid)
	}
	size := binary.BigEndian.Uint32(head[len(magic):])
	if size > maxHeader {
		return nil, errDamaged
	}
	r := &Reader[R]{in: b, header: make([]byte, size)}
	if _, err := io.ReadFull(b, r.header); err != nil {
		return nil, errDamaged
	}
	if err := json.Unmarshal(r.header, &r.Header); err != nil {
		return nil, errDamaged
	}
	return r, nil
}

// ID names this very backup: a hash of its header, which holds what was drawn
// for it alone.
func (r *Reader[R]) ID() string {
	sum := sha256.Sum256(r.header)
	return hex.EncodeToString(sum[:])
}

// OpenByRoot opens the stream by the root key that sealed it. Errors:
// ErrDecrypt if it is another; the root key's.
func (r *Reader[R]) OpenByRoot(ctx context.Context, root Unwrapper) error {
	if r.Header.RootID != root.ID() {
		return fmt.Errorf("the backup was sealed under root key %q, and this is %s: %w", r.Header.RootID, root.ID(), lockstep.ErrDecrypt)
	}
	material, err := root.Unwrap(ctx, r.Header.Wrapped, associated)
	if err != nil {
		return fmt.Errorf("unwrap the backup's key: %w", err)
	}
	return r.open(material)
}

// OpenByPassphrase opens the stream by a passphrase. A wrong one is found out at
// the first Next. Errors: ErrInvalid if no passphrase sealed it.
func (r *Reader[R]) OpenByPassphrase(passphrase []byte) error {
	if len(r.Header.Salt) == 0 {
		return fmt.Errorf("the backup was sealed under root key %q, not by a passphrase: %w", r.Header.RootID, lockstep.ErrInvalid)
	}
	material, _, err := PassphraseKey(passphrase, r.Header.Salt)
	if err != nil {
		return err
	}
	return r.open(material)
}

func (r *Reader[R]) open(material []byte) error {
	aead, err := newAEAD(material)
	clear(material)
	if err != nil {
		return err
	}
	r.decode = gob.NewDecoder(&opener{in: r.in, aead: aead, header: r.header})
	return nil
}

// Next gives the next file or row; one of the two is nil. Errors: io.EOF after
// the last; ErrDecrypt for a stream that was changed or cut off, or a wrong
// passphrase.
func (r *Reader[R]) Next() (*File, *R, error) {
	var e entry[R]
	err := r.decode.Decode(&e)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, lockstep.ErrDecrypt):
		return nil, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("%w (%w)", errDamaged, err)
	}
	return e.File, e.Row, nil
}
