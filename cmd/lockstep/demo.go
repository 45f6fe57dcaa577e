package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/client"
	"lockstep/client/admin"
	"lockstep/internal/pgserver"
)

// The demonstration's measures.
const (
	demoEvery       = "@every 5s"
	demoRetireAfter = 2 * time.Second
	demoSecret      = "prod/db/orders" // #nosec G101 -- a secret's name, no credential
	demoAdmin       = "prod/db/admin"
	demoDatabase    = "orders"
	demoUser        = "orders_app"
	// demoStart bounds how long the servers take to come up on a slow machine.
	demoStart = 2 * time.Minute
)

func newDemo() *cobra.Command {
	seconds := 60
	if s, err := strconv.Atoi(os.Getenv("DEMO_SECONDS")); err == nil && s > 0 {
		seconds = s
	}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Rotate a real PostgreSQL password every five seconds under a live application",
		Long: `Start a private PostgreSQL and a lockstep server, rotate the application's
credential every five seconds, and run an application that must not notice.
Everything is private to this run, and nothing is left behind.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{out: newScreen(cmd.OutOrStdout()), length: time.Duration(seconds) * time.Second}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&seconds, "seconds", seconds, "how long it runs ($DEMO_SECONDS)")
	return cmd
}

// demo is one demonstration.
type demo struct {
	out    *screen
	length time.Duration

	dir      string
	database *pgserver.Server
	server   *exec.Cmd
	exited   chan error
	env      environment
	client   *client.Client
	app      *application
	watcher  *rotationWatch
}

// run plays it from the beginning to the end, and tidies up in any case.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.tidy(context.WithoutCancel(ctx))) }()
	for _, step := range []func(context.Context) error{d.startDatabase, d.startServer, d.createSecrets, d.startApplication} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.out.line("")
	playing, stop := context.WithTimeout(ctx, d.length)
	defer stop()
	d.watcher.run(playing)
	return d.summary()
}

// startDatabase starts a private PostgreSQL with the application's role.
func (d *demo) startDatabase(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, demoStart)
	defer cancel()
	var err error
	if d.database, err = pgserver.Start(ctx, pgserver.Config{}); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	err = d.database.Exec(ctx,
		"CREATE ROLE "+demoUser+" LOGIN PASSWORD 'known-to-everybody'",
		"CREATE DATABASE "+demoDatabase+" OWNER "+demoUser)
	if err != nil {
		return fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	err = d.database.ExecIn(ctx, demoDatabase,
		"SET ROLE "+demoUser+"; CREATE TABLE orders (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())")
	if err != nil {
		return fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	d.out.line("PostgreSQL is up on 127.0.0.1:%d (%s)", d.database.Port(), since(began))
	return nil
}

// startServer starts this same program as a server, with everything embedded.
func (d *demo) startServer(ctx context.Context) error {
	began := time.Now()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if d.dir, err = os.MkdirTemp("", "lockstep-demo-"); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	log, err := os.Create(filepath.Join(d.dir, "serve.log")) // #nosec G304 -- a file of this run's own directory
	if err != nil {
		return fmt.Errorf("make log: %w", err)
	}
	defer func() { _ = log.Close() }()
	d.server = exec.Command(self, "serve", "--data-dir", filepath.Join(d.dir, "data"), // #nosec G204 -- this program itself
		"--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--min-interval", "1s", "--lease", "5s")
	d.server.Stderr = log
	// A process group of its own: an interrupt from the terminal reaches the
	// demonstration, which then drains the server.
	d.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.server.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	d.exited = make(chan error, 1)
	go func() { d.exited <- d.server.Wait() }()
	if err := d.waitServer(ctx); err != nil {
		return err
	}
	d.out.line("lockstep serves on %s, events on %s (%s)", d.env.Endpoint, d.env.NATSURL, since(began))
	return nil
}

func (d *demo) waitServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoStart)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		env, err := environmentIn(filepath.Join(d.dir, "data"))
		if err == nil {
			d.env = env
			if d.client, err = client.New(ctx, env.clientConfig("demo")); err == nil {
				if _, err = d.client.Admin().Status(ctx); err == nil {
					return nil
				}
				d.client.Close()
			}
		}
		select {
		case exit := <-d.exited:
			d.exited <- exit
			return fmt.Errorf("the server ended at once: %w\n%s", exit, d.serverLog())
		case <-ctx.Done():
			return fmt.Errorf("the server did not come up: %w\n%s", err, d.serverLog())
		case <-tick.C:
		}
	}
}

// serverLog is the end of the server's log, for a failure's message.
func (d *demo) serverLog() string {
	raw, err := os.ReadFile(filepath.Join(d.dir, "serve.log"))
	if err != nil {
		return ""
	}
	return string(raw[max(0, len(raw)-4000):])
}

// createSecrets stores the admin's and the application's credential, and sets
// the schedule.
func (d *demo) createSecrets(ctx context.Context) error {
	secrets, err := d.env.secrets(ctx)
	if err != nil {
		return err
	}
	where := credentialValue{Engine: "postgres", Host: pgserver.Host, Port: d.database.Port(), DBName: demoDatabase}
	admins := where
	admins.DBName, admins.Username, admins.Password = "postgres", pgserver.Superuser, d.database.Password()
	masterARN, err := create(ctx, secrets, demoAdmin, admins)
	if err != nil {
		return err
	}
	apps := where
	apps.Username, apps.Password, apps.MasterARN = demoUser, "known-to-everybody", masterARN
	if _, err := create(ctx, secrets, demoSecret, apps); err != nil {
		return err
	}
	rotator := "postgres-alternating"
	_, err = d.client.Admin().SetRotation(ctx, demoSecret, admin.RotationChange{
		Rotator: &rotator, Schedule: &admin.Schedule{Expression: demoEvery},
		Retirement: &admin.Retirement{After: lockstep.RetireDelay, Delay: demoRetireAfter.String()},
	})
	if err != nil {
		return fmt.Errorf("set schedule: %w", err)
	}
	d.out.line("%s rotates %s by %s; the old credential is removed after %s", demoSecret, demoEvery, rotator, demoRetireAfter)
	return nil
}

// credentialValue is a database credential as AWS shapes it.
type credentialValue struct {
	Engine    string `json:"engine"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	DBName    string `json:"dbname"`
	Username  string `json:"username"`
	Password  string `json:"password"` // #nosec G117 -- marshalled to be sealed
	MasterARN string `json:"masterarn,omitempty"`
}

