package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lockstep/internal/privateserver"
)

// Replica makes and starts a hot standby of s that streams from it, with the same
// users and the superuser's password. It is stopped by itself. Errors: what
// pg_basebackup or the standby's log said.
func (s *Server) Replica(ctx context.Context) (*Server, error) {
	r := &Server{cfg: s.cfg, log: s.log, bin: s.bin, owner: s.owner, password: s.password}
	err := r.copyFrom(ctx, s)
	if err == nil {
		err = r.startOnFreePort(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start replica of private PostgreSQL: %w", err), r.remove())
	}
	return r, nil
}

func (s *Server) copyFrom(ctx context.Context, primary *Server) error {
	var err error
	if s.dir, err = os.MkdirTemp(s.cfg.Dir, "lockstep-pg-"); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := privateserver.Give(s.owner, s.dir); err != nil {
		return err
	}
	backup := exec.CommandContext(ctx, filepath.Join(s.bin, "pg_basebackup"), "--pgdata", s.data(), // #nosec G204 -- PostgreSQL binaries that were found, with our own arguments
		"--host", Host, "--port", strconv.Itoa(primary.port), "--username", Superuser,
		"--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync")
	backup.Dir = s.dir
	backup.Env = append(os.Environ(), "PGPASSWORD="+s.password)
	backup.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	if out, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
