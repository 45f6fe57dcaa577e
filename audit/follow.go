package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// followEvery is how often a Follower looks for more where nobody tells it.
const followEvery = 250 * time.Millisecond

// Line is an entry as it stands in the log.
type Line struct {
	Seq uint64
	// Text is the line without its end; it is the receiver's own.
	Text []byte
}

// Follower reads the entries of a chain in order and waits for more. It is used
// by one goroutine. It does not verify.
type Follower struct {
	dir string
	// next is the number of the entry that Next returns.
	next uint64
	// durable bounds it to what is on the disk; nil: no bound.
	durable func() (uint64, <-chan struct{})

	f    *os.File
	rest []byte
	// unread is what was read of f beyond rest.
	chunk [64 << 10]byte
}

// Follow reads the chain in a directory (of one node) from the entry after
// last. From a running Log, give its Durable, so that nothing is seen that might
// yet be taken back.
func Follow(dir string, last uint64, durable func() (uint64, <-chan struct{})) *Follower {
	return &Follower{dir: dir, next: last + 1, durable: durable}
}

// Next returns the next entry, or waits for it. Entries that were pruned, and
// bytes that are no entry, are passed over. Errors: the context's; the file
// system's, after which the Follower can be used again.
func (f *Follower) Next(ctx context.Context) (Line, error) {
	for {
		more := f.mayRead()
		if more == nil {
			line, ok, err := f.read()
			if ok || err != nil {
				return line, err
			}
		}
		timer := time.NewTimer(followEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return Line{}, ctx.Err()
		case <-more:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// mayRead returns nil if the next entry may be read, else what to wait for.
func (f *Follower) mayRead() <-chan struct{} {
	if f.durable == nil {
		return nil
	}
	last, more := f.durable()
	if last >= f.next {
		return nil
	}
	return more
}

// read returns the next entry if it is there.
func (f *Follower) read() (Line, bool, error) {
	if f.f == nil {
		if ok, err := f.openFile(); !ok || err != nil {
			return Line{}, false, err
		}
	}
	for {
		line, rest, whole := bytes.Cut(f.rest, []byte{'\n'})
		if whole {
			f.rest = rest
			if e, err := parse(line); err == nil && e.seq >= f.next {
				f.next = e.seq + 1
				return Line{Seq: e.seq, Text: bytes.Clone(line)}, true, nil
			}
			continue
		}
		n, err := f.f.Read(f.chunk[:])
		f.rest = append(bytes.Clone(f.rest), f.chunk[:n]...)
		if n > 0 {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return Line{}, false, err
		}
		ok, err := f.nextFile()
		if !ok || err != nil {
			return Line{}, false, err
		}
	}
}

// openFile opens the file that holds the next entry, or the first after it.
func (f *Follower) openFile() (bool, error) {
	files, err := filesIn(f.dir)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(files) == 0) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	at := 0
	for i, file := range files {
		if file.First <= f.next {
			at = i
		}
	}
	f.rest = nil
	f.f, err = os.Open(files[at].Path)
	return err == nil, err
}

// nextFile goes on in the file that begins with the next entry, if there is
// one. The present one is then complete.
func (f *Follower) nextFile() (bool, error) {
	files, err := filesIn(f.dir)
	if err != nil {
		return false, err
	}
	for _, file := range files {
		if file.First < f.next || filepath.Base(file.Path) == filepath.Base(f.f.Name()) {
			continue
		}
		next, err := os.Open(file.Path)
		if err != nil {
			return false, err
		}
		_ = f.f.Close() // it was read alone
		f.f, f.rest = next, nil
		return true, nil
	}
	return false, nil
}

// Close lets go of the file.
func (f *Follower) Close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}
