package mysql

import (
	"fmt"
	"strings"
)

// flavor is what differs between the two kinds of server.
type flavor struct {
	// product is the server's name for people.
	product string
	// engines are the words for it in a value; the first is the usual one.
	engines []string
	// maxName is the longest name of a user, in characters.
	maxName int
	// entries asks for a user's entries: the columns of entry, in order.
	entries string
	// limit sets how long a statement may take, as an expression in seconds.
	limit func(seconds string) string
	// method writes how an entry logs in: the plugin it has now, or the usual
	// one, with a password's hash.
	method func(plugin, password string) string
	// dead writes a method that no password fits; empty if there is none.
	dead string
	// selfChange writes the statement by which a login changes its own
	// password without giving it away; nil if the server has none.
	selfChange func(password string) string
	// defaultRole writes the statement that gives an entry its default role.
	defaultRole func(account, role string) string
	// statementTime is the word for a limit that only one of them knows.
	statementTime string
}

// is tells whether a server with this version is of this kind.
func (f flavor) is(version string) bool {
	return strings.Contains(version, "MariaDB") == (f.product == productMariaDB)
}

const (
	productMariaDB = "MariaDB"
	productMySQL   = "MySQL"
)

func mariaDB() flavor {
	return flavor{
		product: productMariaDB, engines: []string{"mariadb", "mysql"}, maxName: 80,
		entries: `SELECT User, Host, plugin, ssl_type, ssl_cipher, x509_issuer, x509_subject,
	max_questions, max_updates, max_connections, max_user_connections, max_statement_time,
	IF(default_role = '', '', CONCAT('` + "`', REPLACE(default_role, '`', '``'), '`" + `')),
	SUBSTRING_INDEX(USER(), '@', -1) LIKE Host
	FROM mysql.user WHERE is_role = 'N' AND User IN (%s)`,
		limit: func(seconds string) string {
			return fmt.Sprintf("SET SESSION max_statement_time = GREATEST(0.001, %s), lock_wait_timeout = GREATEST(1, FLOOR(%s)), innodb_lock_wait_timeout = GREATEST(1, FLOOR(%s))",
				seconds, seconds, seconds)
		},
		method: func(_, password string) string {
			return "IDENTIFIED VIA mysql_native_password USING " + literal(nativeHash(password))
		},
		dead: "IDENTIFIED VIA mysql_native_password USING 'invalid'",
		selfChange: func(password string) string {
			return "SET PASSWORD = " + literal(nativeHash(password))
		},
		defaultRole: func(account, role string) string {
			if role == "" {
				role = "NONE"
			}
			return "SET DEFAULT ROLE " + role + " FOR " + account
		},
		statementTime: "MAX_STATEMENT_TIME",
	}
}

func mySQL() flavor {
	return flavor{
		product: productMySQL, engines: []string{"mysql", "aurora-mysql"}, maxName: 32,
		entries: `SELECT User, Host, plugin, ssl_type, ssl_cipher, x509_issuer, x509_subject,
	max_questions, max_updates, max_connections, max_user_connections, 0,
	COALESCE((SELECT GROUP_CONCAT(CONCAT('` + "`', REPLACE(DEFAULT_ROLE_USER, '`', '``'), '`@`', REPLACE(DEFAULT_ROLE_HOST, '`', '``'), '`" + `')
		ORDER BY DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST SEPARATOR ', ')
		FROM mysql.default_roles d WHERE d.USER = u.User AND d.HOST = u.Host), ''),
	SUBSTRING_INDEX(USER(), '@', -1) LIKE Host
	FROM mysql.user u WHERE User IN (%s)`,
		// No limit of time reaches ALTER USER here; its locks have one, of at
		// least a second.
		limit: func(seconds string) string {
			return fmt.Sprintf("SET SESSION lock_wait_timeout = GREATEST(1, FLOOR(%s)), innodb_lock_wait_timeout = GREATEST(1, FLOOR(%s))", seconds, seconds)
		},
		method: func(plugin, password string) string {
			if plugin == "mysql_native_password" {
				return "IDENTIFIED WITH mysql_native_password AS " + literal(nativeHash(password))
			}
			return "IDENTIFIED WITH caching_sha2_password AS " + literal(sha2Hash(password))
		},
		defaultRole: func(account, role string) string {
			if role == "" {
				role = "NONE"
			}
			return "ALTER USER " + account + " DEFAULT ROLE " + role
		},
	}
}

// quote writes a name as an SQL identifier.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// literal writes a text as an SQL literal: NO_BACKSLASH_ESCAPES is on in every
// session of ours.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// literals writes a list of them.
func literals(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = literal(s)
	}
	return strings.Join(out, ", ")
}

// accountName writes an entry's name.
func accountName(user, host string) string { return quote(user) + "@" + quote(host) }
