package sqlstore

import (
	"fmt"

	"lockstep"
	"lockstep/store"
)

const intentColumns = `marker, secret, run, version, state, created, sweep_due, attempts`

func scanIntent(r row) (*store.Intent, error) {
	i := &store.Intent{}
	err := r.Scan(&i.Marker, &i.Secret, &i.Run, &i.Version, &i.State, timeInto{&i.Created}, timeInto{&i.SweepDue}, &i.Attempts)
	return i, err
}

// Intent implements store.IntentReader.
func (t *tx) Intent(m lockstep.Marker) (*store.Intent, error) {
	i, err := one(t.session, scanIntent, `SELECT `+intentColumns+` FROM intents WHERE marker = $1`, m)
	return i, place("read intent "+string(m), err)
}

// Intents implements store.IntentReader.
func (t *tx) Intents(secret lockstep.SecretID) ([]*store.Intent, error) {
	list, err := all(t.session, scanIntent, `SELECT `+intentColumns+` FROM intents WHERE secret = $1 ORDER BY created, marker`, secret)
	return list, place(fmt.Sprintf("list intents of secret %d", secret), err)
}

// SweepsDue implements store.IntentReader.
func (t *tx) SweepsDue(limit int) ([]lockstep.SecretID, error) {
	ids, err := all(t.session, value[lockstep.SecretID], `SELECT DISTINCT i.secret FROM intents i
		JOIN secrets s ON s.id = i.secret JOIN slots l ON l.secret = i.secret
		WHERE i.sweep_due IS NOT NULL AND i.sweep_due <= (SELECT @now) AND (l.holder = '' OR l.expires <= (SELECT @now))
		AND `+noOpenRun+`
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.secret = i.secret AND j.kind = 'sweep')
		ORDER BY i.secret LIMIT $1`, limit)
	return ids, place("list secrets to sweep", err)
}

// settledIntent is an Intent for which nothing is left to be done; unsettled the
// opposite.
const (
	settledIntent   = `(i.sweep_due IS NULL AND i.state NOT IN ('open', 'lost'))`
	unsettledIntent = `(i.sweep_due IS NOT NULL OR i.state = 'open')`
)

// InsertIntent implements store.IntentWriter.
func (t *tx) InsertIntent(i *store.Intent) error {
	doing := "insert intent " + string(i.Marker)
	_, err := t.exec(`DELETE FROM intents WHERE marker IN (SELECT i.marker FROM intents i WHERE i.secret = $1 AND `+settledIntent+`
		AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.secret = i.secret AND v.id = i.version))`, i.Secret)
	if err != nil {
		return place(doing, err)
	}
	err = changed(t.session, lockstep.ErrExists, `INSERT INTO intents (`+intentColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (marker) DO NOTHING`, i.Marker, i.Secret, i.Run, i.Version, i.State, micros(i.Created),
		nullable(micros(i.SweepDue), !i.SweepDue.IsZero()), i.Attempts)
	return place(doing, err)
}

// SaveIntent implements store.IntentWriter.
func (t *tx) SaveIntent(i *store.Intent) error {
	err := changed(t.session, lockstep.ErrNotFound, `UPDATE intents SET version = $2, state = $3, sweep_due = $4, attempts = $5 WHERE marker = $1`,
		i.Marker, i.Version, i.State, nullable(micros(i.SweepDue), !i.SweepDue.IsZero()), i.Attempts)
	return place("save intent "+string(i.Marker), err)
}