func create(ctx context.Context, c *secretsmanager.Client, name string, v credentialValue) (string, error) {
	raw, err := json.Marshal(v) // #nosec G117 -- the value of the secret that is created
	if err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	out, err := c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(string(raw))})
	if err != nil {
		return "", fmt.Errorf("create %s: %w", name, plain(err))
	}
	return aws.ToString(out.ARN), nil
}

// startApplication opens the live secret and begins to query.
func (d *demo) startApplication(ctx context.Context) error {
	secret, err := d.client.Open(ctx, demoSecret)
	if err != nil {
		return fmt.Errorf("open secret: %w", err)
	}
	if d.app, err = startApplication(ctx, secret); err != nil {
		return err
	}
	d.watcher, err = d.watchRotations(ctx)
	if err != nil {
		return err
	}
	d.out.line("an application queries through client/pgxsecret, %d times a second", appRate)
	return nil
}

// summary stops the application and prints the totals.
func (d *demo) summary() error {
	d.app.stop()
	queries, failures := d.app.totals()
	w := d.watcher
	d.out.line("")
	d.out.line("rotation       p50 %-9s p99 %s", millis(percentile(w.took, 50)), millis(percentile(w.took, 99)))
	d.out.line("event to app   p50 %-9s p99 %s", millis(percentile(w.moved, 50)), millis(percentile(w.moved, 99)))
	d.out.line("retired        %d old credentials, each refused by PostgreSQL", w.refused)
	if failure := d.app.lastFailure(); failure != "" {
		d.out.line("last failure   %s", failure)
	}
	d.out.line("rotations=%d queries=%d failures=%d", len(w.took), queries, failures)
	switch {
	case failures > 0:
		return fmt.Errorf("%d queries failed", failures)
	case w.stillValid > 0:
		return fmt.Errorf("%d retired credentials still log in", w.stillValid)
	case len(w.took) == 0 && d.length > 10*time.Second:
		return fmt.Errorf("nothing rotated; the server's log ends with\n%s", d.serverLog())
	}
	return nil
}

// tidy ends what was started and removes its files.
func (d *demo) tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoStart)
	defer cancel()
	// A second interrupt while tidying ends the program as usual.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	var errs []error
	if d.app != nil {
		d.app.stop()
	}
	if d.client != nil {
		d.client.Close()
	}
	if d.exited != nil {
		_ = d.server.Process.Signal(syscall.SIGTERM)
		if err := <-d.exited; err != nil {
			errs = append(errs, fmt.Errorf("the server did not end well: %w\n%s", err, d.serverLog()))
		}
	}
	if d.database != nil {
		errs = append(errs, d.database.Stop(ctx))
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

func since(t time.Time) string { return time.Since(t).Round(10 * time.Millisecond).String() }
