package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a rules file, or worth a warning.
type Problem struct {
	File         string
	Line, Column int    // from 1; Column counts characters
	Path         string // as in rules[3].when; empty for the file as a whole
	Message      string
	Hint         string // what to do about it; may be empty
}

// String writes the problem in one line, as in
// "rules.yaml:12:11: rules[3].when: unknown name titel, did you mean title?".
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(", " + p.Hint)
	}
	return b.String()
}

// Problems are all the problems of a load, sorted by place. As an error it reads one line each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
}

// FileError says that a rules file could not be read at all.
type FileError struct {
	Path string
	Text string // for people
	Err  error  // may be nil
}

func (e *FileError) Error() string { return e.Path + ": " + e.Text }
func (e *FileError) Unwrap() error { return e.Err }
