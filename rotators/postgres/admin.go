package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"lockstep/rotators"
)

// admin is a session of the admin and what it saw.
type admin struct {
	conn *pgx.Conn
	*survey
}

// adminSession logs in as the Secret's admin, at the Secret's own server only:
// else whoever may write the Secret's host could have the admin's credential
// sent to a server of theirs. The caller logs out if err is nil.
func (b *base) adminSession(ctx context.Context, r *rotators.Request, of *value, names []string) (*admin, error) {
	v, err := parse(r.Admin)
	if err != nil {
		return nil, malformed("the admin's secret "+of.masterARN, err)
	}
	if !v.sameServer(of) {
		return nil, permanent("let both secrets name the server by the same host and port",
			"the admin's secret is for %s, this one for %s", v.address(), of.address())
	}
	conn, err := b.login(ctx, v)
	if err != nil {
		return nil, adminFault(err, of.masterARN)
	}
	s, err := look(ctx, conn, names)
	if err != nil {
		logout(ctx, conn)
		return nil, err
	}
	return &admin{conn: conn, survey: s}, nil
}
