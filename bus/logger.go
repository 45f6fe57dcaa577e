package bus

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog passes the embedded server's words on to slog. Without it, a
// failed start would end the process (the stock logger) or be silent (none):
// the server reports it by Fatalf, which is caught here.
type serverLog struct {
	log   *slog.Logger
	once  sync.Once
	fatal chan string
	// trouble gets a word when the server has reported an error.
	trouble chan struct{}
}

func newServerLog(l *slog.Logger) *serverLog {
	return &serverLog{log: l.With("component", "nats"), fatal: make(chan string, 1), trouble: make(chan struct{}, 1)}
}

// Noticef logs at Debug: the server's notices are of interest to those who
// look into it alone.
func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// plaintextWarning is what the server says of every password that is not
// hashed. Ours are drawn anew at each start and live in memory alone.
const plaintextWarning = "Plaintext passwords detected"

// Warnf logs at Warn.
func (l *serverLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, plaintextWarning) {
		l.log.Warn(fmt.Sprintf(format, v...))
	}
}

// Errorf logs at Error.
func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error(fmt.Sprintf(format, v...))
	select {
	case l.trouble <- struct{}{}:
	default: // it has one already
	}
}

// Fatalf keeps the first message for the one who starts the server.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.once.Do(func() { l.fatal <- fmt.Sprintf(format, v...) })
}

// Debugf drops the message: protocol detail may hold payloads.
func (*serverLog) Debugf(string, ...any) {}

// Tracef drops the message.
func (*serverLog) Tracef(string, ...any) {}
