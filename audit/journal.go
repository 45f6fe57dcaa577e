package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	journalName = "journal"
	// journalHalf is half of the journal, which holds some fifteen hundred
	// entries.
	journalHalf = 512 << 10
)

// journal is where entries become durable. A file that grows cannot be synced
// without the file system's own journal, and so without all that anybody else
// is writing; a file whose bytes are only written over can. So the lines that
// are appended to the log's file are written here too, and this is synced; the
// file follows later.
//
// It has two halves. A half is written over once the file holds durably what
// stands in it, which is seen to while the other half is being filled. It needs
// no form of its own: lines number, chain and prove themselves, and replay takes
// those that follow the file's end.
//
// It is used by one goroutine.
type journal struct {
	path string
	f    *os.File
	// half is the one that is filled, and used how much of it is.
	half, used int64
	// settling receives the end of the sync of the log's file that has to end
	// before the other half is written over; nil: there is none.
	settling chan error
	// lost: a sync of the log's file failed. The system takes the pages for clean
	// then, so they have to be written again.
	lost bool
}

// make begins an empty journal in place of the one that is there. All that the
// log holds has to be durable in its file.
func (j *journal) make() (err error) {
	if err := j.close(); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := f.Truncate(2 * journalHalf); err != nil {
		return err
	}
	// Written, not only allocated: bytes that were never written are another
	// change that the file system would have to keep a journal of.
	if _, err := f.WriteAt(make([]byte, 2*journalHalf), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(j.path)); err != nil {
		return err
	}
	j.f, j.half, j.used, j.lost = f, 0, 0, false
	return nil
}

// put makes lines durable that were appended to the log's file before.
func (j *journal) put(lines []byte, log *os.File) error {
	n := int64(len(lines))
	if n > journalHalf {
		err := toDisk(log)
		j.lost = j.lost || err != nil
		return err
	}
	if j.used+n > journalHalf {
		if err := j.settled(); err != nil {
			return err
		}
		settling := make(chan error, 1)
		go func() { settling <- toDisk(log) }()
		j.settling = settling
		j.half, j.used = 1-j.half, 0
	}
	if _, err := j.f.WriteAt(lines, j.half*journalHalf+j.used); err != nil {
		return err
	}
	if err := toDisk(j.f); err != nil {
		return err
	}
	j.used += n
	return nil
}

// settled waits for the sync of the log's file that is under way.
func (j *journal) settled() error {
	if j.settling == nil {
		return nil
	}
	err := <-j.settling
	j.settling = nil
	j.lost = j.lost || err != nil
	return err
}

// there tells whether the open journal is still the one in the directory.
func (j *journal) there() bool {
	open, err := j.f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(j.path)
	return err == nil && os.SameFile(open, named) && open.Size() == 2*journalHalf
}

func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	err := j.f.Close()
	j.f = nil
	return err
}

// remove takes the journal away, once the log's file holds everything.
func (j *journal) remove() error {
	if err := j.close(); err != nil {
		return err
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// toDisk makes the content of a file durable.
func toDisk(f *os.File) error {
	return unix.Fdatasync(int(f.Fd())) // #nosec G115 -- a file descriptor fits
}

// replay finds the lines in a journal that follow the end of a chain, in order.
// A journal that is not there holds none.
func (c *chain) replay(end tail) (lines []byte, last tail, err error) {
	content, err := os.ReadFile(c.journal.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, end, nil
	}
	if err != nil {
		return nil, end, fmt.Errorf("read audit journal: %w", err)
	}
	held := make(map[uint64][][]byte)
	for half := range slices.Chunk(content, journalHalf) {
		for line := range bytes.Lines(half) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			e, err := parse(line)
			if err == nil && e.seq > end.seq && c.sealer.authentic(e) {
				held[e.seq] = append(held[e.seq], line)
			}
		}
	}
	for {
		line, found := c.following(held[end.seq+1], end)
		if !found {
			return lines, end, nil
		}
		e, err := parse(line)
		if err != nil {
			return nil, end, err
		}
		lines = append(append(lines, line...), '\n')
		end = tail{seq: e.seq, hash: e.hash}
	}
}

// following is the line that follows the end.
func (c *chain) following(lines [][]byte, end tail) ([]byte, bool) {
	for _, line := range lines {
		if e, err := parse(line); err == nil && c.sealer.follows(end.hash, e) {
			return line, true
		}
	}
	return nil, false
}

// lossy tells whether the bytes at the end of a file are what a machine that
// lost its power can make of lines: a part of them, in which pages are empty
// that did not reach the disk.
func lossy(rest, lines []byte) bool {
	if len(rest) > len(lines) {
		return false
	}
	for i, b := range rest {
		if b != lines[i] && b != 0 {
			return false
		}
	}
	return true
}
