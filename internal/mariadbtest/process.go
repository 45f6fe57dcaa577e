package mariadbtest

import (
	"context"
	"os/exec"
	"syscall"

	"lockstep/internal/privateserver"
)

func (s *Server) start(ctx context.Context) error {
	binary, err := exec.LookPath("mariadbd")
	if err != nil {
		binary = "/usr/sbin/mariadbd"
	}
	s.process, err = privateserver.Start(ctx, privateserver.Spec{
		Path: binary, Args: s.arguments(), Dir: s.dir, Log: s.ErrorLog(), Owner: s.owner,
		Ready: func(ctx context.Context) error { return s.Exec(ctx, "DO 1") },
		Stop:  []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL},
	})
	return err
}

// stop ends the server in good order, after ten seconds by force. A second stop
// does nothing.
func (s *Server) stop(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Stop(ctx)
	s.process = nil
	return err
}
