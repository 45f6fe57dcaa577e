package rotators

import "lockstep"

// Publisher is a Rotator whose value holds more than applications may have: what
// renews it, beside what they use. The engine writes the part that is theirs into
// another Secret, in the transaction that makes the value AWSCURRENT.
type Publisher interface {
	// Publication reads it from the value, without touching the target; one whose
	// Secret is empty publishes nothing. Errors: ErrInvalid.
	Publication(v lockstep.Value) (Publication, error)
}

// Publication is a part of a value, for another Secret.
type Publication struct {
	// Secret is its name or ARN. It is of the same account and region, has a value
	// that is a JSON object whose "source" names the Secret that publishes into it,
	// and no Rotation of its own.
	Secret string
	// Fields are written into that object; its other fields stay.
	Fields []PublishedField
}

// PublishedField is one field: its name and its JSON text.
type PublishedField struct {
	Name string
	JSON []byte
}
