package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lockstep"
)

// openChain finds the end of a chain and makes it ready for writing. The notes
// are what was found that is not in order.
func openChain(ctx context.Context, cfg Config) (_ *chain, notes []Record, err error) {
	dir := filepath.Join(cfg.Dir, cfg.Node)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	c := &chain{cfg: cfg, dir: dir, sealer: newSealer(cfg.Node, cfg.MACKey)}
	c.journal.path = filepath.Join(dir, journalName)
	if c.lock, err = lockChain(dir); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil, fmt.Errorf("another process writes %s: %w", dir, lockstep.ErrBusy)
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	head, err := cfg.Heads.Load(ctx, cfg.Node)
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		return nil, nil, fmt.Errorf("read the newest audit head: %w", err)
	}
	notes, err = c.findEnd(head.Seq)
	if err != nil {
		return nil, nil, err
	}
	if head.Seq > c.tail.seq {
		notes = append(notes, c.lost(head))
	}
	return c, notes, nil
}

// lost goes on after the newest head, since what it vouches for is not there.
func (c *chain) lost(head Head) Record {
	note := c.note("ReportAuditDamage", "entries that were signed are not in the log")
	note.Detail.First, note.Detail.Last = c.tail.seq+1, head.Seq
	c.tail.seq = head.Seq
	copy(c.tail.hash[:], head.Hash)
	c.leave()
	return note
}

// leave lets the next entry begin a new file.
func (c *chain) leave() {
	if c.f != nil {
		_ = c.f.Close() // nothing was written
	}
	c.f, c.file = nil, File{}
}

func (c *chain) note(name, reason string) Record {
	c.cfg.Logger.Error("the audit log is not as it was left", "what", name, "reason", reason, "dir", c.dir)
	return Record{Name: name, Identity: Identity{Type: "AWSService"}, ErrorCode: "Damaged", Detail: Detail{Reason: reason}}
}

// findEnd reads the last file. signed is the last entry that a head outside
// vouches for: what is torn after it was never acknowledged, what is damaged
// before it was.
func (c *chain) findEnd(signed uint64) (notes []Record, err error) {
	files, err := filesIn(c.dir)
	if err != nil {
		return nil, err
	}
	for len(files) > 0 {
		last := files[len(files)-1]
		files = files[:len(files)-1]
		content, err := os.ReadFile(last.Path)
		if err != nil {
			return nil, err
		}
		s := c.scan(last, content)
		note, err := c.restore(last, content, &s, signed)
		if err != nil {
			return nil, fmt.Errorf("restore %s from the journal: %w", filepath.Base(last.Path), err)
		}
		notes = append(notes, note...)
		switch {
		case len(content) == 0:
			// The file was being begun. The one before has the end.
			if err := os.Remove(last.Path); err != nil {
				return nil, err
			}
			continue
		case s.entries == 0 && s.torn:
			note, err := c.setAside(last, content, 0)
			if err != nil {
				return nil, err
			}
			notes = append(notes, note)
			continue
		case s.torn && s.end.seq >= signed:
			note, err := c.setAside(last, content, s.good)
			if err != nil {
				return nil, err
			}
			notes = append(notes, note)
		case s.torn || s.damaged:
			note := c.note("ReportAuditDamage", "entries were changed in "+filepath.Base(last.Path))
			note.Detail.First = s.bad
			c.tail = s.end
			return append(notes, note), nil
		}
		return notes, c.resume(last, s)
	}
	return notes, nil
}

