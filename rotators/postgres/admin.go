package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"lockstep"
	"lockstep/rotators"
)

// reuseTimeout bounds the first question on a session that was idle: where the
// network swallows it in silence, there is still time for a new login.
const reuseTimeout = 3 * time.Second

// admin is a session of the admin and what it saw.
type admin struct {
	conn *pgx.Conn
	// now is the server's clock, read first.
	now time.Time
	// survey is nil until look.
	*survey
}

// withAdmin runs do with a session of the Secret's admin: one kept from an
// earlier call, or a new one. It is at the Secret's own server only: else
// whoever may write the Secret's host could have the admin's credential sent to
// a server of theirs. If do fails, the session is closed, else it is kept.
//
// The first thing sent only reads. So a session that broke while it was idle,
// or leads to what has become a standby, is found out before anything can have
// changed, and a new login takes its place.
func (b *base) withAdmin(ctx context.Context, r *rotators.Request, of *value, do func(*admin) error) error {
	v, err := adminOf(r, of)
	if err != nil {
		return err
	}
	on, now, err := b.session(ctx, v)
	if err != nil {
		return adminFault(err, of.MasterARN)
	}
	return b.use(ctx, on, now, do)
}

// withFreshAdmin is withAdmin by a login of its own, for who asks whether the
// admin's credential works now.
func (b *base) withFreshAdmin(ctx context.Context, r *rotators.Request, of *value, do func(*admin) error) error {
	v, err := adminOf(r, of)
	if err != nil {
		return err
	}
	on, now, err := b.newSession(ctx, v)
	if err != nil {
		return adminFault(err, of.MasterARN)
	}
	return b.use(ctx, on, now, do)
}

func adminOf(r *rotators.Request, of *value) (*value, error) {
	v, err := parse(r.Admin)
	if err != nil {
		return nil, malformed("the admin's secret "+of.MasterARN, err)
	}
	if !v.SameServer(of) {
		return nil, rotators.Permanent("let both secrets name the server by the same host and port",
			"the admin's secret is for %s, this one for %s", v.Address(), of.Address())
	}
	return v, nil
}

// session returns a login as v that answers, and the server's clock.
func (b *base) session(ctx context.Context, v *value) (*session, time.Time, error) {
	if kept := b.sessions.take(b.sessions.keyOf(v)); kept != nil {
		limited, cancel := context.WithTimeout(ctx, reuseTimeout)
		now, err := clock(limited, kept.conn)
		cancel()
		if err == nil {
			return kept, now, nil
		}
		logout(ctx, kept.conn)
	}
	return b.newSession(ctx, v)
}

func (b *base) newSession(ctx context.Context, v *value) (*session, time.Time, error) {
	conn, err := b.login(ctx, v)
	if err != nil {
		return nil, time.Time{}, err
	}
	now, err := clock(ctx, conn)
	if err != nil {
		logout(ctx, conn)
		return nil, time.Time{}, err
	}
	return &session{conn: conn, key: b.sessions.keyOf(v), server: v.Server(), born: time.Now()}, now, nil
}

// use runs do and keeps the session, or closes it if anything failed: what
// state it is in then is not for us to guess.
func (b *base) use(ctx context.Context, on *session, now time.Time, do func(*admin) error) error {
	kept := false
	defer func() {
		if !kept {
			logout(ctx, on.conn)
		}
	}()
	if err := do(&admin{conn: on.conn, now: now}); err != nil {
		return err
	}
	if !on.conn.IsClosed() && on.conn.PgConn().TxStatus() == noTransaction {
		kept = true
		b.sessions.put(on)
	}
	return nil
}

// noTransaction is the server's word that none is open.
const noTransaction = 'I'

// look surveys the server for the roles named.
func (a *admin) look(ctx context.Context, names []string) error {
	s, err := look(ctx, a.conn, names)
	if err != nil {
		return err
	}
	a.survey = s
	return nil
}

// explain adds to a failed change what a survey tells about it: the role is
// missing, or which right.
func (a *admin) explain(ctx context.Context, failed error, v *value) error {
	te, ok := errors.AsType[*lockstep.TargetError](failed)
	if !ok || te.Outcome != lockstep.NotApplied {
		return failed
	}
	pg, _ := errors.AsType[*pgconn.PgError](failed)
	absent := pg != nil && pg.Code == codeNoObject
	if !absent && (te.Fault != lockstep.FaultPermanent || te.Hint != "") {
		return failed
	}
	if err := a.look(ctx, []string{v.User}); err != nil {
		return failed
	}
	if a.roles[v.User] == nil {
		return noRole(v)
	}
	return a.missingRight(failed, []string{v.User})
}
