package pgserver

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"lockstep/internal/privateserver"
)

func (s *Server) startProcess(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var err error
	s.process, err = privateserver.Start(ctx, privateserver.Spec{
		Path: filepath.Join(s.bin, "postgres"), Args: s.arguments(), Dir: s.dir, Log: s.LogPath(), Owner: s.owner,
		Ready: s.ready,
		Stop:  []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}, // fast shutdown, then immediate
	})
	return err
}

// ready tells whether the server lets the superuser in.
func (s *Server) ready(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.AdminDSN())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        Host,
		"unix_socket_directories": "",
		"max_connections":         "200",
		"shared_buffers":          "32MB",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if !s.cfg.Durable {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["synchronous_commit"] = "off"
	}
	for k, v := range s.cfg.Settings {
		settings[k] = v
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	names := make([]string, 0, len(settings))
	for k := range settings {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		args = append(args, "-c", k+"="+settings[k])
	}
	return args
}

// stopProcess ends the server: fast shutdown, then immediate, then by force.
func (s *Server) stopProcess(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Stop(ctx)
	s.process = nil
	s.log.DebugContext(ctx, "private PostgreSQL stopped", "port", s.port)
	return err
}
