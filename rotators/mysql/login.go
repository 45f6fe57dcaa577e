package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

// conn is one login.
type conn struct {
	db *sql.DB
	*sql.Conn
}

// several says whether a message may hold several statements: a change does, a
// test never, so that no probe can leave its transaction.
type several bool

const (
	oneStatement      several = false
	severalStatements several = true
)

// login opens one connection as v says. Errors: a lockstep.TargetError with
// NotApplied; FaultRefusedLogin is the server's word that this credential does
// not log in.
func (b *base) login(ctx context.Context, v *value, statements several) (*conn, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = v.User, v.Password, v.Database
	cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(v.Host, strconv.Itoa(v.Port))
	cfg.Logger = &mysql.NopLogger{}
	cfg.MultiStatements = bool(statements)
	cfg.AllowCleartextPasswords = false
	cfg.Params = map[string]string{
		"sql_mode": "'NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'", "time_zone": "'+00:00'", "autocommit": "1",
		"group_concat_max_len": "1000000", // default roles are one text
	}
	cfg.TLS, cfg.AllowFallbackToPlaintext = tlsOf(v)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, b.loginFault(v, fmt.Errorf("set up connection: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, b.connectTimeout)
	defer cancel()
	db := sql.OpenDB(connector)
	one, err := db.Conn(ctx)
	if err != nil {
		// What it says is said by the error of the login.
		_ = db.Close()
		return nil, b.loginFault(v, err)
	}
	return &conn{db: db, Conn: one}, nil
}

// tlsOf reads sslmode as libpq means it. "allow" is taken as "prefer".
func tlsOf(v *value) (cfg *tls.Config, orPlain bool) {
	if v.SSLMode == "disable" {
		return nil, false
	}
	cfg = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: v.Host}
	switch v.SSLMode {
	case "verify-full":
	case "verify-ca":
		cfg.InsecureSkipVerify = true // #nosec G402 -- the chain is verified below, the name is not asked for
		cfg.VerifyConnection = verifyChain
	default:
		cfg.InsecureSkipVerify = true // #nosec G402 -- what these modes mean: encryption without identity
		orPlain = v.SSLMode != "require"
	}
	return cfg, orPlain
}

var errNoCertificate = errors.New("the server sent no certificate")

// verifyChain verifies a certificate against the system's roots, whatever name
// it is for.
func verifyChain(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Intermediates: between})
	return err
}

// closeTimeout bounds the goodbye to a server that does not answer.
const closeTimeout = time.Second

// close ends the login, and with it what it had locked.
func (c *conn) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Whatever they say, nothing depends on it any more.
		_ = c.Close()
		_ = c.db.Close()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// strings asks for one row of texts. Errors: a TargetError with NotApplied.
func (c *conn) texts(ctx context.Context, doing, query string, into ...*string) error {
	cells := make([]any, len(into))
	for i := range into {
		cells[i] = into[i]
	}
	if err := c.QueryRowContext(ctx, query).Scan(cells...); err != nil {
		return askFault(doing, err)
	}
	return nil
}

// Number of the error that the server gave; zero if it gave none.
func number(err error) uint16 {
	if my, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return my.Number
	}
	return 0
}
