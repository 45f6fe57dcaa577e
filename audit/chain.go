package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// chain writes the entries of one node. It is used by one goroutine.
type chain struct {
	cfg     Config
	dir     string
	lock    *os.File
	sealer  *sealer
	journal journal

	tail tail
	// file is the one that grows, open as f up to size; f is nil if a new one is
	// to be begun.
	file File
	f    *os.File
	size int64
	buf  []byte
	// looked is when the open file was last compared with the directory.
	looked time.Time
}

// commit appends entries and makes them durable. After an error nothing of it
// counts, and reopen must come before the next commit.
func (c *chain) commit(bodies [][]byte) error {
	if err := c.turn(); err != nil {
		return fmt.Errorf("begin audit file: %w", err)
	}
	end := c.tail
	out := c.buf[:0]
	for _, body := range bodies {
		end.seq++
		out, end.hash = c.sealer.appendLine(out, end.seq, end.hash, body)
	}
	if err := c.put(out); err != nil {
		return fmt.Errorf("write audit file: %w", err)
	}
	c.tail = end
	if cap(out) <= maxWaiting {
		c.buf = out
	}
	return nil
}

// put writes at the end and makes it durable.
func (c *chain) put(out []byte) error {
	if _, err := c.f.WriteAt(out, c.size); err != nil {
		return err
	}
	if err := c.journal.put(out, c.f); err != nil {
		return err
	}
	c.size += int64(len(out))
	return nil
}

// settle makes the file itself hold everything, so that the journal is not
// needed for it.
func (c *chain) settle() error {
	if err := c.journal.settled(); err != nil {
		return err
	}
	if err := toDisk(c.f); err != nil {
		c.journal.lost = true
		return err
	}
	return nil
}

// turn begins a new file if there is none or the present one is full, too old,
// or no longer there.
func (c *chain) turn() error {
	now := c.cfg.Now()
	if c.f != nil && c.size < c.cfg.MaxFile && now.Sub(c.file.Begin) < c.cfg.MaxAge && c.intact(now) {
		return nil
	}
	if c.f != nil {
		if err := c.settle(); err != nil {
			return err
		}
		_ = c.f.Close() // all that counts was synced
	}
	c.f, c.file = nil, File{}
	return c.begin(now)
}

// intact looks, at most once a second, whether the open file is still the one
// in the directory and as long as it was left. If somebody took it away or
// changed its length, what is written goes to a new file, and not to nowhere.
func (c *chain) intact(now time.Time) bool {
	if now.Sub(c.looked) < time.Second {
		return true
	}
	c.looked = now
	open, err := c.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(c.file.Path)
	ok := err == nil && os.SameFile(open, there) && open.Size() == c.size
	if !ok {
		c.cfg.Logger.Error("the audit log was changed from outside while it was open", "file", c.file.Path)
	}
	return ok && c.journal.there()
}

// begin begins a file with its first entry. What a failed attempt left behind
// is taken away: nothing in it counts.
func (c *chain) begin(now time.Time) (err error) {
	file := newFile(c.dir, c.tail.seq+1, now)
	f, err := os.OpenFile(file.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.f = nil
			err = errors.Join(err, f.Close(), os.Remove(file.Path))
		}
	}()
	body, err := json.Marshal(struct {
		File fileEntry `json:"file"`
	}{fileEntry{Node: c.cfg.Node, Prev: c.tail.hash[:], Opened: now.UTC().Format(time.RFC3339Nano)}})
	if err != nil {
		return err
	}
	line, sum := c.sealer.appendLine(nil, c.tail.seq+1, c.tail.hash, body[1:])
	if _, err := f.WriteAt(line, 0); err != nil {
		return err
	}
	if err := toDisk(f); err != nil {
		return err
	}
	if err := syncDir(c.dir); err != nil {
		return err
	}
	// All before is durable in files that are closed.
	if c.journal.f == nil || !c.journal.there() {
		if err := c.journal.make(); err != nil {
			return err
		}
	}
	c.f, c.size = f, int64(len(line))
	c.file, c.tail = file, tail{seq: c.tail.seq + 1, hash: sum}
	return nil
}

// reopen opens the present file anew after a failed write and cuts off what the
// failed write left. If the file is gone, or shorter than what is known to be
// durable, a new one is begun: the entries that are missing then show.
func (c *chain) reopen() error {
	if c.f != nil {
		_ = c.journal.settled() // lost is noted
		_ = c.f.Close()         // it failed already
		c.f = nil
	}
	// It may hold what failed, which must not come back: the next entries have
	// the same numbers.
	if err := c.journal.close(); err != nil {
		return err
	}
	if c.file.Path == "" {
		return nil
	}
	f, err := os.OpenFile(c.file.Path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		c.file = File{}
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < c.size {
		c.file = File{}
		return f.Close()
	}
	if err == nil {
		err = f.Truncate(c.size)
	}
	if err == nil && c.journal.lost {
		err = rewrite(f, c.size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = c.journal.make()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	c.f = f
	return nil
}

// rewrite writes a file's content where it stands.
func rewrite(f *os.File, size int64) error {
	content := make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil {
		return err
	}
	_, err := f.WriteAt(content, 0)
	return err
}

// close closes the files. The journal is taken away if nothing needs it.
func (c *chain) close() error {
	var errs []error
	if c.f != nil {
		err := c.settle()
		if err == nil {
			err = c.journal.remove()
		}
		errs = append(errs, err, c.f.Close())
	}
	errs = append(errs, c.journal.close())
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	c.f, c.lock = nil, nil
	return errors.Join(errs...)
}

// lockChain makes sure that one process writes a chain.
func lockChain(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // #nosec G115 -- a file descriptor fits
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
