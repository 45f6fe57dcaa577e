package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"lockstep/internal/servertest"
)

// TestMain lets scripts run this binary as lockstep.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lockstep": main})
}

// TestScripts runs the command line as people type it, each script against a
// server of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			s := servertest.Start(env.T().(testing.TB), servertest.Options{})
			env.Setenv("LOCKSTEP_DATA_DIR", s.DataDir)
			env.Setenv("HOME", os.DevNull)
			return nil
		},
	})
}
