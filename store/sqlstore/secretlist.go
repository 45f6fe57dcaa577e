package sqlstore

import (
	"errors"
	"fmt"
	"strings"

	"lockstep"
	"lockstep/store"
)

const defaultSecretPage = 100

// sortColumns are the columns of the orders; the number breaks ties.
var sortColumns = map[store.SecretSort]string{
	store.SortCreated:  "created",
	store.SortChanged:  "changed",
	store.SortAccessed: "accessed",
	store.SortName:     "name",
}

// endOfPrefix sorts behind whatever may follow a prefix in a name.
const endOfPrefix = "\U0010ffff"

// fewSecrets is how many may meet a condition on terms for it to lead the
// search at once: so many can be sorted within milliseconds. Where more do, a
// walk of walkFor Secrets in the order asked for most likely finds a page of
// them sooner.
const (
	fewSecrets = 10000
	walkFor    = 2000
)

// fewTerms is how many different terms may meet a condition for the search to go
// along each of them: the index has the Secrets of one term in the order of
// creation, so none has to be sorted, however many there are.
const fewTerms = 8

// lead is the condition that a search goes along: which one, and if they are few
// its terms.
type lead struct {
	at    int
	terms []string
}

// ListSecrets implements store.SecretReader. The text of the statement varies
// only over the orders and the shape of the filters, so that each form is
// prepared once.
func (t *tx) ListSecrets(q store.SecretQuery) ([]*lockstep.Secret, error) {
	if _, ok := sortColumns[q.Sort]; !ok {
		return nil, fmt.Errorf("list secrets: unknown order %q: %w", q.Sort, lockstep.ErrInvalid)
	}
	if q.Limit <= 0 {
		q.Limit = defaultSecretPage
	}
	leads, found, err := t.leader(q)
	if err != nil || !found {
		return nil, place("list secrets", err)
	}
	var list []*lockstep.Secret
	switch {
	case leads >= 0:
		list, err = t.search(q, lead{at: leads})
	case len(q.Terms) == 0 || q.NamePrefix != "":
		list, err = t.walk(q, 0)
	default:
		list, err = t.broadSearch(q)
	}
	return list, place("list secrets", err)
}

// leader is the condition on terms that the fewest Secrets meet, -1 if none is
// met by few; found is false if one is met by none.
func (t *tx) leader(q store.SecretQuery) (leads int, found bool, err error) {
	leads = -1
	fewest := fewSecrets
	for i, ranges := range q.Terms {
		n, err := t.countTerms(q.Owner, ranges)
		if err != nil || n == 0 {
			return -1, false, err
		}
		if n < fewest {
			leads, fewest = i, n
		}
	}
	return leads, true, nil
}