// restore writes into a file what the journal holds and the file, which is
// synced later, does not yet. What stands there instead is what a machine that
// lost its power leaves, or is set aside; what is damaged in another way is left
// as it is.
func (c *chain) restore(file File, content []byte, s *scanned, signed uint64) ([]Record, error) {
	if s.entries == 0 {
		return nil, nil
	}
	lines, end, err := c.replay(s.last)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	var notes []Record
	if !lossy(content[s.good:], lines) {
		if s.damaged || end.seq < signed {
			return nil, nil
		}
		note, err := c.setAside(file, content, s.good)
		if err != nil {
			return nil, err
		}
		notes = append(notes, note)
	}
	f, err := os.OpenFile(file.Path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(lines, int64(s.good))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	note := c.note("RepairAuditLog", "records that the file did not have yet were written to it from the journal")
	note.ErrorCode, note.Detail.First, note.Detail.Last = "", s.last.seq+1, end.seq
	*s = scanned{entries: s.entries, good: s.good + len(lines), last: end, end: end}
	return append(notes, note), nil
}

// resume opens the last file to go on in it.
func (c *chain) resume(last File, s scanned) error {
	f, err := os.OpenFile(last.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	c.f, c.file, c.size, c.tail = f, last, int64(s.good), s.end
	// A crash may have come between a write and its sync.
	if err := f.Sync(); err != nil {
		return err
	}
	return c.journal.make()
}

// scanned is what a file holds.
type scanned struct {
	entries int
	// good is the length of the part at its beginning that is in order.
	good int
	// last is the last entry of the good part.
	last tail
	// end is the last entry that is authentic.
	end tail
	// torn: nothing after the good part is authentic. damaged: something is.
	torn, damaged bool
	// bad is the first number that is not in order.
	bad uint64
}

// scan reads a file from its first entry on.
func (c *chain) scan(file File, content []byte) scanned {
	s := scanned{end: tail{seq: file.First - 1}}
	first := true
	at := 0
	for at < len(content) {
		line, rest, whole := bytes.Cut(content[at:], []byte{'\n'})
		next := len(content) - len(rest)
		e, err := parse(line)
		authentic := err == nil && whole && c.sealer.authentic(e)
		if first && authentic {
			if m, err := marksOf(e.content); err == nil && m.File != nil {
				copy(s.end.hash[:], m.File.Prev)
			}
		}
		first = false
		inOrder := authentic && e.seq == s.end.seq+1 && c.sealer.follows(s.end.hash, e)
		switch {
		case inOrder && s.bad == 0:
			s.entries++
			s.good = next
			s.end = tail{seq: e.seq, hash: e.hash}
			s.last = s.end
		case authentic && e.seq > s.end.seq:
			s.damaged = true
			s.bad = max(s.bad, s.end.seq+1)
			s.end = tail{seq: e.seq, hash: e.hash}
		case s.bad == 0:
			s.bad = s.end.seq + 1
		}
		at = next
	}
	s.torn = s.bad != 0 && !s.damaged
	return s
}

// setAside moves what a crash left torn into a file of its own.
func (c *chain) setAside(file File, content []byte, good int) (Record, error) {
	rest := content[good:]
	sum := sha256.Sum256(rest)
	name := fmt.Sprintf("torn-%s-%d-%s.bin", filepath.Base(file.Path), good, hex.EncodeToString(sum[:6]))
	if err := writeWhole(filepath.Join(c.dir, name), rest); err != nil {
		return Record{}, err
	}
	note := c.note("RepairAuditLog", fmt.Sprintf("%d bytes of a write that was never acknowledged were moved to %s", len(rest), name))
	note.ErrorCode = ""
	if good == 0 {
		if err := os.Remove(file.Path); err != nil {
			return Record{}, err
		}
		return note, syncDir(c.dir)
	}
	f, err := os.OpenFile(file.Path, os.O_RDWR, 0)
	if err != nil {
		return Record{}, err
	}
	return note, errors.Join(f.Truncate(int64(good)), f.Sync(), f.Close())
}

// readAll reads a file of the log, within a bound.
func readAll(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxReadable {
		return nil, fmt.Errorf("%s is no file of an audit log: %w", filepath.Base(path), lockstep.ErrInvalid)
	}
	content := make([]byte, info.Size())
	n, err := io.ReadFull(f, content)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return content[:n], err
}

// maxReadable is the longest file that is read: far above what the Log makes.
const maxReadable = 4 << 30
