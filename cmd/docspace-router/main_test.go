package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary stand in for the program, in scripts and through exec.Command.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"docspace-router": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	captures, err := filepath.Abs("../../../shared/webhooks")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(captures); err != nil {
		captures = "" // the captured deliveries are not part of the repository
	}
	example, err := filepath.Abs("../../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kubernetes, err := filepath.Abs("../../deploy/kubernetes/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := filepath.Abs("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Deadline:           time.Now().Add(5 * time.Minute), // a serve that should have refused would run for ever
		Setup: func(e *testscript.Env) error {
			e.Setenv("CAPTURES", captures)
			e.Setenv("EXAMPLE", example)
			e.Setenv("KUBERNETES", kubernetes)
			e.Setenv("README", readme)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "captures" {
				return captures != "", nil
			}
			return false, errors.New("unknown condition")
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"block": block,
		},
	})
}

// exits runs the program and checks its exit status: exits 2 check nothing.yaml.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: exits STATUS [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec("docspace-router", args[1:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("docspace-router: %v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
