package ruletest

import (
	"fmt"
	"io"
	"strings"

	"docspace-router/internal/config"
	"docspace-router/internal/event"
)

// File is what became of the tests of a file.
type File struct {
	Tests   *config.Tests
	Rules   string // the path of the rules they ran against
	Results []Result
}

// Failed counts the tests that did not pass.
func (f *File) Failed() int {
	n := 0
	for i := range f.Results {
		if !f.Results[i].Passed() {
			n++
		}
	}
	return n
}

// Print writes for people what differs from what was expected, and how many tests passed.
func Print(w io.Writer, files []File) {
	passed, failed := 0, 0
	for i := range files {
		f := &files[i]
		for j := range f.Results {
			if r := &f.Results[j]; !r.Passed() {
				fmt.Fprintf(w, "FAIL  %s: %s\n", r.Case.At, r.Case.Name)
				for _, line := range f.differences(r) {
					fmt.Fprintf(w, "        %s\n", line)
				}
			}
		}
		n := f.Failed()
		passed, failed = passed+len(f.Results)-n, failed+n
		if n == 0 {
			fmt.Fprintf(w, "ok    %s: %s\n", f.Tests.Name, countTests(len(f.Results)))
		}
	}
	fmt.Fprintf(w, "\n%s passed, %d failed.\n", countTests(passed), failed)
}

// differences says in lines what became of a test that did not pass.
func (f *File) differences(r *Result) []string {
	var lines []string
	if r.Trouble != "" {
		lines = append(lines, fmt.Sprintf("%s: %s", r.Case.Given.At, r.Trouble))
	}
	for _, m := range r.Missing {
		e := m.Expected
		lines = append(lines, fmt.Sprintf("%s: expected, but does not happen: %s", e.At, f.describe(e.Action, e.To, e.Path, e.Rule, e.Conflict)))
		if m.NoRule != "" {
			lines = append(lines, "    "+m.NoRule)
		}
		if m.Why != nil {
			lines = append(lines, fmt.Sprintf("    %s does not match: %s: wants %s", e.Rule, m.Why.Condition, oneLine(m.Why.Want)))
			if m.Why.Got != "" {
				lines = append(lines, "    found "+oneLine(m.Why.Got))
			}
		}
	}
	for _, t := range r.Unexpected {
		lines = append(lines, "happens, but was not expected: "+f.describe(t.Action, t.To, t.Path, t.Rule, t.Conflict))
	}
	return lines
}

// describe names a transfer.
func (f *File) describe(action event.Action, to event.ID, path, rule string, conflict event.Conflict) string {
	s := fmt.Sprintf("%s to folder %s", action, to)
	if p := f.Tests.Places[to]; p != nil {
		s = fmt.Sprintf("%s to %s", action, p)
	}
	if path != "" {
		s += fmt.Sprintf(", into %q below it", path)
	}
	if conflict != "" {
		s += ", on conflict " + string(conflict)
	}
	if rule != "" {
		s += ", by rule " + rule
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func countTests(n int) string {
	if n == 1 {
		return "1 test"
	}
	return fmt.Sprintf("%d tests", n)
}
