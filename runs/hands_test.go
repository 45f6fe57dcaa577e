package runs_test

import (
	"fmt"
	"testing"

	"lockstep"
	"lockstep/keeper"
)

// put makes a value AWSCURRENT by hand.
func put(t testing.TB, r *rig, name string, v lockstep.Value, id ...lockstep.VersionID) lockstep.VersionID {
	t.Helper()
	tok := token(t)
	if len(id) > 0 {
		tok = id[0]
	}
	_, err := r.keeper.Put(t.Context(), ref(name), keeper.PutInput{Token: tok, Value: v})
	must(t, err)
	return tok
}

func createWith(name string, c credential, id lockstep.VersionID) keeper.CreateInput {
	return keeper.CreateInput{Owner: owner, Name: name, Token: id, Value: c.value()}
}

func show(v ...any) string { return fmt.Sprintf("%+v\n", v) }
