package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lockstep"
	"lockstep/store"
)

// termed are the positions in secretArgs that a Secret's terms follow from:
// account, region, name, description, tags, created, gone, primary region.
var termed = [...]int{0, 1, 2, 4, 7, 9, 13, 14}

// indexTerms writes a Secret's terms if they may have changed; before are its
// columns as they stood, nil if that is not known.
func (t *tx) indexTerms(s *lockstep.Secret, before, after []any) error {
	if before != nil && !slices.ContainsFunc(termed[:], func(i int) bool { return before[i] != after[i] }) {
		return nil
	}
	if _, err := t.exec(`DELETE FROM secret_terms WHERE secret = $1`, s.ID); err != nil {
		return err
	}
	if s.Gone {
		return nil
	}
	return t.addTerms(s)
}

// termsAtOnce are written by one statement; what is left over, one by one, so
// that there are but two statements to prepare.
const termsAtOnce = 8

func (t *tx) addTerms(s *lockstep.Secret) error {
	owner := ownerText(store.Owner{Account: s.Account, Region: s.Region})
	for terms := store.Terms(s); len(terms) > 0; {
		n := 1
		if len(terms) >= termsAtOnce {
			n = termsAtOnce
		}
		args := []any{owner, micros(s.Created), s.ID}
		for _, term := range terms[:n] {
			args = append(args, term)
		}
		if _, err := t.exec(addTerms[n], args...); err != nil {
			return err
		}
		terms = terms[n:]
	}
	return nil
}

var addTerms = map[int]string{1: addTermsOf(1), termsAtOnce: addTermsOf(termsAtOnce)}

func addTermsOf(n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf("($1, $%d, $2, $3)", i+4))
	}
	return `INSERT INTO secret_terms (owner, term, created, secret) VALUES ` + strings.Join(rows, ", ") + ` ON CONFLICT DO NOTHING`
}

func ownerText(o store.Owner) string { return string(o.Account) + "/" + string(o.Region) }

// termsIndexed is the setting that says which form of terms all Secrets have.
const (
	termsIndexed = "secret-terms"
	termsForm    = "1"
	termsBatch   = 500
)

// indexAll writes the terms of the Secrets that were stored before there were
// any, once.
func (s *Store) indexAll(ctx context.Context) error {
	for after := lockstep.SecretID(0); ; {
		var last lockstep.SecretID
		err := s.Update(ctx, func(st store.Tx) (err error) {
			t, ours := st.(*tx)
			if !ours {
				return fmt.Errorf("index secrets: transaction of type %T: %w", st, lockstep.ErrInvalid)
			}
			last, err = t.indexBatch(after)
			return err
		})
		if err != nil {
			return fmt.Errorf("index secrets for lists: %w", err)
		}
		if last == 0 {
			return nil
		}
		after = last
	}
}

// indexBatch indexes the Secrets that follow a number and returns the last of
// them, 0 when all are done.
func (t *tx) indexBatch(after lockstep.SecretID) (lockstep.SecretID, error) {
	done, err := t.Setting(termsIndexed)
	if err == nil && string(done) == termsForm {
		return 0, nil
	}
	if err != nil && !errors.Is(err, lockstep.ErrNotFound) {
		return 0, err
	}
	batch, err := all(t.session, scanSecret, `SELECT `+secretColumns+` FROM secrets
		WHERE id > $1 AND NOT gone ORDER BY id LIMIT $2 @lock`, after, termsBatch)
	if err != nil {
		return 0, err
	}
	if len(batch) == 0 {
		return 0, t.SaveSetting(termsIndexed, []byte(termsForm))
	}
	for _, s := range batch {
		if err := t.indexTerms(s, nil, nil); err != nil {
			return 0, err
		}
	}
	return batch[len(batch)-1].ID, nil
}
