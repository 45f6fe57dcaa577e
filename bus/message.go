package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"lockstep"
)

// DefaultPool is the pool of workers that Jobs go to.
const DefaultPool = "default"

// maxJobBytes bounds a Job's body; real ones have some hundred bytes.
const maxJobBytes = 8 << 10

// JobMessage is the body of a Job: what a worker is asked to look at. It is a
// hint, not an order: the worker reads everything that matters from the store.
type JobMessage struct {
	// Kind is "run", "retire", "verify", "plan", "look", "sweep" or "sessions".
	Kind    string             `json:"kind"`
	Account lockstep.AccountID `json:"account"`
	Region  lockstep.Region    `json:"region"`
	// SecretID is the store's number of the Secret, Name its name.
	SecretID lockstep.SecretID `json:"secretId"`
	Name     string            `json:"name"`
	// Run, Version or Plan is set, by Kind: run, retire, plan and sessions; a
	// look has the Inspection's id as its Plan.
	Run     lockstep.RunID     `json:"run,omitempty"`
	Version lockstep.VersionID `json:"version,omitempty"`
	Plan    string             `json:"plan,omitempty"`
	// Seq numbers the publications.
	Seq int `json:"seq"`
}

// EncodeJob writes a Job's body. Errors: ErrInvalid, by the rules of
// DecodeJob.
func EncodeJob(m JobMessage) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("write job: %w", err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write job: %w", err)
	}
	if len(body) > maxJobBytes {
		return nil, fmt.Errorf("write job: %d bytes are too many: %w", len(body), lockstep.ErrInvalid)
	}
	return body, nil
}

// DecodeJob reads a Job's body. Errors: ErrInvalid for anything but one JSON
// object with these fields alone, a known kind, and what that kind needs. Such
// a message is for LOCKSTEP_DEAD.
func DecodeJob(body []byte) (JobMessage, error) {
	if len(body) > maxJobBytes {
		return JobMessage{}, fmt.Errorf("read job: %d bytes are too many: %w", len(body), lockstep.ErrInvalid)
	}
	var m JobMessage
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return JobMessage{}, fmt.Errorf("read job: %v: %w", err, lockstep.ErrInvalid)
	}
	if _, err := d.Token(); err != io.EOF {
		return JobMessage{}, fmt.Errorf("read job: more than one JSON value: %w", lockstep.ErrInvalid)
	}
	if err := m.check(); err != nil {
		return JobMessage{}, fmt.Errorf("read job: %w", err)
	}
	return m, nil
}

// CheckSubject refuses a Job that came on another subject than its own: it was
// forged, or its body belongs to another. Errors: ErrInvalid.
func (m JobMessage) CheckSubject(subject string) error {
	pool := DefaultPool
	if parts := strings.SplitN(subject, ".", 6); len(parts) == 6 {
		pool = parts[4]
	}
	if want := lockstep.JobSubject(m.Account, m.Region, pool, m.Kind, m.Name); want != subject {
		return fmt.Errorf("read job: its body belongs on another subject, %s: %w", want, lockstep.ErrInvalid)
	}
	return nil
}

func (m JobMessage) check() error {
	var about string
	switch m.Kind {
	case "run":
		about = string(m.Run)
	case "retire":
		about = string(m.Version)
	case "plan", "look", "sessions":
		about = m.Plan
	case "verify", "sweep":
		about = m.Name
	default:
		return fmt.Errorf("unknown kind %q: %w", m.Kind, lockstep.ErrInvalid)
	}
	switch {
	case about == "":
		return fmt.Errorf("kind %s without its subject: %w", m.Kind, lockstep.ErrInvalid)
	case m.Account == "" || m.Region == "" || m.Name == "" || m.SecretID <= 0:
		return fmt.Errorf("secret is not named in full: %w", lockstep.ErrInvalid)
	case m.Seq < 0:
		return fmt.Errorf("negative sequence: %w", lockstep.ErrInvalid)
	}
	return nil
}
