package postgres

import (
	"fmt"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

// maxName is the longest name of a role, in bytes. PostgreSQL cuts longer ones
// without a word, and would thereby change another role.
const maxName = 63

// value is a secret's value.
type value = jsonvalue.Login

// parse reads a value. Errors: ErrInvalid, naming the field and never showing
// what stands in it.
func parse(v lockstep.Value) (*value, error) {
	val, err := jsonvalue.ReadLogin(v, jsonvalue.LoginForm{
		Engine: "postgres", Engines: []string{"postgres", "postgresql", "aurora-postgresql"},
		Port: 5432, Database: "postgres",
	})
	if err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, text string }{{"username", val.User}, {"dbname", val.Database}} {
		if len(f.text) > maxName {
			return nil, fmt.Errorf("the field %q is longer than %d bytes: %w", f.name, maxName, lockstep.ErrInvalid)
		}
	}
	return val, nil
}
