package main

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// rawWorker does nothing but what no program can leave out: ALTER ROLE on an
// admin connection that stays open, and one login with the new password.
type rawWorker struct {
	b     *bench
	admin *pgx.Conn
	role  string
	// next are passwords with their verifiers, made beforehand and used in
	// turn.
	next []rawPassword
	n    int
}

type rawPassword struct{ clear, stored string }

func (b *bench) newRawWorker(ctx context.Context, i int) (*rawWorker, error) {
	w := &rawWorker{b: b, role: fmt.Sprintf("bench_raw_%d", i)}
	for range 4 {
		p := rawPassword{clear: rand.Text()}
		p.stored = p.clear
		if !b.clear {
			var err error
			if p.stored, err = verifier(p.clear); err != nil {
				return nil, err
			}
		}
		w.next = append(w.next, p)
	}
	if err := b.pg.Exec(ctx, "DROP ROLE IF EXISTS "+w.role, "CREATE ROLE "+w.role+" LOGIN"); err != nil {
		return nil, err
	}
	var err error
	w.admin, err = pgx.Connect(ctx, b.pg.DSN(adminRole, b.pgAdmin, "postgres"))
	return w, err
}

func (w *rawWorker) once(ctx context.Context) error {
	p := w.next[w.n%len(w.next)]
	w.n++
	if _, err := w.admin.PgConn().Exec(ctx, "ALTER ROLE "+w.role+" PASSWORD '"+p.stored+"'").ReadAll(); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, w.b.pg.DSN(w.role, p.clear, "postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// raw is the raw limit at a number of workers, per second.
func (b *bench) raw(ctx context.Context, workers int) (pace, error) {
	all := make([]*rawWorker, workers)
	for i := range all {
		var err error
		if all[i], err = b.newRawWorker(ctx, i); err != nil {
			return pace{}, err
		}
		defer all[i].admin.Close(ctx)
	}
	var done atomic.Int64
	var wg sync.WaitGroup
	var stopping atomic.Bool
	errs := make(chan error, workers)
	for _, w := range all {
		wg.Go(func() {
			for !stopping.Load() {
				if err := w.once(ctx); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	got, err := b.pace(ctx, done.Load)
	stopping.Store(true)
	wg.Wait()
	close(errs)
	for failed := range errs {
		return pace{}, failed
	}
	return got, err
}

// verifier is what PostgreSQL stores for a password.
func verifier(password string) (string, error) {
	const iterations = 4096
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac("Server Key"))), nil
}
