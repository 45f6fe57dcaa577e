package rotatortest

import (
	"crypto/rand"
	"encoding/json"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"lockstep"
)

// What the tests of all rotators use.
const (
	AdminARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:admin-AbCdEf"
	// PasswordOfAdmin and FirstPassword satisfy the policies of all targets.
	PasswordOfAdmin = "boss-secret-7Hq2" // #nosec G101 -- a private server's, on loopback, for one test
	FirstPassword   = "first-secret-1x"  // #nosec G101 -- the same
)

// RandomName is a name that no other test has.
func RandomName() string { return strings.ToLower(rand.Text()[:10]) }

// ARN is that of a Secret for a user.
func ARN(user string) lockstep.ARN {
	return lockstep.ARN("arn:aws:secretsmanager:us-east-1:000000000000:secret:" + user + "-AbCdEf")
}

// Check ends the test on an error.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Secret is what the tests read and write of a database user's value.
type Secret struct {
	Engine    string   `json:"engine"`
	Host      string   `json:"host"`
	Port      int      `json:"port"`
	Database  string   `json:"dbname,omitempty"`
	User      string   `json:"username"`
	Password  string   `json:"password"`
	MasterARN string   `json:"masterarn,omitempty"`
	SSLMode   string   `json:"sslmode,omitempty"`
	Probes    []string `json:"probes,omitempty"`
}

// Value is s as a secret's value.
func (s Secret) Value(t testing.TB) lockstep.Value { return Written(t, s) }

// Written is anything as a value in JSON.
func Written[T any](t testing.TB, s T) lockstep.Value {
	t.Helper()
	b, err := json.Marshal(s)
	Check(t, err)
	return lockstep.StringValue(string(b))
}

// Read is a value's text as a T.
func Read[T any](t testing.TB, v lockstep.Value) T {
	t.Helper()
	var s T
	Check(t, json.Unmarshal(v.Bytes(), &s))
	return s
}

// At is a Target whose values are Secrets, for a server at an address that
// writes to a log: all that a test need not know about the server. What stands
// in the log already is the test's own doing, and left out.
func At(t testing.TB, current Secret, log string) Target {
	t.Helper()
	info, err := os.Stat(log)
	Check(t, err)
	return Target{
		ARN: ARN(current.User), Current: current.Value(t), Marks: true,
		Wrong: func(t *testing.T, v lockstep.Value) lockstep.Value {
			s := Read[Secret](t, v)
			s.Password = "nobody-knows-this-1"
			return s.Value(t)
		},
		Address: net.JoinHostPort(current.Host, strconv.Itoa(current.Port)),
		Through: func(t *testing.T, v lockstep.Value, address string) lockstep.Value {
			s := Read[Secret](t, v)
			_, port, err := net.SplitHostPort(address)
			Check(t, err)
			s.Port, err = strconv.Atoi(port)
			Check(t, err)
			return s.Value(t)
		},
		Clear: func(t *testing.T, v lockstep.Value) string { return Read[Secret](t, v).Password },
		Log: func(t *testing.T) string {
			t.Helper()
			b, err := os.ReadFile(log) // #nosec G304 -- the log of the test's own server
			Check(t, err)
			return string(b[info.Size():])
		},
	}
}

// WithoutAdmin is the same target for an account that changes itself, and so has
// no marker.
func (t Target) WithoutAdmin() Target {
	t.Admin, t.WrongAdmin, t.NoRight = lockstep.Value{}, lockstep.Value{}, lockstep.Value{}
	t.Marks = false
	return t
}
