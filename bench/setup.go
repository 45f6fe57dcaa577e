package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5"

	"lockstep/auth"
	"lockstep/client"
	"lockstep/internal/node"
	"lockstep/internal/pgserver"
)

// bench is what all measurements share: a PostgreSQL that keeps its promises
// (fsync), and the data directory of a Lockstep server on the same disk.
type bench struct {
	options
	dir     string
	pg      *pgserver.Server
	pgAdmin string // password of the role that changes others
	// pgProcess is the number of PostgreSQL's first process.
	pgProcess int
	commits   *commitLog
	ready     bool // the secrets are there
	profiles  int
	// store is the server's; empty: SQLite in its data directory.
	store string
}

// adminRole changes the passwords, on both sides.
const adminRole = "bench_admin"

func newBench(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o, commits: newCommitLog()}
	var err error
	if b.pg, err = pgserver.Start(ctx, pgserver.Config{Durable: true}); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "lockstep-bench-"); err != nil {
		return nil, errors.Join(err, b.close(ctx))
	}
	if b.pgProcess, err = b.postmaster(ctx); err != nil {
		return nil, errors.Join(err, b.close(ctx))
	}
	b.pgAdmin = "admin-of-the-bench-1x"
	if err := b.pg.Exec(ctx, "CREATE ROLE "+adminRole+" LOGIN CREATEROLE PASSWORD '"+b.pgAdmin+"'"); err != nil {
		return nil, errors.Join(err, b.close(ctx))
	}
	return b, nil
}

func (b *bench) close(ctx context.Context) error {
	err := b.pg.Stop(ctx)
	if b.dir != "" {
		err = errors.Join(err, os.RemoveAll(b.dir)) // #nosec G703 -- a file of the benchmark itself
	}
	return err
}

// start starts a server on the bench's data directory, made anew only once.
func (b *bench) start(ctx context.Context, workers int) (*node.Node, error) {
	return node.Start(ctx, node.Config{
		DataDir: filepath.Join(b.dir, "data"), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0",
		MinInterval: minInterval, Workers: workers, Version: "bench", Logger: b.commits.logger(), Store: b.store,
	})
}

// minInterval allows schedules that keep every worker busy.
const minInterval = 100 * time.Millisecond

// client is an application's client of a node, with the root user's key.
func (b *bench) client(ctx context.Context, n *node.Node, name string) (*client.Client, error) {
	c, err := b.credentials()
	if err != nil {
		return nil, err
	}
	return client.New(ctx, client.Config{
		Endpoint: n.URL(), NATSURL: n.NATSURL(), Region: region, Name: name,
		CAFile:      filepath.Join(b.dir, "data", "ca.pem"),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretKey.Reveal(), ""),
	})
}

const region = "us-east-1"

func (b *bench) credentials() (auth.Credentials, error) {
	return auth.ReadCredentials(filepath.Join(b.dir, "data", "credentials"))
}

func (b *bench) awsCredentials() (aws.Credentials, error) {
	c, err := b.credentials()
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretKey.Reveal()}, nil
}

// describe states the machine and the versions.
func (b *bench) describe(ctx context.Context, out io.Writer) error {
	conn, err := pgx.Connect(ctx, b.pg.AdminDSN())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var version, fsync string
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('fsync')").Scan(&version, &fsync); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s, %d CPUs, %s/%s, %s; PostgreSQL %s (fsync %s); store SQLite\n%d rounds of %v each, interleaved; medians; load average before: %s\n",
		cpuModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), version, fsync, b.rounds, b.window, loadAverage())
	return err
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:1], " ")
}
