package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"lockstep"
)

// File is one file of a chain.
type File struct {
	// Path is where it is.
	Path string
	// First is the number of its first entry.
	First uint64
	// Begin is when it was begun; its records are no older, but for requests
	// that were under way then.
	Begin time.Time
}

const (
	fileTime    = "20060102T150405Z"
	filePattern = `^([0-9]{20})-([0-9]{8}T[0-9]{6}Z)\.jsonl$`
	anchorsName = "anchors.json"
)

var (
	fileName = regexp.MustCompile(filePattern)
	nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	notNode  = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
)

// NodeName makes a name that a chain can have, and its directory, of any text.
func NodeName(text string) string {
	name := notNode.ReplaceAllString(text, "-")
	for name != "" && !nodeName.MatchString(name[:1]) {
		name = name[1:]
	}
	if name == "" {
		return "local"
	}
	return name[:min(len(name), 128)]
}

func newFile(dir string, first uint64, begin time.Time) File {
	begin = begin.UTC().Truncate(time.Second)
	name := fmt.Sprintf("%020d-%s.jsonl", first, begin.Format(fileTime))
	return File{Path: filepath.Join(dir, name), First: first, Begin: begin}
}

// filesIn lists the files of the chain in a directory, in the order of their
// entries. Other files are not looked at.
func filesIn(dir string) ([]File, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	var out []File
	for _, f := range list {
		parts := fileName.FindStringSubmatch(f.Name())
		if parts == nil {
			continue
		}
		first, err := strconv.ParseUint(parts[1], 10, 64)
		if err != nil {
			continue
		}
		begin, err := time.Parse(fileTime, parts[2])
		if err != nil {
			continue
		}
		out = append(out, File{Path: filepath.Join(dir, f.Name()), First: first, Begin: begin})
	}
	slices.SortFunc(out, func(a, b File) int {
		return cmp.Or(cmp.Compare(a.First, b.First), a.Begin.Compare(b.Begin))
	})
	return out, nil
}

// Chains finds the chains under a directory: each folder in it is one, by the
// name of its node. Errors: lockstep.ErrNotFound if the directory is not there.
func Chains(dir string) (map[string][]File, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no audit log in %s: %w", dir, lockstep.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("list audit logs: %w", err)
	}
	out := make(map[string][]File)
	for _, f := range list {
		if !f.IsDir() || !nodeName.MatchString(f.Name()) {
			continue
		}
		files, err := filesIn(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		out[f.Name()] = files
	}
	return out, nil
}

// syncDir makes a directory's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 G703 -- the operator names the directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeWhole replaces a file as a whole, durably.
func writeWhole(path string, content []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 G703 -- a file of the log's own
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil { // #nosec G703 -- a file of the log's own
		return err
	}
	return syncDir(filepath.Dir(path))
}
