package pgxsecret

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"lockstep"
)

// handed is a connection that is logged in already, for a client that is about
// to log in: it swallows the client's startup message and replays the server's
// greeting; from then on it is the connection itself.
type handed struct {
	net.Conn
	// reader is what pgconn read the login from. After a slow write pgconn
	// leaves a read of the connection behind in a goroutine of its own; that
	// reader, and no other, gets to the bytes of it.
	reader io.Reader
	// version is what it logged in with.
	version lockstep.VersionID
	// onClose is called once.
	onClose func()
	once    sync.Once
	// taken is true once the client has it, or nobody can any more; forget
	// ends the watch over that.
	taken atomic.Bool
	// used is true once the pool has handed it to a query.
	used   atomic.Bool
	forget func() bool

	// startup collects the client's message until it is whole; nil afterwards.
	startup []byte
	// greeting is what is still to be replayed.
	greeting []byte
}

// fresh is a connection just after its login, and its reader.
type fresh struct {
	*pgconn.PgConn
	reader io.Reader
}

// logIn connects with a Config as pgconn does. It keeps the Config.
func logIn(ctx context.Context, cfg *pgconn.Config) (fresh, error) {
	var reader io.Reader
	build := cfg.BuildFrontend
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		reader = r // of the last try, which is the one that counts
		return build(r, w)
	}
	pc, err := pgconn.ConnectConfig(ctx, cfg)
	return fresh{pc, reader}, err
}

// hand takes a connection out of pgconn's hands, just after its login.
func hand(f fresh, version lockstep.VersionID) (*handed, *tls.Config, error) {
	hc, err := f.Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over connection: %w", err)
	}
	h := &handed{Conn: hc.Conn, reader: f.reader, version: version, startup: make([]byte, 0, 128), onClose: func() {}}
	if hc.Frontend.ReadBufferLen() > 0 {
		// The server had more to say and pgconn has read it: it would be lost.
		return nil, nil, errors.Join(errChatty, h.Close())
	}
	if h.greeting, err = greeting(hc); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("take over connection: %w", err), h.Close())
	}
	return h, hc.TLSConfig, nil
}

var errChatty = errors.New("the server sent a message right after the login")

// greeting is what a server says after a login, up to ready for query.
func greeting(hc *pgconn.HijackedConn) ([]byte, error) {
	messages := []pgproto3.BackendMessage{&pgproto3.AuthenticationOk{}}
	for name, value := range hc.ParameterStatuses {
		messages = append(messages, &pgproto3.ParameterStatus{Name: name, Value: value})
	}
	messages = append(messages,
		&pgproto3.BackendKeyData{ProcessID: hc.PID, SecretKey: hc.SecretKey},
		&pgproto3.ReadyForQuery{TxStatus: 'I'})
	var out []byte
	for _, m := range messages {
		var err error
		if out, err = m.Encode(out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Write swallows the startup message, whose first four bytes are its length.
func (h *handed) Write(p []byte) (int, error) {
	if h.startup == nil {
		return h.Conn.Write(p)
	}
	h.startup = append(h.startup, p...)
	if len(h.startup) < 4 {
		return len(p), nil
	}
	size := int(binary.BigEndian.Uint32(h.startup))
	if len(h.startup) < size {
		return len(p), nil
	}
	rest := h.startup[size:]
	h.startup = nil
	if len(rest) > 0 {
		if _, err := h.Conn.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Read replays the greeting first.
func (h *handed) Read(p []byte) (int, error) {
	if len(h.greeting) == 0 {
		return h.reader.Read(p)
	}
	n := copy(p, h.greeting)
	h.greeting = h.greeting[n:]
	return n, nil
}

// Close closes the connection and counts it out.
func (h *handed) Close() error {
	err := h.Conn.Close()
	h.once.Do(h.onClose)
	return err
}

// closeWith closes the connection with ctx if no client has taken it by then.
func (h *handed) closeWith(ctx context.Context) {
	h.forget = context.AfterFunc(ctx, func() {
		if h.taken.CompareAndSwap(false, true) {
			_ = h.Close() // nobody is left to be told
		}
	})
}

// handover makes a Config connect by taking h: no name is looked up, no TLS is
// begun and nothing is checked a second time. Later dials, which pgconn makes
// to cancel a query, go to the server in the way that h did.
func handover(cfg *pgconn.Config, h *handed, t *tls.Config) {
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if h.taken.CompareAndSwap(false, true) {
			h.forget()
			return h, nil
		}
		return dialLike(ctx, func(ctx context.Context) (net.Conn, error) { return dial(ctx, network, address) }, t)
	}
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.TLSConfig, cfg.Fallbacks = nil, nil
	cfg.AfterNetConnect, cfg.ValidateConnect = nil, nil
	cfg.ChannelBinding, cfg.RequireAuth, cfg.SSLCertMode = "", "", ""
	cfg.MinProtocolVersion = ""
}

// sslRequest is PostgreSQL's request to begin TLS: length 8, code 80877103.
var sslRequest = [8]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}

// dialLike dials, with TLS if the connection before it had it.
func dialLike(ctx context.Context, dial func(context.Context) (net.Conn, error), t *tls.Config) (net.Conn, error) {
	conn, err := dial(ctx)
	if err != nil || t == nil {
		return conn, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	answer := make([]byte, 1)
	if _, err = conn.Write(sslRequest[:]); err == nil {
		_, err = conn.Read(answer)
	}
	if err == nil && answer[0] != 'S' {
		err = errors.New("server refused TLS")
	}
	over := tls.Client(conn, t)
	if err == nil {
		err = over.HandshakeContext(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin TLS: %w", err), conn.Close())
	}
	return over, nil
}
