package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // to lock the store as another process

	"lockstep/internal/fault"
	"lockstep/internal/pgtest"
)

const (
	// beyondLease is longer than the lease, with time for another to claim.
	beyondLease = 4 * time.Second
	// shortly is long enough for a few tries to fail.
	shortly = 1500 * time.Millisecond
	// beyondCall is longer than a call to a target may last: two thirds of the
	// lease.
	beyondCall = 2500 * time.Millisecond
	// beyondBusy is longer than SQLite waits for another's lock.
	beyondBusy = 5500 * time.Millisecond
)

// disturbance is something that goes wrong outside of the calls of the server,
// while one of them is held.
type disturbance struct {
	name string
	// mode is how the call is held.
	mode string
	// atPostgres tells whether only a variant's PostgreSQL can be disturbed so.
	atPostgres bool
	// house is what has to be the group's own; nil: nothing.
	house func(t *testing.T, store string) house
	// act disturbs, lets the held call go on, and mends.
	act func(t *testing.T, g *group, random *rand.Rand)
}

func disturbances() []*disturbance {
	return []*disturbance{
		{name: "paused before", mode: fault.ModeHold, act: pause},
		{name: "paused after", mode: fault.ModeHoldAfter, act: pause},
		{name: "store away", mode: fault.ModeHold, house: ownStore, act: storeAway},
		{name: "jetstream wiped", mode: fault.ModeHold, act: wipe},
		{name: "target away", mode: fault.ModeHold, atPostgres: true, house: ownTarget, act: targetAway},
		{name: "target frozen", mode: fault.ModeHold, atPostgres: true, house: ownTarget, act: targetFrozen},
		{name: "target restarted", mode: fault.ModeHold, atPostgres: true, house: ownTarget, act: targetCrash},
		{name: "disk full", mode: fault.ModeHold, house: smallDisk, act: fillDisk},
		{name: "clock forward", mode: fault.ModeHold, house: steppedClock, act: stepForward},
		{name: "clock back", mode: fault.ModeHold, house: steppedClock, act: stepBack},
	}
}

// fits tells whether a variant can be disturbed so.
func (d *disturbance) fits(v variant) bool {
	return !d.atPostgres || strings.HasPrefix(v.rotator, "postgres")
}

func ownStore(t *testing.T, store string) house {
	if store == "sqlite" {
		return house{}
	}
	return house{store: pgtest.Start(t)}
}

// ownTarget keeps what it has committed over a crash, as a target is expected to.
func ownTarget(t *testing.T, _ string) house {
	return house{target: pgtest.Start(t, pgtest.Setting("synchronous_commit", "on"), pgtest.Setting("full_page_writes", "on"))}
}

func steppedClock(*testing.T, string) house { return house{stepped: true} }

// held waits until the armed call is held, or the rotation ended without it.
func (g *group) held(t *testing.T, what string) bool {
	t.Helper()
	return g.reached(t, what, func(ctx context.Context) bool {
		return eventually(ctx, func() bool { return g.command(t, "held") != "" })
	})
}

