package main

import (
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// block copies the code block of a document that begins with some text into a file:
// block README.md 'version: 1' rules.yaml. There must be exactly one; \n is a line's end.
func block(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: block DOCUMENT BEGINNING FILE")
	}
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	begins := strings.ReplaceAll(args[1], `\n`, "\n")
	var found []string
	for i, part := range strings.Split(string(text), "```") {
		if i%2 == 0 {
			continue
		}
		_, body, _ := strings.Cut(part, "\n") // the first line names the language
		if strings.HasPrefix(body, begins) {
			found = append(found, body)
		}
	}
	if len(found) != 1 {
		ts.Fatalf("%s has %d blocks that begin with %q, want one", args[0], len(found), args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(found[0]), 0o600))
}
