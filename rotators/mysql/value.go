package mysql

import (
	"fmt"
	"unicode/utf8"

	"lockstep"
	"lockstep/rotators/jsonvalue"
)

// value is a secret's value.
type value = jsonvalue.Login

// parse reads a value for one kind of server. Both kinds are one engine here: no
// two of them listen at one address. Errors: ErrInvalid, naming the field and
// never showing what stands in it.
func (f flavor) parse(v lockstep.Value) (*value, error) {
	val, err := jsonvalue.ReadLogin(v, jsonvalue.LoginForm{Engine: "mysql", Engines: f.engines, Port: 3306})
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(val.User) > f.maxName {
		return nil, fmt.Errorf("the field %q is longer than %d characters: %w", "username", f.maxName, lockstep.ErrInvalid)
	}
	return val, nil
}