// eventually tells whether ok holds before ctx ends.
func eventually(ctx context.Context, ok func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pause stops the whole process for longer than its lease, as a machine that
// sleeps.
func pause(t *testing.T, g *group, _ *rand.Rand) {
	must(t, g.server.Signal(syscall.SIGSTOP))
	wait(beyondLease)
	must(t, g.server.Signal(syscall.SIGCONT))
	g.command(t, "go")
}

// storeAway stops the store's server, or locks the store's file from outside.
func storeAway(t *testing.T, g *group, _ *rand.Rand) {
	if g.store == nil {
		lockFile(t, g)
		return
	}
	must(t, g.store.Pause(t.Context()))
	g.command(t, "go")
	wait(shortly)
	must(t, g.store.Resume(t.Context()))
}

// lockFile writes to the store's file as another process, longer than the
// server waits for that.
func lockFile(t *testing.T, g *group) {
	files, err := filepath.Glob(filepath.Join(g.server.DataDir, "*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the store's file: %v %v", files, err)
	}
	db, err := sql.Open("sqlite", "file:"+files[0]+"?_pragma=busy_timeout(5000)&_txlock=immediate")
	must(t, err)
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	g.command(t, "go")
	wait(beyondBusy)
	must(t, tx.Rollback())
}

// wipe kills the process and deletes all that JetStream had.
func wipe(t *testing.T, g *group, _ *rand.Rand) {
	g.server.Kill()
	must(t, os.RemoveAll(filepath.Join(g.server.DataDir, "jetstream")))
	must(t, g.server.Restart(t.Context()))
}

func targetAway(t *testing.T, g *group, _ *rand.Rand) {
	must(t, g.target.Pause(t.Context()))
	g.command(t, "go")
	wait(shortly)
	must(t, g.target.Resume(t.Context()))
}

// targetFrozen: the target takes what it is sent, and does not answer until the
// call has long been given up.
func targetFrozen(t *testing.T, g *group, _ *rand.Rand) {
	must(t, g.target.FreezeAll())
	g.command(t, "go")
	wait(beyondCall)
	must(t, g.target.ThawAll())
}

// targetCrash ends the target somewhere in the middle of the call.
func targetCrash(t *testing.T, g *group, random *rand.Rand) {
	g.command(t, "go")
	wait(time.Duration(random.Int64N(int64(8 * time.Millisecond))))
	must(t, g.target.Crash(t.Context()))
	must(t, g.target.Resume(t.Context()))
}

// diskBytes is the size of the disk that is filled.
const diskBytes = 48 << 20

// smallDisk puts the server's data on a small disk of its own. Only root may
// make one; without it the process's own limit does, see fillDisk.
func smallDisk(t *testing.T, _ string) house {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskBytes)))
		t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	}
	return house{dataDir: filepath.Join(dir, "data")}
}

// fillDisk leaves no byte free for a while. A server that ends meanwhile is
// started again once there is room, as its supervisor would.
func fillDisk(t *testing.T, g *group, _ *rand.Rand) {
	if os.Geteuid() != 0 {
		g.limitFiles(t)
		return
	}
	filler := filepath.Join(filepath.Dir(g.server.DataDir), "filler")
	f, err := os.Create(filler) // #nosec G304 -- a file of the test's own
	must(t, err)
	for size := 1 << 20; size > 0; {
		if n, err := f.Write(make([]byte, size)); err != nil {
			size = min(n, size/2)
		}
	}
	g.command(t, "go")
	wait(shortly)
	must(t, f.Close())
	must(t, os.Remove(filler))
	g.revive(t)
}

// limitFiles lets no file of the server's grow for a while, where nobody may make
// a disk: the system ends a process that tries.
func (g *group) limitFiles(t *testing.T) {
	var old unix.Rlimit
	must(t, unix.Prlimit(g.server.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: unix.RLIM_INFINITY}, &old))
	g.command(t, "go")
	wait(shortly)
	if err := unix.Prlimit(g.server.PID(), unix.RLIMIT_FSIZE, &old, nil); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
	g.revive(t)
}

// revive starts the server again if it has ended.
func (g *group) revive(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := g.server.WaitExit(ctx); err == nil {
		must(t, g.server.Restart(t.Context()))
	}
}

// step moves the store's clock.
func (g *group) step(t *testing.T, by time.Duration) {
	t.Helper()
	if g.store == nil {
		g.command(t, "clock "+by.String())
		return
	}
	conn, err := pgx.Connect(t.Context(), g.storeDSN)
	must(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), "UPDATE skew.step SET by = by + $1::interval", by.String())
	must(t, err)
}

func stepForward(t *testing.T, g *group, _ *rand.Rand) {
	g.step(t, time.Hour)
	g.command(t, "go")
}

// patient is how long a run may take on a clock that was stepped back: twice the
// lease until its claim is broken. What was to be tried again at a time that is
// an hour ahead by now is tried when the clock is right again.
const patient = 12 * time.Second

func stepBack(t *testing.T, g *group, _ *rand.Rand) {
	g.step(t, -time.Hour)
	g.command(t, "go")
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if !g.settles(ctx, t) {
		g.step(t, time.Hour)
		done.add("clock back, and mended")
	}
}

// withClock gives a store's database a clock that step moves: its sessions find
// this one before the system's.
func withClock(t *testing.T, dsn string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), `CREATE SCHEMA skew; CREATE TABLE skew.step (by interval); INSERT INTO skew.step VALUES ('0');
		CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
		AS 'SELECT pg_catalog.clock_timestamp() + by FROM skew.step'`)
	must(t, err)
	u, err := url.Parse(dsn)
	must(t, err)
	q := u.Query()
	q.Set("search_path", "public, skew, pg_catalog")
	u.RawQuery = q.Encode()
	return u.String()
}
