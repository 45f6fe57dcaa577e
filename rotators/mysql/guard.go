package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// The table of markers: who rotates a user, and the newest claim that was here.
const (
	markSchema = "lockstep"
	markTable  = "lockstep.claims"
)

// makeMarks is what the first change on a server does.
func makeMarks() []string {
	return []string{
		"CREATE DATABASE IF NOT EXISTS " + markSchema,
		"CREATE TABLE IF NOT EXISTS " + markTable + ` (
	user VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
	secret VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	fence BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB COMMENT='which secret rotates a user, and the newest claim'`,
	}
}

// marking says what a login can do about markers.
type marking int

const (
	// marksNever: it may not read the table.
	marksNever marking = iota
	// marksMissing: there is no table yet.
	marksMissing
	// marksThere: the table is there.
	marksThere
)

// marks looks for the table.
func (s *server) marks(ctx context.Context) (marking, error) {
	var n string
	err := s.texts(ctx, "read "+markTable, "SELECT COUNT(*) FROM "+markTable+" WHERE user = ''", &n)
	switch {
	case err == nil:
		return marksThere, nil
	case number(err) == codeNoTable, number(err) == codeNoDatabase:
		return marksMissing, nil
	case denied(err):
		return marksNever, nil
	}
	return marksNever, err
}

// prepareMarks makes the table if it is missing and we may. It tells whether
// markers can be kept.
func (s *server) prepareMarks(ctx context.Context) (bool, error) {
	state, err := s.marks(ctx)
	if err != nil || state != marksMissing {
		return state == marksThere, err
	}
	for _, one := range makeMarks() {
		if _, err := s.ExecContext(ctx, one); denied(err) {
			return false, nil
		} else if err != nil {
			return false, askFault("make "+markTable, err)
		}
	}
	return true, nil
}

// claim is one row.
type claim struct {
	secret string
	fence  uint64
}

// claims reads the markers of users.
func (s *server) claims(ctx context.Context, users []string) (map[string]claim, error) {
	rows, err := s.QueryContext(ctx, fmt.Sprintf("SELECT user, secret, fence FROM %s WHERE user IN (%s)", markTable, literals(users)))
	if err != nil {
		return nil, askFault("read "+markTable, err)
	}
	defer rows.Close()
	out := make(map[string]claim)
	for rows.Next() {
		var user, fence string
		var c claim
		if err := rows.Scan(&user, &c.secret, &fence); err != nil {
			return nil, rotators.Transient("read %s: %w", markTable, err)
		}
		if c.fence, err = strconv.ParseUint(fence, 10, 64); err != nil {
			return nil, rotators.Transient("read %s: %w", markTable, err)
		}
		out[user] = c
	}
	if err := rows.Err(); err != nil {
		return nil, askFault("read "+markTable, err)
	}
	return out, nil
}

// change is one guarded change of users.
type change struct {
	// doing says what it is, for errors.
	doing string
	// users are those whose marker is looked at and written.
	users []string
	// marked: the table of markers is there.
	marked bool
	// before are statements that prepare, and may be repeated.
	before []string
	// last are the statements that decide; entries is how many accounts they
	// change.
	last    []string
	entries int
}

// lockName is the name of the lock that each change of a user, or of its pair,
// takes.
func lockName(user string) string {
	sum := sha256.Sum256([]byte(strings.TrimSuffix(user, CloneSuffix)))
	return "lockstep:" + hex.EncodeToString(sum[:16])
}

// must is a statement that fails with codeGuard unless the condition holds.
func must(condition string) string {
	return "SELECT IF(" + condition + ", 1, (SELECT 1 UNION SELECT 2))"
}

// grace is what the statements before the last may take beyond the time of the
// call. They decide nothing; cut off by their limit, they would leave us without
// a word about which of them it was.
const grace = time.Second

