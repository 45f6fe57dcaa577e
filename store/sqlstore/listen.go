package sqlstore

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// channel is the NOTIFY channel; its payload is the node and the topics,
	// with spaces between them.
	channel = "lockstep_store"
	// relistenPause is the first pause before a lost connection is made anew;
	// it doubles up to relistenMost.
	relistenPause = 50 * time.Millisecond
	relistenMost  = 5 * time.Second
)

// listener turns the notifications of other nodes into signals of the hub, on
// a connection of its own.
type listener struct {
	config *pgx.ConnConfig
	hub    *hub
	node   string
	log    *slog.Logger
	cancel context.CancelFunc
	ended  chan struct{}
}

// startListener listens before it returns, so that no signal is missed from
// then on.
func startListener(ctx context.Context, cc *pgx.ConnConfig, h *hub, node string, log *slog.Logger) (*listener, error) {
	l := &listener{config: cc, hub: h, node: node, log: log, ended: make(chan struct{})}
	conn, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	// The listener lives until stop, not as long as the call that opened it.
	live, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	go l.loop(live, conn)
	return l, nil
}

func (l *listener) stop() {
	l.cancel()
	<-l.ended
}

func (l *listener) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, place("connect listener", postgresError(ctx, err))
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		l.drop(ctx, conn)
		return nil, place("listen", postgresError(ctx, err))
	}
	return conn, nil
}

func (l *listener) drop(ctx context.Context, conn *pgx.Conn) {
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	_ = conn.Close(end)
}

func (l *listener) loop(ctx context.Context, conn *pgx.Conn) {
	defer close(l.ended)
	for conn != nil {
		err := l.receive(ctx, conn)
		l.drop(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		l.log.WarnContext(ctx, "lost the connection that listens", "error", err)
		if conn = l.reconnect(ctx); conn != nil {
			l.hub.signal(allTopics)
		}
	}
}

// receive returns when the connection is lost.
func (l *listener) receive(ctx context.Context, conn *pgx.Conn) error {
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for notification: %w", err)
		}
		if node, touched, _ := strings.Cut(n.Payload, " "); node != l.node {
			l.hub.signal(topicsOf(touched))
		}
	}
}

// reconnect tries until it has a connection; nil means that the store closes.
func (l *listener) reconnect(ctx context.Context) *pgx.Conn {
	for most := relistenPause; ; most = min(2*most, relistenMost) {
		if err := pause(ctx, most); err != nil {
			return nil
		}
		conn, err := l.connect(ctx)
		if err == nil {
			return conn
		}
		l.log.WarnContext(ctx, "cannot listen", "error", err)
	}
}
