package policy

import "strings"

// principalSet is a Principal or NotPrincipal element, compiled.
type principalSet struct {
	anyone    bool     // "*"
	accounts  []string // twelve digits, also from …:root
	arns      []string // users, roles, sessions
	ids       []string // unique ids: AIDA…, AROA…
	services  []string
	federated []string
}

// grant is how closely a resource policy names a principal. Greater is closer.
type grant int

const (
	noGrant grant = iota
	// toAccount: the account is named. The account's own identity policies
	// decide who of it.
	toAccount
	// toRole: the role of a session, or everyone, is named.
	toRole
	// toPrincipal: the user, session, service … itself is named.
	toPrincipal
)

// names returns how closely the set names p.
func (s *principalSet) names(p *Principal) grant {
	switch p.Kind {
	case Service:
		return s.listed(p.ARN, s.services)
	case Federated:
		return s.listed(p.ARN, s.federated)
	case Anonymous:
		return s.listed("", nil)
	}
	id, _, _ := strings.Cut(p.ID, ":")
	switch {
	case contains(s.arns, p.ARN):
		return toPrincipal
	case p.Kind == Root && contains(s.accounts, p.Account):
		return toPrincipal
	case p.Kind == User && contains(s.ids, id):
		return toPrincipal
	case s.anyone, contains(s.arns, p.RoleARN), contains(s.ids, id):
		return toRole
	case contains(s.accounts, p.Account):
		return toAccount
	}
	return noGrant
}

// listed is for principals that have but one name.
func (s *principalSet) listed(name string, list []string) grant {
	if s.anyone || contains(list, name) {
		return toPrincipal
	}
	return noGrant
}

// exempts reports whether NotPrincipal leaves p out. AWS asks for each form of
// the principal to be listed: the account and, for a session, role and session.
// One form alone does not exempt, since the others would still be denied.
func (s *principalSet) exempts(p *Principal) bool {
	if s.anyone {
		return true
	}
	switch p.Kind {
	case Anonymous, Service, Federated:
		return s.names(p) != noGrant
	case Root:
		return contains(s.accounts, p.Account)
	case User:
		return contains(s.accounts, p.Account) && contains(s.arns, p.ARN)
	default:
		return contains(s.accounts, p.Account) && contains(s.arns, p.ARN) && contains(s.arns, p.RoleARN)
	}
}

func contains(list []string, s string) bool {
	if s == "" {
		return false
	}
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// addAWS compiles one entry of {"AWS": …}; false means that it is none.
func (s *principalSet) addAWS(entry string) bool {
	switch {
	case entry == "*":
		s.anyone = true
		return true
	case isAccountID(entry):
		s.accounts = append(s.accounts, entry)
		return true
	case isUniqueID(entry):
		s.ids = append(s.ids, entry)
		return true
	case strings.ContainsAny(entry, "*?$"):
		return false
	}
	a := splitARN(entry)
	if a.parts < arnParts || a.part(0) != "arn" || a.part(1) == "" || a.part(3) != "" || !isAccountID(a.part(4)) {
		return false
	}
	service, resource := a.part(2), a.part(5)
	kind, name, _ := strings.Cut(resource, "/")
	switch {
	case service == "iam" && resource == "root":
		s.accounts = append(s.accounts, a.part(4))
		return true
	case name == "" || strings.HasSuffix(name, "/"):
		return false
	case service == "iam" && (kind == "user" || kind == "role"),
		service == "sts" && kind == "federated-user",
		service == "sts" && kind == "assumed-role" && strings.Count(name, "/") == 1:
		s.arns = append(s.arns, entry)
		return true
	}
	return false
}

// isUniqueID reports whether s is the unique id of a user or role.
func isUniqueID(s string) bool {
	if len(s) < 16 || len(s) > 128 || !strings.HasPrefix(s, "AIDA") && !strings.HasPrefix(s, "AROA") {
		return false
	}
	for i := range len(s) {
		if (s[i] < 'A' || s[i] > 'Z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}
