package mysql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lockstep"
	"lockstep/rotators"
)

// server is a login at a server that can be written, and what it said about
// itself.
type server struct {
	*conn
	flavor
	// now is the server's clock.
	now time.Time
	// me is our own account, as the server names it.
	me string
	// validates names a plugin that refuses hashes; empty if none does.
	validates string
}

// entry is one user@host.
type entry struct {
	user, host, plugin                             string
	tls, cipher, issuer, subject                   string
	queries, updates, connections, atOnce, seconds string
	role                                           string
	// mine: a login of the user from where we are might go through it.
	mine bool
}

func (e *entry) name() string { return accountName(e.user, e.host) }

const clockForm = "2006-01-02 15:04:05.000000"

// greet asks a server who it is. Errors: a TargetError with NotApplied; a
// replica is one, since only the writable primary decides.
func (b *base) greet(ctx context.Context, c *conn) (*server, error) {
	s := &server{conn: c, flavor: b.flavor}
	var version, readOnly, now string
	err := c.texts(ctx, "read the server's clock", "SELECT VERSION(), @@GLOBAL.read_only, UTC_TIMESTAMP(6), CURRENT_USER()",
		&version, &readOnly, &now, &s.me)
	if err != nil {
		return nil, err
	}
	if s.now, err = time.Parse(clockForm, now); err != nil {
		return nil, rotators.Transient("read the server's clock: %w", err)
	}
	if !b.is(version) {
		return nil, rotators.Permanent("choose the rotator for this server: those for MariaDB and those for MySQL are different ones",
			"the server is not %s", b.product)
	}
	if readOnly != "0" && !strings.EqualFold(readOnly, "OFF") {
		return nil, rotators.Transient("the server is read-only, as a replica is")
	}
	return s, nil
}

// withAdmin runs do with a login of the Secret's admin. It is at the Secret's
// own server only: else whoever may write the Secret's host could have the
// admin's credential sent to a server of theirs.
func (b *base) withAdmin(ctx context.Context, r *rotators.Request, of *value, do func(*server) error) error {
	v, err := b.read("the admin's secret "+of.MasterARN, r.Admin)
	if err != nil {
		return err
	}
	if !v.SameServer(of) {
		return rotators.Permanent("let both secrets name the server by the same host and port",
			"the admin's secret is for %s, this one for %s", v.Address(), of.Address())
	}
	c, err := b.login(ctx, v, severalStatements)
	if err != nil {
		return adminFault(err, of.MasterARN)
	}
	defer c.close()
	s, err := b.greet(ctx, c)
	if err != nil {
		return err
	}
	return do(s)
}

// hasAdmin tells whether another user than the Secret's own is there to make
// the change. A user that is named as its own admin goes the way of all others.
func (b *base) hasAdmin(r *rotators.Request, of *value) bool {
	if r.Admin.IsZero() {
		return false
	}
	v, err := b.parse(r.Admin)
	return err != nil || !v.SameServer(of) || v.User != of.User
}

func noAdmin(v *value) error {
	return rotators.Permanent("name an admin's secret in the field masterarn", "the secret names no admin for user %s", quote(v.User))
}

// look lists the entries of the users, in the order in which a change goes over
// them: the one that our own logins go through comes last. So if a change is
// cut off between two entries, our test still says that it was not made.
func (s *server) look(ctx context.Context, users ...string) (map[string][]*entry, error) {
	rows, err := s.QueryContext(ctx, fmt.Sprintf(s.entries, literals(users)))
	if err != nil {
		return nil, s.blind(askFault("read the accounts", err))
	}
	defer rows.Close()
	out := make(map[string][]*entry)
	for rows.Next() {
		var e entry
		err := rows.Scan(&e.user, &e.host, &e.plugin, &e.tls, &e.cipher, &e.issuer, &e.subject,
			&e.queries, &e.updates, &e.connections, &e.atOnce, &e.seconds, &e.role, &e.mine)
		if err != nil {
			return nil, rotators.Transient("read the accounts: %w", err)
		}
		// The server may compare names without case; we do not.
		if slices.Contains(users, e.user) {
			out[e.user] = append(out[e.user], &e)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, askFault("read the accounts", err)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b *entry) int {
			return cmp.Or(order(a)-order(b), strings.Compare(a.host, b.host))
		})
	}
	return out, nil
}

// order sorts entries by how likely our own login goes through them: servers
// choose the most specific pattern.
func order(e *entry) int {
	switch at := strings.IndexAny(e.host, "%_"); {
	case strings.Contains(e.host, "/"):
		return 1000
	case !e.mine:
		return 0
	case at >= 0:
		return 1 + at
	}
	return 2000
}

// blind says which right is missing to see the accounts.
func (s *server) blind(te *lockstep.TargetError) error {
	if te.Fault == lockstep.FaultPermanent {
		te.Hint = fmt.Sprintf("GRANT SELECT ON mysql.* TO %s", s.myName())
	}
	return te
}

// myName is our own account as SQL.
func (s *server) myName() string {
	at := strings.LastIndexByte(s.me, '@')
	if at < 0 {
		return quote(s.me)
	}
	return accountName(s.me[:at], s.me[at+1:])
}

// insists notes a plugin that wants to see clear passwords, and so refuses the
// hashes that we send.
func (s *server) insists(ctx context.Context) error {
	if s.product != productMariaDB {
		return nil // validate_password lets hashes pass
	}
	return s.texts(ctx, "read the password plugins", `SELECT COALESCE(MIN(PLUGIN_NAME), '') FROM information_schema.PLUGINS
	WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE' AND @@GLOBAL.strict_password_validation`, &s.validates)
}

// insisting is the error where insists found one.
func (s *server) insisting() error {
	if s.validates == "" {
		return nil
	}
	return rotators.Permanent("SET GLOBAL strict_password_validation = OFF (and in the server's configuration): it still checks the passwords that people set",
		"the server's plugin %s wants to see clear passwords, and its log would show them; Lockstep sends hashes alone", s.validates)
}
