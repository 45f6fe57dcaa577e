package sqlstore

import (
	"fmt"
	"slices"
	"time"

	"lockstep"
	"lockstep/store"
)

const eventColumns = `id, type, secret, account, region, name, arn, seq, at, data`

func scanEvent(r row) (lockstep.Event, error) {
	var e lockstep.Event
	err := r.Scan(&e.ID, &e.Type, &e.Secret, &e.Account, &e.Region, &e.Name, &e.ARN, &e.Seq, timeInto{&e.Time}, jsonInto{&e.Data})
	return e, err
}

// UnsentEvents implements store.OutboxReader.
func (t *tx) UnsentEvents(limit int) ([]lockstep.Event, error) {
	list, err := all(t.session, scanEvent, `SELECT `+eventColumns+` FROM events WHERE NOT sent ORDER BY num LIMIT $1`, limit)
	return list, place("list unsent events", err)
}

// Events implements store.OutboxReader.
func (t *tx) Events(secret lockstep.SecretID, after uint64, limit int) ([]lockstep.Event, error) {
	list, err := all(t.session, scanEvent, `SELECT `+eventColumns+` FROM events
		WHERE secret = $1 AND seq > $2 ORDER BY seq LIMIT $3`, secret, after, limit)
	return list, place(fmt.Sprintf("list events of secret %d", secret), err)
}

// EventTail implements store.OutboxReader.
func (t *tx) EventTail(limit int) ([]lockstep.Event, error) {
	list, err := all(t.session, scanEvent, `SELECT `+eventColumns+` FROM events ORDER BY num DESC LIMIT $1`, limit)
	slices.Reverse(list)
	return list, place("list newest events", err)
}

// AddEvent implements store.OutboxWriter. The sequence is counted in the
// Secret's row, whose lock also keeps the rows of the outbox in its order.
// ErrNotFound if there is no such Secret.
func (t *tx) AddEvent(e *lockstep.Event) error {
	doing := fmt.Sprintf("add event %s of secret %d", e.Type, e.Secret)
	seq, err := one(t.session, value[uint64], `UPDATE secrets SET event_seq = event_seq + 1 WHERE id = $1 RETURNING event_seq`, e.Secret)
	if err != nil {
		return place(doing, err)
	}
	at := e.Time
	if at.IsZero() {
		at = t.Now()
	}
	data, err := jsonText(e.Data)
	if err != nil {
		return place(doing, err)
	}
	if _, err := t.exec(`UPDATE events SET is_last = FALSE WHERE secret = $1 AND seq = $2`, e.Secret, seq-1); err != nil {
		return place(doing, err)
	}
	err = changed(t.session, lockstep.ErrExists, `INSERT INTO events (`+eventColumns+`, run)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING`,
		e.ID, e.Type, e.Secret, e.Account, e.Region, e.Name, e.ARN, seq, micros(at), data, e.Data.Run)
	if err != nil {
		// The number is taken: a commit would leave a gap.
		t.broken = place(doing, err)
		return t.broken
	}
	e.Seq, e.Time = seq, at.UTC().Truncate(time.Microsecond)
	t.touch(store.TopicOutbox)
	return nil
}

// EventsSent implements store.OutboxWriter.
func (t *tx) EventsSent(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	list, err := jsonText(ids)
	if err == nil {
		_, err = t.exec(`UPDATE events SET sent = TRUE WHERE id IN (@texts($1)) AND NOT sent`, list)
	}
	return place(fmt.Sprintf("mark %d events sent", len(ids)), err)
}

// EventsUnsent implements store.OutboxWriter.
func (t *tx) EventsUnsent(ids []string) error {
	t.touch(store.TopicOutbox)
	for _, id := range ids {
		if _, err := t.exec(`UPDATE events SET sent = FALSE WHERE id = $1 AND sent`, id); err != nil {
			return place("mark event "+id+" unsent", err)
		}
	}
	return nil
}

// DeleteEventsBefore implements store.OutboxWriter.
func (t *tx) DeleteEventsBefore(before time.Time, limit int) (int, error) {
	n, err := t.exec(`DELETE FROM events WHERE num IN (SELECT num FROM events
		WHERE sent AND NOT is_last AND at < $1 ORDER BY at, num LIMIT $2)`, micros(before), limit)
	return int(n), place("delete old events", err)
}
