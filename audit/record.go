package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// The types of events, in CloudTrail's words where it has one.
const (
	// TypeAPICall is a request to an API.
	TypeAPICall = "AwsApiCall"
	// TypeEngine is what the server did by itself: a Step, a delivery.
	TypeEngine = "AwsServiceEvent"
	// TypeLogin is a subscriber's login at the event stream.
	TypeLogin = "LockstepLogin"
)

// SourceEngine is the event source of what Lockstep itself does, and of its
// own API.
const SourceEngine = "lockstep"

// The limits of a record's fields; what is longer is cut. They keep a record
// within MaxEntry.
const (
	maxText      = 512
	maxARN       = 2048
	maxResources = 100
	// MaxEntry is the longest line of a log, in bytes.
	MaxEntry = 1 << 20
)

// Record is one thing that happened. Its fields and their names in JSON are
// those of a CloudTrail record; what CloudTrail has no word for is in Detail.
type Record struct {
	// Seq is set when the record is read back; a writer leaves it 0.
	Seq uint64 `json:"seq,omitempty"`
	// Version is that of the record's form; a writer leaves it empty.
	Version string `json:"eventVersion"`
	// Time is when the request came in. Zero: now.
	Time time.Time `json:"eventTime"`
	// Source is the API, for example "secretsmanager.amazonaws.com"; empty:
	// SourceEngine.
	Source string `json:"eventSource"`
	// Name is the operation, for example "GetSecretValue".
	Name string `json:"eventName"`
	// Type is one of the constants; empty: TypeEngine.
	Type     string   `json:"eventType"`
	Identity Identity `json:"userIdentity"`
	Region   string   `json:"awsRegion,omitempty"`
	// Address is where the request came from.
	Address   string `json:"sourceIPAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	RequestID string `json:"requestID,omitempty"`
	// ErrorCode is empty for what was done.
	ErrorCode string `json:"errorCode,omitempty"`
	// ReadOnly tells that nothing was changed.
	ReadOnly  bool       `json:"readOnly"`
	Resources []Resource `json:"resources,omitempty"`
	// Node is the server that did it; set by the Log.
	Node   string `json:"recipientNode,omitempty"`
	Detail Detail `json:"additionalEventData,omitzero"`
}

// Identity is who did it. The zero value is somebody unknown.
type Identity struct {
	// Type is Root, IAMUser, AssumedRole, or AWSService for the server itself;
	// empty: Unknown.
	Type        string `json:"type"`
	ARN         string `json:"arn,omitempty"`
	Account     string `json:"accountId,omitempty"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
	Name        string `json:"userName,omitempty"`
}

// Resource is what it was done to.
type Resource struct {
	ARN string `json:"ARN"`
	// VersionID is the Version of a Secret that was read or made.
	VersionID string `json:"versionId,omitempty"`
	// ErrorCode tells why this one was refused, where a call names several.
	ErrorCode string `json:"errorCode,omitempty"`
}

// Detail is what CloudTrail has no field for.
type Detail struct {
	// Status is the HTTP status of the answer.
	Status int `json:"status,omitempty"`
	// Run, Step, Attempt, Trigger and Outcome tell of a Step of a Run.
	Run     string `json:"run,omitempty"`
	Step    string `json:"step,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Trigger string `json:"trigger,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	// Reason is Lockstep's own word on why; never a target's or a client's.
	Reason string `json:"reason,omitempty"`
	// Count is how many, where a record stands for several.
	Count uint64 `json:"count,omitempty"`
	// First and Last are a range of entries that the record is about.
	First uint64 `json:"firstSeq,omitempty"`
	Last  uint64 `json:"lastSeq,omitempty"`
}

const recordVersion = "1.11"

// encode is the record's body: its JSON without the brace that opens it. The
// record is brought within its limits.
func (r Record) encode(node string, now time.Time) ([]byte, error) {
	r.Seq, r.Version, r.Node = 0, recordVersion, node
	if r.Time.IsZero() {
		r.Time = now
	}
	r.Time = r.Time.UTC()
	setDefault(&r.Source, SourceEngine)
	setDefault(&r.Type, TypeEngine)
	setDefault(&r.Identity.Type, "Unknown")
	for _, text := range []*string{
		&r.Source, &r.Name, &r.Type, &r.Region, &r.Address, &r.UserAgent, &r.RequestID, &r.ErrorCode,
		&r.Identity.Type, &r.Identity.Account, &r.Identity.AccessKeyID, &r.Identity.Name,
		&r.Detail.Run, &r.Detail.Step, &r.Detail.Trigger, &r.Detail.Outcome, &r.Detail.Reason,
	} {
		*text = cut(*text, maxText)
	}
	r.Identity.ARN = cut(r.Identity.ARN, maxARN)
	r.Resources = bounded(r.Resources)
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode audit record: %w", err)
	}
	return body[1:], nil
}

func bounded(given []Resource) []Resource {
	if len(given) == 0 {
		return nil
	}
	out := make([]Resource, 0, min(len(given), maxResources))
	for _, r := range given[:min(len(given), maxResources)] {
		out = append(out, Resource{ARN: cut(r.ARN, maxARN), VersionID: cut(r.VersionID, maxText), ErrorCode: cut(r.ErrorCode, maxText)})
	}
	return out
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// cut shortens text to at most n bytes, at the border of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// ReadOnlyAction tells whether an operation of that name changes nothing, by
// the words that AWS begins such names with.
func ReadOnlyAction(name string) bool {
	for _, word := range []string{"Get", "List", "Describe", "BatchGet", "Validate", "Check"} {
		if strings.HasPrefix(name, word) {
			return name != "GetSessionToken"
		}
	}
	return false
}
