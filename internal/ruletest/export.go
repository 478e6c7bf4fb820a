package ruletest

import (
	"encoding/xml"
	"io"
	"strings"

	"docspace-router/internal/event"
)

// Report is what became of all tests, for scripts.
type Report struct {
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
	Files  []FileReport `json:"files"`
}

// FileReport is what became of the tests of a file.
type FileReport struct {
	File  string       `json:"file"`
	Rules string       `json:"rules"`
	Tests []TestReport `json:"tests"`
}

// TestReport is what became of a test.
type TestReport struct {
	Name       string           `json:"name"`
	Line       int              `json:"line"`
	Column     int              `json:"column"`
	Passed     bool             `json:"passed"`
	Trouble    string           `json:"trouble,omitempty"`
	Missing    []TransferReport `json:"missing,omitempty"`
	Unexpected []TransferReport `json:"unexpected,omitempty"`
}

// TransferReport is a transfer that was expected, or that happens. Line, Column, Why and NoRule
// belong to expected ones.
type TransferReport struct {
	Line     int            `json:"line,omitempty"`
	Column   int            `json:"column,omitempty"`
	Action   event.Action   `json:"action"`
	To       string         `json:"to"`
	Path     string         `json:"path,omitempty"`
	Rule     string         `json:"rule,omitempty"`
	Conflict event.Conflict `json:"conflict,omitempty"`
	Why      *WhyReport     `json:"why,omitempty"`
	NoRule   string         `json:"no_rule,omitempty"`
}

// WhyReport is the first condition that failed of a rule that was expected to match.
type WhyReport struct {
	Condition string `json:"condition"`
	Want      string `json:"want"`
	Got       string `json:"got,omitempty"`
}

// NewReport gathers results for scripts.
func NewReport(files []File) Report {
	report := Report{Files: []FileReport{}}
	for i := range files {
		f := &files[i]
		out := FileReport{File: f.Tests.Name, Rules: f.Rules, Tests: []TestReport{}}
		for j := range f.Results {
			out.Tests = append(out.Tests, newTestReport(&f.Results[j]))
		}
		report.Files = append(report.Files, out)
		report.Failed += f.Failed()
		report.Passed += len(f.Results) - f.Failed()
	}
	return report
}

func newTestReport(r *Result) TestReport {
	out := TestReport{Name: r.Case.Name, Line: r.Case.At.Line, Column: r.Case.At.Column, Passed: r.Passed(), Trouble: r.Trouble}
	for _, m := range r.Missing {
		t := TransferReport{
			Line: m.At.Line, Column: m.At.Column, Action: m.Action, To: string(m.To), Path: m.Path, Rule: m.Rule, Conflict: m.Conflict,
			NoRule: m.NoRule,
		}
		if m.Why != nil {
			t.Why = &WhyReport{m.Why.Condition, m.Why.Want, m.Why.Got}
		}
		out.Missing = append(out.Missing, t)
	}
	for _, t := range r.Unexpected {
		out.Unexpected = append(out.Unexpected, TransferReport{
			Action: t.Action, To: string(t.To), Path: t.Path, Rule: t.Rule, Conflict: t.Conflict,
		})
	}
	return out
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Failure *junitFailure `xml:"failure"`
	Error   *junitFailure `xml:"error"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes results in the XML that build servers show.
func WriteJUnit(w io.Writer, files []File) error {
	var all junitSuites
	for i := range files {
		f := &files[i]
		suite := junitSuite{Name: f.Tests.Name, Tests: len(f.Results), Failures: f.Failed()}
		for j := range f.Results {
			r := &f.Results[j]
			c := junitCase{Name: r.Case.Name, Class: f.Tests.Name, File: f.Tests.Name, Line: r.Case.At.Line}
			if !r.Passed() {
				lines := f.differences(r)
				c.Failure = &junitFailure{Message: lines[0], Text: strings.Join(lines, "\n")}
			}
			suite.Cases = append(suite.Cases, c)
		}
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Suites = append(all.Suites, suite)
	}
	return writeXML(w, all)
}

// Unread is a file whose tests could not be run, and why.
type Unread struct {
	Name string
	Line int // of the first mistake
	Why  string
}

// WriteUnread writes in the same XML that no test was run. A report of an earlier run that
// stayed would have a build server show tests that passed.
func WriteUnread(w io.Writer, files []Unread) error {
	all := junitSuites{Tests: len(files), Errors: len(files)}
	for _, f := range files {
		first, _, _ := strings.Cut(f.Why, "\n")
		c := junitCase{
			Name: "the tests can be run", Class: f.Name, File: f.Name, Line: f.Line,
			Error: &junitFailure{Message: first, Text: f.Why},
		}
		all.Suites = append(all.Suites, junitSuite{Name: f.Name, Tests: 1, Errors: 1, Cases: []junitCase{c}})
	}
	return writeXML(w, all)
}

func writeXML(w io.Writer, all junitSuites) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
