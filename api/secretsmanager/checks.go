package secretsmanager

import (
	"regexp"
	"strconv"
	"strings"

	"lockstep"
	"lockstep/api/awsjson"
)

// The limits of AWS's model; lengths are in characters, values in bytes.
var (
	lengthName        = awsjson.Length{Min: 1, Max: 512}
	lengthSecretID    = awsjson.Length{Min: 1, Max: 2048}
	lengthToken       = awsjson.Length{Min: 32, Max: 64}
	lengthValue       = awsjson.Length{Min: 1, Max: lockstep.MaxValueBytes}
	lengthDescription = awsjson.Length{Min: 0, Max: 2048}
	lengthKMSKeyID    = awsjson.Length{Min: 0, Max: 2048}
	lengthType        = awsjson.Length{Min: 0, Max: 256}
	lengthStage       = awsjson.Length{Min: 1, Max: 256}
	countStages       = awsjson.Length{Min: 1, Max: 20}
	lengthTagKey      = awsjson.Length{Min: 1, Max: 128}
	lengthTagValue    = awsjson.Length{Min: 0, Max: 256}
	lengthNextToken   = awsjson.Length{Min: 1, Max: 4096}
	lengthPolicy      = awsjson.Length{Min: 1, Max: 20480}
)

// maxTags is AWS's limit for one resource.
const maxTags = 50

// checks collects what is wrong with an input. Its methods name the fields.
type checks struct{ awsjson.Constraints }

func (c *checks) secretID(id *string) {
	f := awsjson.Field{Path: "secretId", Value: id}
	c.Required(f)
	c.Length(f, lengthSecretID)
}

func (c *checks) text(path string, value *string, allowed awsjson.Length) {
	c.Length(awsjson.Field{Path: path, Value: value}, allowed)
}

// value checks the two forms of a value; it never repeats one.
func (c *checks) value(text *string, blob []byte) {
	if text != nil {
		c.Count("secretString", len(*text), lengthValue)
	}
	if blob != nil {
		c.Count("secretBinary", len(blob), lengthValue)
	}
}

func (c *checks) tags(tags []tag) {
	for i, t := range tags {
		path := "tags." + strconv.Itoa(i+1) + ".member."
		key := awsjson.Field{Path: path + "key", Value: t.Key}
		c.Required(key)
		c.Length(key, lengthTagKey)
		c.text(path+"value", t.Value, lengthTagValue)
	}
}

func (c *checks) maxResults(n *int64, max int64) { c.Range("maxResults", n, 1, max) }

func (c *checks) nextToken(token *string) { c.text("nextToken", token, lengthNextToken) }

var nameForm = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]+$`)

// checkName refuses characters that no name has.
func checkName(name string) error {
	if !nameForm.MatchString(name) {
		return awsjson.Errorf(awsjson.CodeValidation,
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	return nil
}

// checkSecretID is checkName for a name or an ARN.
func checkSecretID(id *string) error {
	if arn, ok := lockstep.ParseSecretARN(*id); ok {
		return checkName(arn.Resource)
	}
	return checkName(*id)
}

// done gives the collected errors, or else looks at the SecretId's form.
func (c *checks) done(id *string) error {
	if err := c.Err(); err != nil {
		return err
	}
	return checkSecretID(id)
}

const tokenMissing = "You must provide a ClientRequestToken value. We recommend a UUID-type value."

// tokenGiven refuses a request without ClientRequestToken. SDKs fill it in;
// raw callers forget it.
func tokenGiven(token *string) error {
	if token == nil {
		return invalidRequest(tokenMissing)
	}
	return nil
}

// valueOf makes the Value of an input; zero if neither form is there.
func valueOf(text *string, blob []byte) (lockstep.Value, error) {
	switch {
	case text != nil && blob != nil:
		return lockstep.Value{}, invalidParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	case text != nil:
		return lockstep.StringValue(*text), nil
	case blob != nil:
		return lockstep.BinaryValue(blob), nil
	default:
		return lockstep.Value{}, nil
	}
}

// defaultKeyAlias is what AWS calls the key of secrets that name none.
const defaultKeyAlias = "alias/aws/secretsmanager"

// keyOf is the KmsKeyId to store: empty where AWS's name of the default key is
// spelled out, alone or in an ARN. Nil stays nil.
func keyOf(id *string) *string {
	if id != nil && (*id == defaultKeyAlias || strings.HasPrefix(*id, "arn:") && strings.HasSuffix(*id, ":"+defaultKeyAlias)) {
		return new(string)
	}
	return id
}

// tagsOf makes the domain's tags. It refuses AWS's own prefix, and a key that
// stands twice: a policy might look at the one value and the Secret keep the
// other.
func tagsOf(in []tag) ([]lockstep.Tag, error) {
	if len(in) > maxTags {
		return nil, invalidParameter("A secret can have at most %d tags.", maxTags)
	}
	var out []lockstep.Tag
	seen := make(map[string]struct{}, len(in))
	for _, t := range in {
		if _, twice := seen[*t.Key]; twice {
			return nil, invalidParameter("The tag key %s stands twice in the request.", *t.Key)
		}
		seen[*t.Key] = struct{}{}
		if strings.HasPrefix(strings.ToLower(*t.Key), "aws:") {
			return nil, invalidParameter("Tag keys that begin with aws: are reserved.")
		}
		out = append(out, lockstep.Tag{Key: *t.Key, Value: text(t.Value)})
	}
	return out, nil
}

// text is the string of a field, empty if it is absent.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
