package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
	"docspace-router/internal/ruletest"
)

func newTest(env environment) *cobra.Command {
	var flags rulesFlags
	cmd := &cobra.Command{
		Use:   "test [TESTS.yaml | DIRECTORY ...]",
		Short: "Runs rule tests: given an event, expect these transfers",
		Long: `test runs rule tests: YAML files that say which event is given and which transfers
the rules must make of it, or none. It asks no portal and needs no secret, so it runs
wherever the files are, such as in a check before a change of the rules is merged. What
is tested are the very rules that serve would use.

Without arguments the *_test.yaml files beside the rules file (or in the directory of
rules files) are run. A directory stands for all *_test.yaml files in it and below; "-"
is standard input. A file of tests says itself, with the key rules, which rules it is
about; without that it is rules.yaml beside it. With --rules all tests are about those.

Exit status: 0 all tests passed, 1 a test failed or the rules are invalid, 2 wrong
usage, no test at all, or tests that cannot be read.`,
		Example: `  docspace-router test
  docspace-router test --junit report.xml rules/
  docspace-router test --rules rules.yaml -o json legal_test.yaml`,
	}
	cmd.Flags().StringVar(&flags.path, "rules", "rules.yaml", "the rules `file` or directory")
	withVariables(cmd)
	output := addOutput(cmd)
	junit := cmd.Flags().String("junit", "", "also write the results to this `file`, as JUnit XML")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		run := testRun{
			env: env, flags: flags, rulesGiven: cmd.Flags().Changed("rules"), beside: len(args) == 0,
			loaded: map[string]*config.Config{},
		}
		run.flags.withoutSecrets, run.flags.allowUnsigned = true, true
		files, err := run.all(cmd.Context(), args)
		if *junit != "" {
			failed := writeJUnit(*junit, files, err)
			if failed != nil && err != nil {
				report(env.stderr, failed)
			} else if failed != nil {
				return unreadable(failed)
			}
		}
		if err != nil {
			return err
		}
		return printTests(env.stdout, output.value, files)
	}
	return cmd
}

// testRun is one call of the command.
type testRun struct {
	env        environment
	flags      rulesFlags
	rulesGiven bool // the rules file was named for all tests
	beside     bool // the tests are those beside the rules file
	loaded     map[string]*config.Config
}

// all runs the tests of all files that are named.
func (r *testRun) all(ctx context.Context, args []string) ([]ruletest.File, error) {
	paths, err := r.find(args)
	if err != nil {
		return nil, unreadable(err)
	}
	// All files are read first, so that every mistake in them is told at once.
	var tests []*config.Tests
	var problems config.Problems
	for _, path := range paths {
		t, err := r.read(path)
		var found config.Problems
		switch {
		case errors.As(err, &found):
			problems = append(problems, found...)
		case err != nil:
			return nil, unreadable(err)
		}
		tests = append(tests, t)
	}
	if len(problems) > 0 {
		return nil, unreadable(&testProblems{problems})
	}
	var files []ruletest.File
	for _, t := range tests {
		c, path, err := r.rules(t)
		if err != nil {
			return nil, findings(err)
		}
		files = append(files, ruletest.File{Tests: t, Rules: path, Results: ruletest.Run(ctx, c, t)})
	}
	return files, nil
}

// testProblems are mistakes in files of tests, as report tells them.
type testProblems struct{ problems config.Problems }

func (e *testProblems) Error() string { return e.problems.Error() }

func (r *testRun) read(path string) (*config.Tests, error) {
	if path != "-" {
		return config.LoadTests(path)
	}
	text, err := io.ReadAll(r.env.stdin)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return config.ParseTests("stdin", text)
}

// rules loads the rules that a file of tests is about.
func (r *testRun) rules(t *config.Tests) (*config.Config, string, error) {
	path := r.flags.path
	if !r.rulesGiven {
		path = r.rulesOf(t)
	}
	if c := r.loaded[path]; c != nil {
		return c, path, nil
	}
	flags := r.flags
	flags.path = path
	c, err := loadRules(r.env, flags)
	if err != nil {
		return nil, path, err
	}
	r.loaded[path] = c
	return c, path, nil
}

// rulesOf is where a file of tests says its rules are, and else where rules usually are.
func (r *testRun) rulesOf(t *config.Tests) string {
	switch {
	case t.Rules == "" && r.beside, t.Rules == "" && t.Name == "stdin":
		return r.flags.path
	case filepath.IsAbs(t.Rules), t.Name == "stdin":
		return t.Rules
	}
	return filepath.Join(filepath.Dir(t.Name), cmp.Or(t.Rules, "rules.yaml"))
}

// find lists the files of tests that are named, or those beside the rules.
func (r *testRun) find(args []string) ([]string, error) {
	if len(args) == 0 {
		dir := r.flags.path
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			dir = filepath.Dir(dir)
		}
		paths, err := filepath.Glob(filepath.Join(dir, "*"+config.TestsSuffix))
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("no test: there is no file *%s beside %s", config.TestsSuffix, r.flags.path)
		}
		return paths, nil
	}
	var paths []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if arg == "-" || err != nil || !info.IsDir() {
			paths = append(paths, arg)
			continue
		}
		found, err := testsBelow(arg)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no test: there is no file *%s in %s", config.TestsSuffix, arg)
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// testsBelow lists the files of tests in a directory and below, but for hidden ones: a mounted
// ConfigMap keeps its files twice.
func testsBelow(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir() && config.IsTestsFile(d.Name()):
			paths = append(paths, path)
		}
		return nil
	})
	return paths, err
}

// writeJUnit writes what became of the tests, or why they could not be run.
func writeJUnit(path string, files []ruletest.File, trouble error) error {
	var b bytes.Buffer
	write := func() error { return ruletest.WriteJUnit(&b, files) }
	if trouble != nil {
		write = func() error { return ruletest.WriteUnread(&b, unread(trouble)) }
	}
	if err := write(); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// unread lists the files that kept the tests from being run, each with all its mistakes.
func unread(err error) []ruletest.Unread {
	var problems config.Problems
	var tests *testProblems
	var file *config.FileError
	switch {
	case errors.As(err, &tests):
		problems = tests.problems
	case errors.As(err, &problems):
	case errors.As(err, &file):
		return []ruletest.Unread{{Name: file.Path, Line: 1, Why: err.Error()}}
	default:
		return []ruletest.Unread{{Name: "docspace-router test", Why: err.Error()}}
	}
	var files []ruletest.Unread
	for _, p := range problems {
		i := slices.IndexFunc(files, func(f ruletest.Unread) bool { return f.Name == p.File })
		if i < 0 {
			files = append(files, ruletest.Unread{Name: p.File, Line: p.Line, Why: p.String()})
			continue
		}
		files[i].Why += "\n" + p.String()
	}
	return files
}

func printTests(w io.Writer, output string, files []ruletest.File) error {
	report := ruletest.NewReport(files)
	if output == "json" {
		if err := writeJSON(w, report); err != nil {
			return err
		}
	} else {
		ruletest.Print(w, files)
	}
	if report.Failed > 0 {
		return found()
	}
	return nil
}
