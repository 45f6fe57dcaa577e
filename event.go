package lockstep

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// EventType names what happened; its dots become tokens of a NATS subject.
type EventType string

// The types of Event.
const (
	EventSecretCreated  EventType = "secret.created"
	EventSecretDeleted  EventType = "secret.deleted"
	EventSecretRestored EventType = "secret.restored"
	EventSecretPurged   EventType = "secret.purged"
	// EventVersionCurrent: AWSCURRENT stands on another Version. This is what
	// applications wait for.
	EventVersionCurrent EventType = "version.current"
	// EventVersionRetired: the old credential is proven dead at the target.
	EventVersionRetired EventType = "version.retired"
	// EventRetireFailed: the old credential could not be removed; it is tried
	// again.
	EventRetireFailed EventType = "version.retire-failed"
	// EventRetireReleased: a person let the old credential go before its policy
	// would have, or where the policy waits for a person.
	EventRetireReleased EventType = "version.retire-released"
	EventRunWaiting     EventType = "run.waiting"
	EventRunRetrying    EventType = "run.retrying"
	EventRunSucceeded   EventType = "run.succeeded"
	EventRunFailed      EventType = "run.failed"
	EventRunCancelled   EventType = "run.cancelled"
	EventRunLost        EventType = "run.lost"
	// EventOrphanRevoked: a credential that the target issued, and whose answer
	// was lost, was found by its marker and revoked.
	EventOrphanRevoked EventType = "orphan.revoked"
	// EventOrphanUnknown: a credential at the target bears a marker of this Secret
	// that the store does not know. It is left alone.
	EventOrphanUnknown EventType = "orphan.unknown"
	// EventSweepFailed: the target could not be searched for orphans; it is tried
	// again.
	EventSweepFailed EventType = "orphan.sweep-failed"
	// EventVerified: AWSCURRENT logs in at the target.
	EventVerified EventType = "verify.succeeded"
	// EventDrift: AWSCURRENT did not log in; data says what was done about it.
	EventDrift EventType = "verify.drift"
)

// EventTypes lists all types, for documents, filters and validation.
func EventTypes() []EventType {
	return []EventType{
		EventSecretCreated, EventSecretDeleted, EventSecretRestored, EventSecretPurged,
		EventVersionCurrent, EventVersionRetired, EventRetireFailed, EventRetireReleased,
		EventRunWaiting, EventRunRetrying,
		EventRunSucceeded, EventRunFailed, EventRunCancelled, EventRunLost,
		EventOrphanRevoked, EventOrphanUnknown, EventSweepFailed,
		EventVerified, EventDrift,
	}
}

// Event is a fact about a Secret that subscribers hear of: at least once, in
// the order of Seq per Secret. It never holds a value.
type Event struct {
	// ID is unique for ever.
	ID   string
	Type EventType
	// Secret, Account, Region, Name and ARN say whose event it is.
	Secret  SecretID
	Account AccountID
	Region  Region
	Name    string
	ARN     ARN
	// Seq counts the Events of this Secret from 1 without a gap.
	Seq  uint64
	Time time.Time
	Data EventData
}

// EventData is the body of an Event. Fields that do not apply are left out.
type EventData struct {
	Name      string               `json:"name"`
	Sequence  uint64               `json:"sequence"`
	VersionID VersionID            `json:"versionId,omitempty"`
	Previous  VersionID            `json:"previousVersionId,omitempty"`
	Stages    map[string]VersionID `json:"stages,omitempty"`
	Run       RunID                `json:"run,omitempty"`
	Trigger   Trigger              `json:"trigger,omitempty"`
	State     RunState             `json:"state,omitempty"`
	Step      Step                 `json:"step,omitempty"`
	Attempt   int                  `json:"attempt,omitempty"`
	// Reason is the target's words or the cause; Hint is the next step.
	Reason string `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// EventTypePrefix stands before an EventType in a CloudEvent's type.
const EventTypePrefix = "lockstep."

// cloudEvent is the JSON form of an Event: CloudEvents 1.0, JSON event format.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            string    `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            EventData `json:"data"`
}

// MarshalJSON writes the Event as a CloudEvent (CloudEvents 1.0, structured
// JSON): type is "lockstep." and the EventType, subject the Secret's ARN,
// source "lockstep://<account>/<region>".
func (e Event) MarshalJSON() ([]byte, error) {
	d := e.Data
	d.Name, d.Sequence = e.Name, e.Seq
	return json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: e.ID, Type: EventTypePrefix + string(e.Type),
		Source:  fmt.Sprintf("lockstep://%s/%s", e.Account, e.Region),
		Subject: string(e.ARN), Time: e.Time.UTC().Format(time.RFC3339Nano),
		DataContentType: "application/json", Data: d,
	})
}

// UnmarshalJSON reads the CloudEvent form; the store's number of the Secret is
// not in it. A type that this version does not know is taken as it is: a newer
// server may have sent it. Errors: ErrInvalid if it is not an Event of
// Lockstep.
func (e *Event) UnmarshalJSON(b []byte) error {
	var c cloudEvent
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("read event: %w: %w", ErrInvalid, err)
	}
	at, err := time.Parse(time.RFC3339Nano, c.Time)
	typ, ours := strings.CutPrefix(c.Type, EventTypePrefix)
	if err != nil || c.SpecVersion != "1.0" || c.ID == "" || !ours || typ == "" {
		return fmt.Errorf("read event: not a CloudEvent 1.0 of Lockstep: %w", ErrInvalid)
	}
	arn, ok := ParseSecretARN(c.Subject)
	if !ok {
		return fmt.Errorf("read event: subject is not a secret ARN: %w", ErrInvalid)
	}
	*e = Event{
		ID: c.ID, Type: EventType(typ), Account: arn.Account, Region: arn.Region,
		Name: c.Data.Name, ARN: ARN(c.Subject), Seq: c.Data.Sequence, Time: at, Data: c.Data,
	}
	return nil
}
