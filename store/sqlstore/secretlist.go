package sqlstore

import (
	"fmt"

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

// ListSecrets implements store.SecretReader. The text of the statement varies
// only over the orders and filters, so that each form is prepared once.
func (t *tx) ListSecrets(q store.SecretQuery) ([]*lockstep.Secret, error) {
	column, ok := sortColumns[q.Sort]
	if !ok {
		return nil, fmt.Errorf("list secrets: unknown order %q: %w", q.Sort, lockstep.ErrInvalid)
	}
	if q.Limit <= 0 {
		q.Limit = defaultSecretPage
	}
	where := ` WHERE account = $1 AND region = $2 AND NOT gone`
	args := []any{q.Owner.Account, q.Owner.Region, q.Limit}
	if !q.IncludeDeleted {
		where += ` AND delete_at = 0`
	}
	direction, after := "ASC", ">"
	if q.Descending {
		direction, after = "DESC", "<"
	}
	if q.After != nil {
		where += fmt.Sprintf(` AND (%s, id) %s ($%d, $%d)`, column, after, len(args)+1, len(args)+2)
		args = append(args, sortKey(q.Sort, q.After), q.After.ID)
	}
	if q.NamePrefix != "" {
		where += fmt.Sprintf(` AND name >= $%d AND name < $%d`, len(args)+1, len(args)+2)
		args = append(args, q.NamePrefix, q.NamePrefix+endOfPrefix)
	}
	list, err := all(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets`+where+
		fmt.Sprintf(` ORDER BY %[1]s %[2]s, id %[2]s LIMIT $3`, column, direction), args...)
	return list, place("list secrets", err)
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
