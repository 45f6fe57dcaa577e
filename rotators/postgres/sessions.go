package postgres

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// The limits of what is kept open between calls. A login costs the server a
// process and a SCRAM exchange, more than the change itself.
const (
	// defaultAdminSessions is how many may be idle for one login of an admin: as
	// many as a server has workers by default, so that none has to log in again.
	defaultAdminSessions = 16
	// maxIdleSessions is how many may be idle in all.
	maxIdleSessions = 128
	// defaultAdminIdle is how long one may be idle.
	defaultAdminIdle = 30 * time.Second
	// sessionLife is how long after its login one may be used again: an admin
	// whom the server would no longer let in is out by then.
	sessionLife = 5 * time.Minute
)

// sessionKey tells logins apart: a keyed hash of all that a login depends on,
// password included, so that none of it stands in memory a second time.
type sessionKey [sha256.Size]byte

// session is a login of an admin. One call at a time has it.
type session struct {
	conn   *pgx.Conn
	key    sessionKey
	server string // host and port
	born   time.Time
	idle   time.Time // since when; zero while in use
	// reused: an earlier call used it, so it may have broken meanwhile.
	reused bool
}

// sessions keeps those that are idle. It is safe for concurrent use.
type sessions struct {
	secret [32]byte // of the keyed hash; new in each process
	perKey int
	limit  time.Duration

	mu     sync.Mutex
	idle   []*session // in the order in which they became idle
	timer  *time.Timer
	closed bool
	closes sync.WaitGroup // the timer's work
}

func newSessions(perKey int, limit time.Duration) *sessions {
	s := &sessions{perKey: perKey, limit: limit}
	// It never fails: it ends the process instead.
	_, _ = rand.Read(s.secret[:])
	return s
}

// keyOf is the key of a login as v.
func (s *sessions) keyOf(v *value) sessionKey {
	h := hmac.New(sha256.New, s.secret[:])
	for _, part := range []string{v.Host, strconv.Itoa(v.Port), v.Database, v.SSLMode, v.User, v.Password} {
		h.Write([]byte(part))
		h.Write([]byte{0}) // stands in none of them: parse refuses it
	}
	return sessionKey(h.Sum(nil))
}

// take hands out the session that became idle last; nil if there is none.
func (s *sessions) take(key sessionKey) *session {
	s.mu.Lock()
	old := s.expiredLocked(time.Now())
	var found *session
	for i := len(s.idle) - 1; i >= 0; i-- {
		if s.idle[i].key == key {
			found = s.idle[i]
			s.removeLocked(i)
			found.idle, found.reused = time.Time{}, true
			break
		}
	}
	s.mu.Unlock()
	hangUp(old)
	return found
}

// put takes a session back on which nothing failed; it is closed if enough are
// idle already.
func (s *sessions) put(one *session) {
	now := time.Now()
	s.mu.Lock()
	old := s.expiredLocked(now)
	keep := !s.closed && len(s.idle) < maxIdleSessions && s.countLocked(one.key) < s.perKey && now.Sub(one.born) < sessionLife
	if keep {
		one.idle = now
		s.idle = append(s.idle, one)
		s.wakeLocked(s.limit)
	}
	s.mu.Unlock()
	if !keep {
		old = append(old, one)
	}
	hangUp(old)
}

// forget closes the idle sessions of a server: it may not be the one that new
// logins reach.
func (s *sessions) forget(server string) {
	s.drop(func(one *session) bool { return one.server == server })
}

// close closes all, now and when they come back, and waits for it.
func (s *sessions) close() {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	s.drop(func(*session) bool { return true })
	s.closes.Wait()
}

func (s *sessions) drop(which func(*session) bool) {
	s.mu.Lock()
	gone := s.filterLocked(which)
	s.mu.Unlock()
	hangUp(gone)
}

// wakeLocked makes sure that expire runs in time.
func (s *sessions) wakeLocked(in time.Duration) {
	if s.timer == nil {
		s.timer = time.AfterFunc(in, s.expire)
	}
}

// expire closes what was idle for too long.
func (s *sessions) expire() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closes.Add(1)
	defer s.closes.Done()
	now := time.Now()
	s.timer = nil
	old := s.expiredLocked(now)
	if len(s.idle) > 0 {
		s.wakeLocked(s.limit - now.Sub(s.idle[0].idle))
	}
	s.mu.Unlock()
	hangUp(old)
}

func (s *sessions) expiredLocked(now time.Time) []*session {
	return s.filterLocked(func(one *session) bool {
		return now.Sub(one.idle) >= s.limit || now.Sub(one.born) >= sessionLife
	})
}

// filterLocked takes out those that fit, and returns them.
func (s *sessions) filterLocked(which func(*session) bool) (out []*session) {
	for i := 0; i < len(s.idle); {
		if which(s.idle[i]) {
			out = append(out, s.idle[i])
			s.removeLocked(i)
			continue
		}
		i++
	}
	return out
}

func (s *sessions) removeLocked(i int) {
	copy(s.idle[i:], s.idle[i+1:])
	s.idle[len(s.idle)-1] = nil
	s.idle = s.idle[:len(s.idle)-1]
}

func (s *sessions) countLocked(key sessionKey) (n int) {
	for _, one := range s.idle {
		if one.key == key {
			n++
		}
	}
	return n
}

// hangUp says goodbye on connections that are idle, without waiting for the
// server's end.
func hangUp(all []*session) {
	for _, one := range all {
		pc := one.conn.PgConn()
		_ = pc.Conn().SetDeadline(time.Now().Add(closeTimeout))
		pc.Frontend().Send(&pgproto3.Terminate{})
		// Nothing depends on either any more.
		_ = pc.Frontend().Flush()
		_ = pc.Conn().Close()
	}
}
