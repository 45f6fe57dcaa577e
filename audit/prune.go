package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxAnchors is how many anchors are kept: a crash between an anchor and the
// deletion that it stands for needs the one before.
const maxAnchors = 2

// pruneNow deletes files whose end is older than Keep, at most once in
// pruneEvery.
func (l *Log) pruneNow(ctx context.Context) {
	now := l.cfg.Now()
	if l.cfg.Keep == 0 || now.Sub(l.pruned) < pruneEvery {
		return
	}
	l.pruned = now
	if err := l.prune(ctx, now.Add(-l.cfg.Keep)); err != nil {
		l.cfg.Logger.Warn("old audit files not deleted; it is tried again", "error", err)
	}
}

// prune deletes the files that ended before a time, oldest first, each after a
// signed anchor that says what the chain was at its end.
func (l *Log) prune(ctx context.Context, before time.Time) error {
	dir := filepath.Join(l.cfg.Dir, l.cfg.Node)
	files, err := filesIn(dir)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(files) && files[i+1].Begin.Before(before); i++ {
		anchor, err := l.anchorAfter(ctx, files[i+1])
		if err != nil {
			return err
		}
		if err := saveAnchor(dir, anchor); err != nil {
			return fmt.Errorf("write anchor: %w", err)
		}
		err = l.Append(ctx, Record{
			Name: "PruneAuditLog", Identity: Identity{Type: "AWSService"},
			Detail: Detail{First: files[i].First, Last: files[i+1].First - 1, Reason: "older than the retention"},
		})
		if err != nil {
			return err
		}
		if err := os.Remove(files[i].Path); err != nil {
			return err
		}
	}
	return nil
}

// anchorAfter states what the chain was before a file, as the file's first
// entry says; that entry's mac vouches for it.
func (l *Log) anchorAfter(ctx context.Context, next File) (Head, error) {
	content, err := readAll(next.Path)
	if err != nil {
		return Head{}, err
	}
	line, _, _ := bytes.Cut(content, []byte{'\n'})
	e, err := parse(line)
	if err != nil {
		return Head{}, err
	}
	m, err := marksOf(e.content)
	if err != nil || m.File == nil || !newSealer(l.cfg.Node, l.cfg.MACKey).authentic(e) || e.seq != next.First {
		return Head{}, fmt.Errorf("%s does not begin as a file of this chain does, so the one before is kept: %w", filepath.Base(next.Path), errMalformed)
	}
	return sign(ctx, l.cfg.Signers, forAnchor, Head{Node: l.cfg.Node, Seq: e.seq - 1, Hash: m.File.Prev, Time: l.cfg.Now().UTC()})
}

func saveAnchor(dir string, anchor Head) error {
	list, err := anchorsIn(dir)
	if err != nil {
		return err
	}
	list = append(list, anchor)
	text, err := json.MarshalIndent(list[max(0, len(list)-maxAnchors):], "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, anchorsName), append(text, '\n'))
}

// anchorsIn reads the anchors of a chain; none is no error.
func anchorsIn(dir string) ([]Head, error) {
	text, err := os.ReadFile(filepath.Join(dir, anchorsName)) // #nosec G304 -- the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Head
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("read %s: %w", anchorsName, errMalformed)
	}
	return list, nil
}
