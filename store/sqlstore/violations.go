package sqlstore

import (
	"math"

	"lockstep"
	"lockstep/store"
)

// maxViolations bounds what one rule reports of one page.
const maxViolations = 1000

// rule is one check: a query whose rows (ARN, detail) are the violations among
// the Secrets above $1 and up to $2. Each reads what is live (Secrets that exist, open Runs, the newest Run of each
// Secret, partial indexes of what should not be there), never the history.
type rule struct {
	name  string
	query string
}

var rules = [...]rule{
	{"one-current", `SELECT s.arn, 'no version with a value has AWSCURRENT' FROM secrets s WHERE s.id > $1 AND s.id <= $2 AND NOT s.gone
		AND EXISTS (SELECT 1 FROM versions v WHERE v.secret = s.id AND v.ciphertext IS NOT NULL)
		AND NOT EXISTS (SELECT 1 FROM stages g JOIN versions v ON v.secret = g.secret AND v.id = g.version
			WHERE g.secret = s.id AND g.stage = 'AWSCURRENT' AND v.ciphertext IS NOT NULL)`},
	{"one-run", `SELECT s.arn, 'more than one run is open' FROM secrets s
		JOIN (SELECT secret FROM runs WHERE is_open AND secret > $1 AND secret <= $2 GROUP BY secret HAVING count(*) > 1) r ON r.secret = s.id`},
	// A user may put AWSPENDING anywhere by hand; only a Run's own Version is
	// the engine's business. A lost Run keeps the label until its deposit.
	{"pending-open", `SELECT s.arn, 'AWSPENDING stands on version ' || g.version || ', whose run is over'
		FROM stages g JOIN secrets s ON s.id = g.secret WHERE g.secret > $1 AND g.secret <= $2 AND g.stage = 'AWSPENDING'
		AND EXISTS (SELECT 1 FROM runs r WHERE r.secret = g.secret AND r.version = g.version AND NOT r.test_only)
		AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.secret = g.secret AND r.version = g.version
			AND (r.is_open OR r.state = 'lost'))`},
	// Only the newest Run of each Secret, and only while Events from before its
	// end are still kept, so that a forgotten Event is not taken for a missing
	// one.
	{"finish-event", `SELECT s.arn, 'run ' || r.id || ' succeeded without exactly one version.current event'
		FROM secrets s JOIN runs r ON r.num = (SELECT max(n.num) FROM runs n WHERE n.secret = s.id)
		WHERE s.id > $1 AND s.id <= $2 AND r.state = 'succeeded' AND NOT r.test_only
		AND (SELECT count(*) FROM events e WHERE e.run = r.id AND e.type = 'version.current') <> 1
		AND ((SELECT count(*) FROM events e WHERE e.run = r.id AND e.type = 'version.current') > 1
			OR s.event_seq = 0
			OR EXISTS (SELECT 1 FROM events e WHERE e.secret = s.id AND e.seq = 1)
			OR EXISTS (SELECT 1 FROM events e WHERE e.secret = s.id AND e.at < r.finished))`},
	{"final-finished", `SELECT s.arn, 'run ' || r.id || ' is ' || r.state || ' but has no end'
		FROM runs r JOIN secrets s ON s.id = r.secret WHERE s.id > $1 AND s.id <= $2 AND NOT r.is_open AND r.finished = 0`},
	{"event-sequence", `SELECT s.arn, 'the newest event is not number ' || s.event_seq FROM secrets s
		WHERE s.id > $1 AND s.id <= $2 AND s.event_seq > 0 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.secret = s.id AND e.seq = s.event_seq)
		UNION ALL
		SELECT e.arn, 'no event before number ' || e.seq FROM events e WHERE e.secret > $1 AND e.secret <= $2 AND NOT e.sent AND e.seq > 1
		AND NOT EXISTS (SELECT 1 FROM events p WHERE p.secret = e.secret AND p.seq = e.seq - 1)
		AND EXISTS (SELECT 1 FROM events p WHERE p.secret = e.secret AND p.seq < e.seq)`},
	{"place-open", `SELECT s.arn, 'run ' || p.run || ' has a place and is over' FROM places p JOIN secrets s ON s.id = p.secret
		WHERE p.secret > $1 AND p.secret <= $2 AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = p.run AND r.is_open)
		UNION ALL
		SELECT s.arn, 'run ' || w.run || ' waits for a place and is over, or has one' FROM waits w JOIN secrets s ON s.id = w.secret
		WHERE w.secret > $1 AND w.secret <= $2 AND (NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = w.run AND r.is_open)
		OR EXISTS (SELECT 1 FROM places p WHERE p.run = w.run))`},
	{"restored", `SELECT s.arn, 'it was restored from a backup and was not seen to log in at its target yet; its events say why'
		FROM holds h, secrets s WHERE s.id > $1 AND s.id <= $2 AND ` + restored + ` AND ` + awaited},
	{"intent-settled", `SELECT s.arn, 'intent ' || i.marker || ' is ' || i.state || ', and nobody will settle it' FROM intents i JOIN secrets s ON s.id = i.secret
		WHERE i.secret > $1 AND i.secret <= $2 AND ((i.state = 'open' AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = i.run AND r.is_open))
		OR (i.state = 'lost' AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = i.run AND r.state = 'lost'))
		OR (i.state = 'deposited' AND EXISTS (SELECT 1 FROM versions v WHERE v.secret = i.secret AND v.id = i.version AND v.ciphertext IS NULL)))`},
	{"live-sealed", `SELECT s.arn, 'version ' || v.id || ' may be live at the target but has no value'
		FROM versions v JOIN secrets s ON s.id = v.secret WHERE v.secret > $1 AND v.secret <= $2 AND v.maybe_live AND v.ciphertext IS NULL`},
}

// Violations implements store.RunReader. Each rule reports at most 1,000 of a page.
func (t *tx) Violations(after lockstep.SecretID, limit int) ([]store.Violation, lockstep.SecretID, error) {
	type span struct{ last, secrets int64 }
	page, err := one(t.session, func(r row) (span, error) {
		var s span
		return s, r.Scan(&s.last, &s.secrets)
	}, `SELECT coalesce(max(id), 0), count(*) FROM (SELECT id FROM secrets WHERE id > $1 ORDER BY id LIMIT $2) page`, after, limit)
	if err != nil {
		return nil, 0, place("check", err)
	}
	upTo, next := page.last, lockstep.SecretID(page.last)
	if page.secrets < int64(limit) {
		upTo, next = math.MaxInt64, 0 // what belongs to no Secret, too
	}
	var out []store.Violation
	for _, r := range rules {
		list, err := all(t.session, func(row row) (store.Violation, error) {
			v := store.Violation{Rule: r.name}
			return v, row.Scan(&v.ARN, &v.Detail)
		}, `SELECT * FROM (`+r.query+`) found LIMIT $3`, after, upTo, maxViolations)
		if err != nil {
			return nil, 0, place("check rule "+r.name, err)
		}
		out = append(out, list...)
	}
	return out, next, nil
}