// countTerms counts up to fewSecrets.
func (t *tx) countTerms(o store.Owner, ranges []store.TermRange) (int, error) {
	total := 0
	for _, r := range ranges {
		n, err := one(t.session, value[int], `SELECT count(*) FROM (SELECT 1 FROM secret_terms
			WHERE owner = $1 AND term >= $2 AND term < $3 LIMIT $4) AS extra`, ownerText(o), r.From, r.To, fewSecrets)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// broadSearch finds by conditions that many Secrets meet: along one of few terms
// if there is one. Else, if they turn out to meet nothing that comes early in the
// order, the search has it, though it has to sort many.
func (t *tx) broadSearch(q store.SecretQuery) ([]*lockstep.Secret, error) {
	for i, ranges := range q.Terms {
		if q.Sort != store.SortCreated {
			break // the index knows no other order
		}
		terms, err := t.termsIn(q.Owner, ranges)
		if err != nil {
			return nil, err
		}
		if len(terms) <= fewTerms {
			return t.search(q, lead{at: i, terms: terms})
		}
	}
	list, err := t.walk(q, walkFor)
	if err == nil && len(list) < q.Limit {
		return t.search(q, lead{})
	}
	return list, err
}

// termsIn are the different terms in some ranges, up to one more than fewTerms.
func (t *tx) termsIn(o store.Owner, ranges []store.TermRange) ([]string, error) {
	var terms []string
	for _, r := range ranges {
		for from, than := r.From, ">="; len(terms) <= fewTerms; from, than = terms[len(terms)-1], ">" {
			next, err := all(t.session, value[string], `SELECT term FROM secret_terms
				WHERE owner = $1 AND term `+than+` $2 AND term < $3 ORDER BY term LIMIT 1`, ownerText(o), from, r.To)
			if err != nil {
				return nil, err
			}
			if len(next) == 0 {
				break
			}
			terms = append(terms, next[0])
		}
	}
	return terms, nil
}

// selection is the text of a statement as it grows, and its arguments.
type selection struct {
	where strings.Builder
	args  []any
}

func (s *selection) arg(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

// ranges is the condition that a term is in one of some ranges.
func (s *selection) ranges(column string, ranges []store.TermRange) string {
	var any []string
	for _, r := range ranges {
		any = append(any, column+" >= "+s.arg(r.From)+" AND "+column+" < "+s.arg(r.To))
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// terms adds the conditions on terms, but the one that leads already.
func (s *selection) terms(q store.SecretQuery, id string, leads int) {
	for i, ranges := range q.Terms {
		if i != leads {
			s.where.WriteString(` AND EXISTS (SELECT 1 FROM secret_terms u WHERE u.secret = ` + id + ` AND ` + s.ranges("u.term", ranges) + `)`)
		}
	}
}

// after adds the place where the page before ended.
func (s *selection) after(q store.SecretQuery, column, id string) {
	if q.After == nil {
		return
	}
	than := ">"
	if q.Descending {
		than = "<"
	}
	s.where.WriteString(` AND (` + column + `, ` + id + `) ` + than + ` (` + s.arg(sortKey(q.Sort, q.After)) + `, ` + s.arg(q.After.ID) + `)`)
}

func direction(q store.SecretQuery) string {
	if q.Descending {
		return "DESC"
	}
	return "ASC"
}

// walk reads Secrets in the order asked for and looks at each, at most at so
// many; 0 means all.
func (t *tx) walk(q store.SecretQuery, most int) ([]*lockstep.Secret, error) {
	column := sortColumns[q.Sort]
	var s selection
	s.where.WriteString(` WHERE account = ` + s.arg(q.Owner.Account) + ` AND region = ` + s.arg(q.Owner.Region) + ` AND NOT gone`)
	if !q.IncludeDeleted {
		s.where.WriteString(` AND delete_at = 0`)
	}
	s.after(q, column, "id")
	if q.NamePrefix != "" {
		s.where.WriteString(` AND name >= ` + s.arg(q.NamePrefix) + ` AND name < ` + s.arg(q.NamePrefix+endOfPrefix))
	}
	order := fmt.Sprintf(` ORDER BY %[1]s %[2]s, id %[2]s LIMIT `, column, direction(q))
	from, id := `secrets`+s.where.String(), "secrets.id"
	if most > 0 {
		from, id = `(SELECT * FROM `+from+order+s.arg(most)+`) AS extra WHERE TRUE`, "extra.id"
	}
	s.where.Reset()
	s.terms(q, id, -1)
	return all(t.session, scanSecret, `SELECT `+secretColumns+` FROM `+from+s.where.String()+order+s.arg(q.Limit), s.args...)
}

// search reads the numbers of the Secrets that meet the leading condition, in
// the order asked for, and then the Secrets. Some of those may be marked for
// deletion, and a number comes twice if two terms meet: it goes on until the
// page is full.
func (t *tx) search(q store.SecretQuery, along lead) ([]*lockstep.Secret, error) {
	var out []*lockstep.Secret
	for {
		ids, err := t.searchIDs(q, along)
		if err != nil {
			return nil, err
		}
		var last *lockstep.Secret
		for _, id := range ids {
			if last != nil && last.ID == id {
				continue
			}
			s, err := t.Secret(id)
			if errors.Is(err, lockstep.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			last = s
			if s.Gone || s.Deleted() && !q.IncludeDeleted || !strings.HasPrefix(s.Name, q.NamePrefix) {
				continue
			}
			if out = append(out, s); len(out) == q.Limit {
				return out, nil
			}
		}
		if len(ids) < q.Limit || last == nil {
			return out, nil
		}
		q.After = last
	}
}

func (t *tx) searchIDs(q store.SecretQuery, along lead) ([]lockstep.SecretID, error) {
	if len(along.terms) > 0 {
		return t.mergeIDs(q, along)
	}
	leads := along.at
	var s selection
	s.where.WriteString(` WHERE t.owner = ` + s.arg(ownerText(q.Owner)) + ` AND ` + s.ranges("t.term", q.Terms[leads]))
	from, column := ` FROM secret_terms t`, "t.created"
	if q.Sort != store.SortCreated {
		from, column = ` FROM secret_terms t JOIN secrets s ON s.id = t.secret`, "s."+sortColumns[q.Sort]
	}
	s.after(q, column, "t.secret")
	s.terms(q, "t.secret", leads)
	return all(t.session, value[lockstep.SecretID], `SELECT t.secret`+from+s.where.String()+
		fmt.Sprintf(` ORDER BY %[1]s %[2]s, t.secret %[2]s LIMIT %[3]s`, column, direction(q), s.arg(q.Limit)), s.args...)
}

// mergeIDs reads a page's numbers along each term, in the order of creation, and
// merges them.
func (t *tx) mergeIDs(q store.SecretQuery, along lead) ([]lockstep.SecretID, error) {
	var s selection
	order := fmt.Sprintf(` ORDER BY created %[1]s, secret %[1]s LIMIT %[2]s`, direction(q), s.arg(q.Limit))
	owner := s.arg(ownerText(q.Owner))
	parts := make([]string, len(along.terms))
	for i, term := range along.terms {
		s.where.Reset()
		s.after(q, "t.created", "t.secret")
		s.terms(q, "t.secret", along.at)
		parts[i] = fmt.Sprintf(`SELECT * FROM (SELECT created, secret FROM secret_terms t WHERE t.owner = %s AND t.term = %s%s%s) AS part%d`,
			owner, s.arg(term), s.where.String(), order, i)
	}
	return all(t.session, value[lockstep.SecretID],
		`SELECT secret FROM (`+strings.Join(parts, ` UNION ALL `)+`) AS parts`+order, s.args...)
}

func sortKey(by store.SecretSort, s *lockstep.Secret) any {
	switch by {
	case store.SortChanged:
		return micros(s.Changed)
	case store.SortAccessed:
		return micros(s.Accessed)
	case store.SortName:
		return s.Name
	default:
		return micros(s.Created)
	}
}