// message writes a change as one message. limit bounds the wait for the lock,
// and with some grace each statement that prepares; nil for notAfter means that
// the change may come late.
func (s *server) message(c change, r *rotators.Request, limit time.Duration, notAfter *time.Time) string {
	lock := literal(lockName(c.users[0]))
	out := []string{s.limit(seconds(limit + grace)), must(fmt.Sprintf("GET_LOCK(%s, CEIL(%s)) = 1", lock, seconds(limit)))}
	if c.marked {
		out = append(out, must(fmt.Sprintf("(SELECT COUNT(*) FROM %s WHERE user IN (%s) AND (secret <> %s OR fence > %d)) = 0",
			markTable, literals(c.users), literal(string(r.ARN)), r.Guard.Fence)))
		rows := make([]string, len(c.users))
		for i, u := range c.users {
			rows[i] = fmt.Sprintf("(%s, %s, %d)", literal(u), literal(string(r.ARN)), r.Guard.Fence)
		}
		out = append(out, "REPLACE INTO "+markTable+" (user, secret, fence) VALUES "+strings.Join(rows, ", "))
	}
	if notAfter != nil {
		at := literal(notAfter.UTC().Format(clockForm))
		inTime := must("UTC_TIMESTAMP(6) <= " + at)
		if len(c.before) > 0 {
			out = append(append(out, inTime), c.before...)
		}
		left := fmt.Sprintf("TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), %s) / 1000000", at)
		out = append(out, inTime, s.limit(left))
	}
	out = append(out, c.last...)
	return strings.Join(append(out, "DO RELEASE_LOCK("+lock+")"), ";\n")
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// apply makes the change under the Guard. The server's clock was read before.
// Errors: TargetErrors as changeFault says. After one, the login is of no
// further use: it may hold the lock.
func (s *server) apply(ctx context.Context, r *rotators.Request, c change) error {
	notAfter, err := r.Guard.NotAfter(ctx, s.now)
	if err != nil {
		return &lockstep.TargetError{Outcome: lockstep.NotApplied, Err: fmt.Errorf("%s: extend lease: %w", c.doing, err)}
	}
	if !notAfter.After(s.now) {
		return rotators.Transient("%s: the change would come too late: %w", c.doing, errGuard)
	}
	_, err = s.ExecContext(ctx, s.message(c, r, notAfter.Sub(s.now), &notAfter))
	if err == nil {
		return nil
	}
	if number(err) != codeGuard {
		return changeFault(c.doing, err, c.entries)
	}
	if why, _ := s.stopped(ctx, r, c); why != nil {
		return why
	}
	return rotators.Transient("%s: the change came too late, or another one is under way: %w", c.doing, errGuard)
}

var errGuard = errors.New("stopped by its guard")

// stopped tells which marker stopped a change; nil if none did. Higher is the
// fence that was found.
func (s *server) stopped(ctx context.Context, r *rotators.Request, c change) (why *lockstep.TargetError, higher uint64) {
	if !c.marked {
		return nil, 0
	}
	found, err := s.claims(ctx, c.users)
	if err != nil {
		return lockstep.AsTargetError(err), 0
	}
	for _, u := range c.users {
		switch at, there := found[u]; {
		case there && at.secret != string(r.ARN):
			return otherSecret(u, at.secret), 0
		case there && at.fence > r.Guard.Fence:
			higher = max(higher, at.fence)
			why = rotators.Transient("user %s has the marker of a newer claim, %d: %w", quote(u), at.fence, errGuard)
		}
	}
	return why, higher
}

func otherSecret(user, arn string) *lockstep.TargetError {
	return rotators.Permanent(fmt.Sprintf("let one secret alone manage this user; if the other one is gone: DELETE FROM %s WHERE user = %s", markTable, literal(user)),
		"user %s is managed by another secret, %s", quote(user), arn)
}

// raiseTimeout bounds a Raise: it has no NOT-AFTER, since a late one is
// refused by the marker that it finds, or harmless.
const raiseTimeout = 10 * time.Second

// raise writes the marker alone. Errors: FaultPermanent where none can be kept.
func (s *server) raise(ctx context.Context, r *rotators.Request, users []string) (uint64, error) {
	c := change{doing: "raise marker", users: users}
	var err error
	if c.marked, err = s.prepareMarks(ctx); err != nil {
		return 0, err
	}
	if !c.marked {
		return 0, rotators.Permanent(s.grantMarks(), "the admin %s may keep no markers in %s", s.me, markTable)
	}
	_, err = s.ExecContext(ctx, s.message(c, r, raiseTimeout, nil))
	if err == nil {
		return r.Guard.Fence, nil
	}
	if number(err) != codeGuard {
		return 0, changeFault(c.doing, err, 0)
	}
	why, higher := s.stopped(ctx, r, c)
	switch {
	case higher > 0:
		return higher, nil
	case why != nil:
		return 0, why
	}
	return 0, rotators.Transient("%s: another change is under way: %w", c.doing, errGuard)
}

func (s *server) grantMarks() string {
	return fmt.Sprintf("GRANT ALL ON %s.* TO %s", markSchema, s.myName())
}
