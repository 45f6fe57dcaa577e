package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"lockstep"
	"lockstep/rotators"
)

// survey is what the server says about who is logged in and about the roles in
// question, read in one round trip.
type survey struct {
	version int // server_version_num
	me      login
	roles   map[string]*role
}

// login is the role of our session.
type login struct {
	name                  string
	superuser, createRole bool
	// signals: it may end anybody's sessions but a superuser's.
	signals bool
}

// role is one role as pg_roles has it.
type role struct {
	name                                               string
	superuser, inherit, createRole, createDB, canLogin bool
	replication, bypassRLS                             bool
	connections                                        int
	validUntil                                         *string
	// admin: our session has the ADMIN OPTION on it; owns: it has its rights;
	// member: it is a member, perhaps without having the rights.
	admin, owns, member bool
	comment             string
}

const surveyServer = `SELECT current_setting('server_version_num')::int, rolname, rolsuper, rolcreaterole, pg_has_role(session_user, 'pg_signal_backend', 'USAGE')
	FROM pg_catalog.pg_roles WHERE rolname = session_user`

const surveyRoles = `SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
	r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil::text,
	pg_has_role(session_user, r.oid, 'MEMBER WITH ADMIN OPTION'), pg_has_role(session_user, r.oid, 'USAGE'),
	pg_has_role(session_user, r.oid, 'MEMBER'),
	coalesce(shobj_description(r.oid, 'pg_authid'), '')
	FROM pg_catalog.pg_roles r WHERE r.rolname = ANY($1::text[])`

// clock reads the server's clock. Errors: a TargetError with NotApplied; a
// standby is one, since only the writable primary decides.
func clock(ctx context.Context, conn *pgx.Conn) (now time.Time, err error) {
	var standby bool
	err = conn.QueryRow(ctx, "SELECT pg_catalog.clock_timestamp(), pg_catalog.pg_is_in_recovery()").Scan(&now, &standby)
	if err != nil {
		return now, askFault("read the server's clock", err)
	}
	if standby {
		return now, rotators.Transient("the server is a standby and cannot be written")
	}
	return now, nil
}

// look surveys the server for the roles named. Errors: a TargetError with
// NotApplied.
func look(ctx context.Context, conn *pgx.Conn, names []string) (*survey, error) {
	s := &survey{roles: make(map[string]*role)}
	var batch pgx.Batch
	batch.Queue(surveyServer).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.version, &s.me.name, &s.me.superuser, &s.me.createRole, &s.me.signals)
	})
	batch.Queue(surveyRoles, names).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var r role
			err := rows.Scan(&r.name, &r.superuser, &r.inherit, &r.createRole, &r.createDB, &r.canLogin,
				&r.replication, &r.bypassRLS, &r.connections, &r.validUntil, &r.admin, &r.owns, &r.member, &r.comment)
			if err != nil {
				return err
			}
			s.roles[r.name] = &r
		}
		return rows.Err()
	})
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, askFault("read roles", err)
	}
	return s, nil
}

// mayAlter says what our login lacks to change a role; empty means nothing.
func (s *survey) mayAlter(r *role) (problem, hint string) {
	switch {
	case s.me.superuser:
		return "", ""
	case r.superuser:
		return fmt.Sprintf("role %s is a superuser and the admin %s is not", quote(r.name), quote(s.me.name)),
			"name a superuser's secret as masterarn"
	case !s.me.createRole:
		return fmt.Sprintf("the admin %s lacks CREATEROLE", quote(s.me.name)),
			fmt.Sprintf("ALTER ROLE %s CREATEROLE", quote(s.me.name))
	case s.version >= 160000 && !r.admin:
		return fmt.Sprintf("the admin %s lacks the ADMIN OPTION on role %s", quote(s.me.name), quote(r.name)),
			fmt.Sprintf("GRANT %s TO %s WITH ADMIN OPTION", quote(r.name), quote(s.me.name))
	}
	return "", ""
}

// missingRight adds to a permission error the right that is missing.
func (s *survey) missingRight(err error, names []string) error {
	te, ok := errors.AsType[*lockstep.TargetError](err)
	if !ok || te.Fault != lockstep.FaultPermanent || te.Hint != "" {
		return err
	}
	for _, n := range names {
		if r := s.roles[n]; r != nil {
			if _, te.Hint = s.mayAlter(r); te.Hint != "" {
				return te
			}
		}
	}
	te.Hint = fmt.Sprintf("give role %s the right that the server names", quote(s.me.name))
	return te
}

// existing returns those of names that are roles, in order.
func (s *survey) existing(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return s.roles[n] == nil })
}

// attributes writes what r has of the attributes that belong to a login.
func (r *role) attributes() []string {
	word := func(has bool, name string) string {
		if has {
			return name
		}
		return "NO" + name
	}
	valid := "'infinity'"
	if r.validUntil != nil {
		valid = literal(*r.validUntil)
	}
	return []string{
		word(r.superuser, "SUPERUSER"), word(r.createRole, "CREATEROLE"), word(r.createDB, "CREATEDB"),
		word(r.replication, "REPLICATION"), word(r.bypassRLS, "BYPASSRLS"),
		fmt.Sprintf("CONNECTION LIMIT %d", r.connections), "VALID UNTIL " + valid,
	}
}

// lacking returns the attributes that r needs to be like the model. Only what
// differs is named: naming some of them takes rights that an admin may lack.
func (r *role) lacking(model *role) []string {
	have := r.attributes()
	return slices.DeleteFunc(model.attributes(), func(a string) bool { return slices.Contains(have, a) })
}

// splitList takes a list such as search_path's apart as the server does: names
// in double quotes as they are, others folded to lower case.
func splitList(s string) ([]string, bool) {
	var out []string
	for s = strings.TrimSpace(s); s != ""; {
		var item string
		if s[0] == '"' {
			var ok bool
			if item, s, ok = quoted(s[1:]); !ok {
				return nil, false
			}
		} else {
			end := strings.IndexAny(s, ", \t\n\r\f\v\"")
			if end < 0 {
				end = len(s)
			}
			item, s = strings.ToLower(s[:end]), s[end:]
			if item == "" {
				return nil, false
			}
		}
		out = append(out, item)
		s = strings.TrimSpace(s)
		if s == "" {
			return out, true
		}
		if s[0] != ',' {
			return nil, false
		}
		if s = strings.TrimSpace(s[1:]); s == "" {
			return nil, false
		}
	}
	return out, true
}

// quoted reads up to the closing quote; a doubled one stands for itself.
func quoted(s string) (item, rest string, ok bool) {
	var b strings.Builder
	for {
		end := strings.IndexByte(s, '"')
		if end < 0 {
			return "", "", false
		}
		b.WriteString(s[:end])
		s = s[end+1:]
		if s == "" || s[0] != '"' {
			return b.String(), s, true
		}
		b.WriteByte('"')
		s = s[1:]
	}
}
