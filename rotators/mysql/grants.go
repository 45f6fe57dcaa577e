package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"lockstep"
	"lockstep/rotators"
)

// everywhere is the object of a global right.
const everywhere = "*.*"

// grant is one line of SHOW GRANTS: privileges on an object, or a role.
type grant struct {
	// privileges, each with its columns; empty for a role.
	privileges []string
	// object is "*.*", "`db`.*", "`db`.`table`", "PROCEDURE `db`.`p`"; for a
	// role, the role's name in quotes.
	object string
	// option: it may be passed on.
	option bool
}

func (g grant) isRole() bool { return len(g.privileges) == 0 }

const allPrivileges = "ALL PRIVILEGES"

// grants are those of one account, by object; a role has "role " in front.
type grants map[string]grant

func (g grant) key() string {
	if g.isRole() {
		return "role " + g.object
	}
	return g.object
}

// rights are our own, as far as the server lists them.
func (s *server) rights(ctx context.Context) (grants, error) {
	return s.showGrants(ctx, "SHOW GRANTS")
}

// grantsOf are those of an entry.
func (s *server) grantsOf(ctx context.Context, e *entry) (grants, error) {
	return s.showGrants(ctx, "SHOW GRANTS FOR "+e.name())
}

func (s *server) showGrants(ctx context.Context, query string) (grants, error) {
	rows, err := s.QueryContext(ctx, query)
	if err != nil {
		return nil, s.blind(askFault("read grants", err))
	}
	defer rows.Close()
	out := make(grants)
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, rotators.Transient("read grants: %w", err)
		}
		if strings.HasPrefix(line, "SET DEFAULT ROLE ") {
			continue // it is read with the entry
		}
		list, ok := parseGrant(line)
		if !ok {
			return nil, rotators.Permanent("rotate this user without a clone, or take that right away from it",
				"the server lists a right that cannot be copied: %.40s…", line)
		}
		for _, g := range list {
			out.add(g)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, askFault("read grants", err)
	}
	return out, nil
}

// add merges a line with what is there for the same object.
func (g grants) add(one grant) {
	had := g[one.key()]
	one.privileges = slices.Concat(had.privileges, one.privileges)
	one.option = one.option || had.option
	g[one.key()] = one
}

// parseGrant reads a line of SHOW GRANTS; several roles make several grants.
func parseGrant(line string) ([]grant, bool) {
	rest, ok := strings.CutPrefix(line, "GRANT ")
	if !ok {
		return nil, false
	}
	to := topLevel(rest, " TO ")
	if to < 0 {
		return nil, false
	}
	what, tail := rest[:to], rest[to+len(" TO "):]
	option := topLevel(tail, " WITH GRANT OPTION") >= 0 || topLevel(tail, " WITH ADMIN OPTION") >= 0
	on := topLevel(what, " ON ")
	if on < 0 {
		var roles []grant
		for _, role := range splitTop(what) {
			roles = append(roles, grant{object: role, option: option})
		}
		return roles, true
	}
	g := grant{object: what[on+len(" ON "):], option: option}
	for _, p := range splitTop(what[:on]) {
		if p != "USAGE" {
			g.privileges = append(g.privileges, p)
		}
	}
	if len(g.privileges) == 0 && !option {
		return nil, true
	}
	if len(g.privileges) == 0 {
		g.privileges = []string{"USAGE"}
	}
	return []grant{g}, true
}

// topLevel finds a word outside of quotes and parentheses; -1 if there is none.
func topLevel(s, word string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '`', '\'', '"':
			i = endOfQuote(s, i)
			continue
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 && strings.HasPrefix(s[i:], word) {
			return i
		}
	}
	return -1
}

// endOfQuote is where the quote that opens at i ends; a doubled one stands for
// itself.
func endOfQuote(s string, i int) int {
	for j := i + 1; j < len(s); j++ {
		if s[j] != s[i] {
			continue
		}
		if j+1 < len(s) && s[j+1] == s[i] {
			j++
			continue
		}
		return j
	}
	return len(s)
}

// splitTop splits a list at its top-level commas.
func splitTop(s string) []string {
	var out []string
	for {
		at := topLevel(s, ",")
		if at < 0 {
			return append(out, strings.TrimSpace(s))
		}
		out = append(out, strings.TrimSpace(s[:at]))
		s = s[at+1:]
	}
}

// ordered are the grants in a fixed order.
func (g grants) ordered() []grant {
	keys := make([]string, 0, len(g))
	for k := range g {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]grant, len(keys))
	for i, k := range keys {
		out[i] = g[k]
	}
	return out
}

