package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// applicationName shows in pg_stat_activity.
const applicationName = "lockstep"

// login opens one connection as v says, without a pool. Errors: a
// lockstep.TargetError with NotApplied; FaultRefusedLogin is the server's word
// that this credential does not log in.
func (b *base) login(ctx context.Context, v *value) (*pgx.Conn, error) {
	// Name and password are set after parsing: they need no quoting then, and
	// no error can show them. The host was checked by parse.
	cfg, err := pgx.ParseConfig("host='" + v.Host + "' port=" + strconv.Itoa(v.Port) +
		" sslmode=" + v.SSLMode + " user=none password=none target_session_attrs=any")
	if err != nil {
		return nil, loginFault(v, fmt.Errorf("set up connection: %w", err))
	}
	cfg.User, cfg.Password, cfg.Database = v.User, v.Password, v.Database
	cfg.RuntimeParams = map[string]string{"application_name": applicationName}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.StatementCacheCapacity, cfg.DescriptionCacheCapacity = 0, 0
	cfg.RequireAuth = authMethods(v.SSLMode)
	ctx, cancel := context.WithTimeout(ctx, b.connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, loginFault(v, err)
	}
	return conn, nil
}

// authMethods are the ways of logging in that prove a password. A server that
// asks for none ("trust") would let any value in, and a login would be no
// verdict; the clear password goes only through a connection that is certainly
// encrypted.
func authMethods(sslmode string) string {
	switch sslmode {
	case "require", "verify-ca", "verify-full":
		return "scram-sha-256,md5,password"
	}
	return "scram-sha-256,md5"
}

// closeTimeout bounds the goodbye to a server that does not answer.
const closeTimeout = time.Second

// logout closes a connection, also when ctx is over.
func logout(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	// Whatever it says, nothing depends on it any more.
	_ = conn.Close(ctx)
}
