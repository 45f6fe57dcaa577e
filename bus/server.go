package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// The accounts and users of the embedded server. The callout has an account
// of its own, so that login tokens never pass where applications are.
const (
	engineAccount  = "LOCKSTEP"
	calloutAccount = "LOCKSTEP_AUTH"
	engineUser     = "engine"
	calloutUser    = "callout"
)

// embedded is the NATS server inside this process. It may be restarted: those
// who are connected connect again, at the same address.
type embedded struct {
	cfg  Config
	log  *serverLog
	lock *os.File
	keys calloutKeys
	// mu guards what a restart changes.
	mu  sync.Mutex
	srv *server.Server // nil before the first start
	// address is where applications connect; nil if nobody listens.
	address net.Addr
	// secret is the password of both internal users; drawn at each start, and
	// good on in-process connections only.
	secret string
}

// startEmbedded brings the server up and waits until its streams are
// recovered. Errors: ErrBusy if the directory is in use.
func startEmbedded(ctx context.Context, c Config) (*embedded, error) {
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{cfg: c, log: newServerLog(c.Logger), lock: lock}
	if err := errors.Join(e.drawSecrets(), e.start(ctx)); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

func (e *embedded) drawSecrets() error {
	var err error
	if e.keys, err = newCalloutKeys(); err != nil {
		return err
	}
	raw := make([]byte, 24)
	if _, err := rand.Read(raw); err != nil {
		return fmt.Errorf("draw internal NATS password: %w", err)
	}
	e.secret = hex.EncodeToString(raw)
	return nil
}

// start makes a server and waits until it serves.
func (e *embedded) start(ctx context.Context) error {
	opts, err := e.options(e.cfg)
	if err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("configure embedded NATS server: %w", err)
	}
	e.mu.Lock()
	e.srv = srv
	e.mu.Unlock()
	srv.SetLoggerV2(e.log, false, false, false)
	if err := e.await(ctx, srv); err != nil {
		return err
	}
	e.mu.Lock()
	e.address = srv.Addr()
	e.mu.Unlock()
	acc, err := srv.LookupAccount(engineAccount)
	if err != nil {
		return fmt.Errorf("look up engine account: %w", err)
	}
	if err := acc.EnableJetStream(nil, nil); err != nil {
		return fmt.Errorf("enable JetStream: %w", err)
	}
	return nil
}

// await starts the server and waits until it is ready, fails, or is too slow.
func (e *embedded) await(ctx context.Context, srv *server.Server) error {
	wait := e.cfg.ReadyWait
	ready := make(chan bool, 1)
	go func() {
		srv.Start()
		ready <- srv.ReadyForConnections(wait)
	}()
	select {
	case msg := <-e.log.fatal:
		return fmt.Errorf("start embedded NATS server: %s", msg)
	case <-ctx.Done():
		return fmt.Errorf("start embedded NATS server: %w", ctx.Err())
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("embedded NATS server is not ready after %v", wait)
		}
		return nil
	}
}

func (e *embedded) options(c Config) (*server.Options, error) {
	engine, callout := server.NewAccount(engineAccount), server.NewAccount(calloutAccount)
	inProcess := map[string]struct{}{jwt.ConnectionTypeInProcess: {}}
	o := &server.Options{
		ServerName: "lockstep",
		DontListen: c.Listen == "",
		NoSigs:     true,
		MaxPayload: 1 << 20,
		JetStream:  true, StoreDir: filepath.Join(c.Dir, "store"),
		JetStreamMaxStore: c.MaxStore, JetStreamMaxMemory: 256 << 20,
		JetStreamLimits: server.JSLimitOpts{DefaultMaxConsumers: -1},
		SyncAlways:      c.SyncAlways,
		Accounts:        []*server.Account{engine, callout},
		Users: []*server.User{
			{Username: engineUser, Password: e.secret, Account: engine, AllowedConnectionTypes: inProcess},
			{Username: calloutUser, Password: e.secret, Account: callout, AllowedConnectionTypes: inProcess},
		},
		AuthCallout: &server.AuthCallout{
			Issuer: e.keys.issuerPublic, XKey: e.keys.xkeyPublic,
			Account: calloutAccount, AuthUsers: []string{engineUser, calloutUser},
		},
		AuthTimeout: authTimeout.Seconds() + 1,
		TLSTimeout:  5,
	}
	if c.Listen == "" {
		return o, nil
	}
	var err error
	o.Host, o.Port, err = listenAddress(c.Listen)
	if had, ok := e.clientAddress().(*net.TCPAddr); ok {
		o.Port = had.Port
	}
	o.TLSConfig = c.TLS.Clone()
	o.TLSConfig.MinVersion = tls.VersionTLS13
	return o, err
}

// dial opens an in-process connection as one of the internal users.
func (e *embedded) dial(user string, opts ...nats.Option) (*nats.Conn, error) {
	opts = append(opts, nats.InProcessServer(e), nats.UserInfo(user, e.secret))
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to embedded NATS server: %w", err)
	}
	return nc, nil
}

// InProcessConn is nats.InProcessConnProvider's: a connection to the server as it
// is now.
func (e *embedded) InProcessConn() (net.Conn, error) {
	srv := e.server()
	if srv == nil {
		return nil, nats.ErrNoServers
	}
	return srv.InProcessConn()
}

// server is the present one; nil before the first start.
func (e *embedded) server() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.srv
}

// clientAddress is where applications connect; nil if nobody listens.
func (e *embedded) clientAddress() net.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.address
}

// restart replaces the server by one that reads its streams from the disk. The
// directory stays ours.
func (e *embedded) restart(ctx context.Context) error {
	e.shutDown()
	return e.start(ctx)
}

func (e *embedded) shutDown() {
	if srv := e.server(); srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// stop shuts the server down, waits for it, and gives the directory up.
func (e *embedded) stop() error {
	e.shutDown()
	return e.lock.Close()
}

// disconnect closes the connections of one user and returns how many.
func (e *embedded) disconnect(user string) (int, error) {
	srv := e.server()
	list, err := srv.Connz(&server.ConnzOptions{Username: true, User: user, Account: engineAccount, Limit: 1 << 20})
	if err != nil {
		return 0, fmt.Errorf("list connections: %w", err)
	}
	var errs []error
	n := 0
	for _, c := range list.Conns {
		if err := srv.DisconnectClientByID(c.Cid); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}