// missing lists the statements that give an account what it lacks of want.
func (g grants) missing(want grants, account string) []string {
	var out []string
	for _, w := range want.ordered() {
		have, there := g[w.key()]
		lacks := slices.DeleteFunc(slices.Clone(w.privileges), func(p string) bool {
			return slices.Contains(have.privileges, p) || slices.Contains(have.privileges, allPrivileges)
		})
		complete := there && len(lacks) == 0 && (have.option || !w.option)
		switch {
		case complete:
		case w.isRole():
			out = append(out, "GRANT "+w.object+" TO "+account+optionOf(w, " WITH ADMIN OPTION"))
		default:
			if len(lacks) == 0 {
				lacks = []string{"USAGE"}
			}
			out = append(out, "GRANT "+strings.Join(lacks, ", ")+" ON "+w.object+" TO "+account+optionOf(w, " WITH GRANT OPTION"))
		}
	}
	return out
}

func optionOf(g grant, words string) string {
	if g.option {
		return words
	}
	return ""
}

// surplus lists the statements that take from an account what is not in want.
func (g grants) surplus(want grants, account string) []string {
	var out []string
	for _, have := range g.ordered() {
		w, there := want[have.key()]
		if have.isRole() {
			switch {
			case !there:
				out = append(out, "REVOKE "+have.object+" FROM "+account)
			case have.option && !w.option:
				out = append(out, "REVOKE ADMIN OPTION FOR "+have.object+" FROM "+account)
			}
			continue
		}
		extra := slices.DeleteFunc(slices.Clone(have.privileges), func(p string) bool {
			return p == "USAGE" || slices.Contains(w.privileges, p) || slices.Contains(w.privileges, allPrivileges)
		})
		if len(extra) > 0 {
			out = append(out, "REVOKE "+strings.Join(extra, ", ")+" ON "+have.object+" FROM "+account)
		}
		if have.option && !w.option {
			out = append(out, "REVOKE GRANT OPTION ON "+have.object+" FROM "+account)
		}
	}
	return out
}

// covers tells whether an account with g holds need, each privilege perhaps by
// a right on more than its object.
func (g grants) covers(need grant) bool {
	objects := wider(need.object)
	return !slices.ContainsFunc(need.privileges, func(p string) bool {
		whole := strings.TrimSpace(strings.SplitN(p, "(", 2)[0]) // without its columns
		for object, have := range g {
			if have.isRole() || need.option && !have.option || !slices.ContainsFunc(objects, func(o string) bool { return reaches(object, o) }) {
				continue
			}
			if slices.Contains(have.privileges, p) || slices.Contains(have.privileges, whole) || slices.Contains(have.privileges, allPrivileges) {
				return false
			}
		}
		return true
	})
}

// reaches tells whether a right on object is one on the other: the names of
// databases may be patterns.
func reaches(object, other string) bool {
	pattern, isDatabase := strings.CutSuffix(object, ".*")
	name, otherIs := strings.CutSuffix(other, ".*")
	if object == other || !isDatabase || !otherIs || object == everywhere || other == everywhere {
		return object == other
	}
	return like(strings.Trim(pattern, "`"), strings.NewReplacer(`\_`, "_", `\%`, "%").Replace(strings.Trim(name, "`")))
}

// like matches a name with a pattern of % and _, which a backslash makes plain.
func like(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '%':
		return like(pattern[1:], name) || name != "" && like(pattern, name[1:])
	case name == "":
		return false
	case pattern[0] == '\\' && len(pattern) > 1:
		return pattern[1] == name[0] && like(pattern[2:], name[1:])
	}
	return (pattern[0] == '_' || pattern[0] == name[0]) && like(pattern[1:], name[1:])
}

// wider lists an object and what holds it: the database, the server.
func wider(object string) []string {
	out := []string{object}
	name := object
	for _, kind := range []string{"PROCEDURE ", "FUNCTION ", "PACKAGE BODY ", "PACKAGE "} {
		name = strings.TrimPrefix(name, kind)
	}
	if dot := topLevel(name, "."); dot >= 0 {
		out = append(out, name[:dot]+".*")
	}
	return append(out, everywhere)
}

// mayGive says what our login lacks to give an account these grants; nil if
// nothing is seen to be missing.
func (s *server) mayGive(ctx context.Context, want grants) error {
	mine, err := s.rights(ctx)
	if err != nil {
		return err
	}
	allRoles := s.product == productMySQL && mine.covers(grant{privileges: []string{"ROLE_ADMIN"}, object: everywhere})
	for _, w := range want.ordered() {
		if w.isRole() {
			if have, there := mine[w.key()]; !allRoles && (!there || !have.option) {
				return s.cannotGive(fmt.Sprintf("GRANT %s TO %s WITH ADMIN OPTION", w.object, s.myName()), "the role "+w.object)
			}
			continue
		}
		need := w
		need.option = true
		if !mine.covers(need) {
			return s.cannotGive(fmt.Sprintf("GRANT %s ON %s TO %s WITH GRANT OPTION", strings.Join(w.privileges, ", "), w.object, s.myName()),
				strings.Join(w.privileges, ", ")+" on "+w.object)
		}
	}
	return nil
}

func (s *server) cannotGive(hint, what string) *lockstep.TargetError {
	return rotators.Permanent(hint, "the admin %s may not pass on %s, which the clone needs", s.me, what)
}
