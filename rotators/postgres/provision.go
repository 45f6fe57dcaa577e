package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"lockstep/rotators"
)

// setting is one ALTER ROLE … [IN DATABASE …] SET name.
type setting struct{ database, name string }

const surveySettings = `SELECT r.rolname, coalesce(d.datname, ''), s.setconfig
	FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
	LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
	WHERE r.rolname = ANY($1::text[])`

const surveyMember = `SELECT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
	JOIN pg_catalog.pg_roles o ON o.oid = m.roleid JOIN pg_catalog.pg_roles c ON c.oid = m.member
	WHERE o.rolname = $1 AND c.rolname = $2)`

// provision is what it takes to make the clone what it has to be.
type provision struct {
	statements []string
	// parameters are those that the statements set.
	parameters []string
}

// provision lists the statements that make the clone what it has to be: none
// if it is that already. Errors: TargetErrors; FaultPermanent if the clone's
// name belongs to a role that is not a clone, which is then left alone.
func (a *admin) provision(ctx context.Context, p pair) (provision, error) {
	settings := map[string]map[setting]string{p.Owner: {}, p.Clone: {}}
	var member bool
	var batch pgx.Batch
	batch.Queue(surveySettings, p.Both()).Query(func(rows pgx.Rows) error { return readSettings(rows, settings) })
	batch.Queue(surveyMember, p.Owner, p.Clone).QueryRow(func(row pgx.Row) error { return row.Scan(&member) })
	if err := a.conn.SendBatch(ctx, &batch).Close(); err != nil {
		return provision{}, askFault("read settings of roles", err)
	}
	owner, clone := a.roles[p.Owner], a.roles[p.Clone]
	var out provision
	switch {
	case clone == nil:
		out.add("CREATE ROLE "+quote(p.Clone)+" NOLOGIN INHERIT", a.grant(p))
		clone = &role{name: p.Clone, inherit: true, connections: -1}
	case !member:
		return provision{}, rotators.Permanent(fmt.Sprintf("if it is meant to be the clone: GRANT %s TO %s", quote(p.Owner), quote(p.Clone)),
			"role %s exists and is not a member of %s", quote(p.Clone), quote(p.Owner))
	}
	lacking := clone.lacking(owner)
	if !clone.inherit {
		// For the rights that remain when a client ends the SET ROLE.
		lacking = append(lacking, "INHERIT")
	}
	if len(lacking) > 0 {
		out.add("ALTER ROLE " + quote(p.Clone) + " " + strings.Join(lacking, " "))
	}
	want := settings[p.Owner]
	if start := (setting{name: "role"}); want[start] == "" {
		want[start] = p.Owner
	}
	return out, out.alterSettings(p.Clone, settings[p.Clone], want)
}

func (p *provision) add(statements ...string) { p.statements = append(p.statements, statements...) }

// grant makes the clone a member with all rights. Since 16 each of these is an
// option of its own.
func (a *admin) grant(p pair) string {
	s := "GRANT " + quote(p.Owner) + " TO " + quote(p.Clone)
	if a.version >= 160000 {
		s += " WITH INHERIT TRUE, SET TRUE"
	}
	return s
}

func readSettings(rows pgx.Rows, into map[string]map[setting]string) error {
	for rows.Next() {
		var name, database string
		var config []string
		if err := rows.Scan(&name, &database, &config); err != nil {
			return err
		}
		for _, c := range config {
			key, val, _ := strings.Cut(c, "=")
			into[name][setting{database, key}] = val
		}
	}
	return rows.Err()
}

// alterSettings adds the statements that turn have into want.
func (p *provision) alterSettings(name string, have, want map[setting]string) error {
	prefix := func(s setting) string {
		if s.database == "" {
			return "ALTER ROLE " + quote(name)
		}
		return "ALTER ROLE " + quote(name) + " IN DATABASE " + quote(s.database)
	}
	for _, s := range ordered(want) {
		if old, there := have[s]; there && old == want[s] {
			continue
		}
		val, err := settingValue(s.name, want[s])
		if err != nil {
			return err
		}
		p.add(prefix(s) + " SET " + parameter(s.name) + " TO " + val)
		p.parameters = append(p.parameters, s.name)
	}
	for _, s := range ordered(have) {
		if _, stays := want[s]; !stays {
			p.add(prefix(s) + " RESET " + parameter(s.name))
		}
	}
	return nil
}

// surveyOutOfReach finds the parameters that only a superuser, or since 15 who
// was given the right, may set for a role. Since 15 these are also the custom
// ones that no extension has declared.
const surveyOutOfReach = `SELECT DISTINCT n FROM unnest($1::text[]) n
	LEFT JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(n)
	WHERE n <> 'role' AND CASE WHEN s.name IS NULL THEN $2 ELSE s.context NOT IN ('user', 'backend') END`

// outOfReach names a parameter that our login may not set; empty means none.
func (a *admin) outOfReach(ctx context.Context, parameters []string) (string, error) {
	if a.me.superuser || len(parameters) == 0 {
		return "", nil
	}
	query, declared := surveyOutOfReach, a.version >= 150000
	if declared {
		query += " AND NOT has_parameter_privilege(session_user, n, 'SET')"
	}
	rows, err := a.conn.Query(ctx, query+" ORDER BY n", parameters, declared)
	if err != nil {
		return "", askFault("read parameters", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", askFault("read parameters", err)
	}
	if len(names) == 0 {
		return "", nil
	}
	return names[0], nil
}

// grantParameter is the way out where outOfReach names one.
func (a *admin) grantParameter(name string) string {
	if a.version >= 150000 {
		return fmt.Sprintf("GRANT SET ON PARAMETER %s TO %s", parameter(name), quote(a.me.name))
	}
	return "name a superuser's secret as masterarn"
}

func ordered(m map[setting]string) []setting {
	return slices.SortedFunc(maps.Keys(m), func(a, b setting) int {
		return strings.Compare(a.database+"\x00"+a.name, b.database+"\x00"+b.name)
	})
}

// listSettings are the parameters whose value is a list of quoted names.
var listSettings = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries",
	"shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

// settingValue writes a stored value as SQL. The role itself chose it, so none
// of it is taken for SQL: each item becomes a literal.
func settingValue(name, val string) (string, error) {
	if !slices.Contains(listSettings, strings.ToLower(name)) {
		return literal(val), nil
	}
	items, ok := splitList(val)
	if !ok {
		return "", rotators.Permanent("set it anew with ALTER ROLE … SET", "the setting %s of the role is malformed", quote(name))
	}
	if len(items) == 0 {
		return "''", nil
	}
	for i := range items {
		items[i] = literal(items[i])
	}
	return strings.Join(items, ", "), nil
}

// parameter writes a parameter's name; an extension's has two parts.
func parameter(name string) string { return pgx.Identifier(strings.Split(name, ".")).Sanitize() }
