package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// clockTick is the unit of /proc/PID/stat.
const clockTick = 10 * time.Millisecond

// The fields of /proc/PID/stat after the name in parentheses.
const (
	statParent      = 1
	statUser        = 11
	statSystem      = 12
	statChildUser   = 13
	statChildSystem = 14
)

// postmaster is the number of PostgreSQL's first process.
func (b *bench) postmaster(ctx context.Context) (int, error) {
	conn, err := pgx.Connect(ctx, b.pg.AdminDSN())
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	stat, err := processStat(int(conn.PgConn().PID()))
	if err != nil || stat == nil {
		return 0, fmt.Errorf("find PostgreSQL's process: %w", errors.Join(err, fs.ErrNotExist))
	}
	return int(stat[statParent]), nil
}

// treeCPU is the processor time of a process and of its children, those that
// ended included.
func treeCPU(parent int) (time.Duration, error) {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		stat, err := processStat(pid)
		if err != nil {
			return 0, err
		}
		switch {
		case stat == nil: // it ended meanwhile
		case pid == parent:
			ticks += stat[statUser] + stat[statSystem] + stat[statChildUser] + stat[statChildSystem]
		case stat[statParent] == int64(parent):
			ticks += stat[statUser] + stat[statSystem]
		}
	}
	return time.Duration(ticks) * clockTick, nil
}

// processStat reads the numbers of a process; nil if it is gone.
func processStat(pid int) ([]int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, nil // a process that ended is not there
	}
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) <= statChildSystem {
		return nil, fmt.Errorf("read the times of process %d: malformed", pid)
	}
	out := make([]int64, statChildSystem+1)
	for i := 1; i < len(out); i++ {
		if out[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return nil, fmt.Errorf("read the times of process %d: %w", pid, err)
		}
	}
	return out, nil
}
