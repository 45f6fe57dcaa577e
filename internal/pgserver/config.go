package pgserver

import (
	"errors"
	"log/slog"

	"lockstep/internal/privateserver"
)

// Superuser is the name of the server's superuser.
const Superuser = "postgres"

// Host is the address that the server listens on.
const Host = privateserver.Host

// ErrNoBinaries means that PostgreSQL is not installed. deploy/install.sh
// installs it.
var ErrNoBinaries = errors.New("no PostgreSQL binaries found (run deploy/install.sh postgresql)")

// Config says how a private server is made. The zero Config is ready to use.
type Config struct {
	// Dir is the directory in which the server's own directory is made; empty
	// means the system's directory for temporary files. When the process runs
	// as root, Dir must be open (x) to the user that the server runs as.
	Dir string
	// Durable keeps fsync on. Off (the default), a crash of the machine may
	// lose data; a crash of the server does not.
	Durable bool
	// Settings are server parameters, such as log_statement=all. They outrank
	// those that Start sets.
	Settings map[string]string
	// HBA are lines of pg_hba.conf that stand before the server's own, which
	// asks every login from loopback for its password (scram-sha-256).
	HBA []string
	// Logger hears of start and stop; nil means silence.
	Logger *slog.Logger
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
