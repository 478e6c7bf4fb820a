// Command docspace-router routes what clients upload to ONLYOFFICE DocSpace rooms to other
// rooms and folders, as the rules in a file say.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
)

// Exit statuses of every command.
const (
	exitOK       = 0
	exitFindings = 1 // invalid rules, a failed check, a gateway that could not start or run
	exitUsage    = 2 // wrong usage or unreadable input
)

func main() {
	os.Exit(run(context.Background(), environment{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv,
	}))
}

// environment is what a command sees of the process it runs in.
type environment struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	lookup         func(string) (string, bool)
}

func run(ctx context.Context, env environment) int {
	root := newRoot(env)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var status *statusError
	if !errors.As(err, &status) {
		// Cobra's own errors are about commands, flags and arguments.
		status = &statusError{code: exitUsage, err: fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	}
	report(env.stderr, status.err)
	return status.code
}

// report tells what went wrong. Problems of a rules file stand on lines of their own, so that
// editors find their way to them.
func report(w io.Writer, err error) {
	var problems config.Problems
	var tests *testProblems
	var file *config.FileError
	switch {
	case err == nil:
		return
	case errors.As(err, &tests):
		fmt.Fprintln(w, tests)
		err = fmt.Errorf("the tests have %s", count(len(tests.problems), "problem"))
	case errors.As(err, &problems):
		fmt.Fprintln(w, problems)
		err = fmt.Errorf("the rules file has %s", count(len(problems), "problem"))
	case errors.As(err, &file) && file.Path == defaultRules && errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: name yours with --rules, or begin with a copy of rules.example.yaml", err)
	}
	fmt.Fprintf(w, "docspace-router: %v\n", err)
}

// statusError ends the program with an exit status. A nil err says that the command has
// already told what is to be told.
type statusError struct {
	code int
	err  error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// found is the failure of a command that has printed its findings.
func found() error { return &statusError{code: exitFindings} }

// findings makes an error end the program with status 1, unless it is about a rules file that
// cannot be read.
func findings(err error) error {
	var file *config.FileError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &file):
		return unreadable(err)
	}
	return &statusError{code: exitFindings, err: err}
}

// unreadable makes an error end the program with status 2.
func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &statusError{code: exitUsage, err: err}
}

func newRoot(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "docspace-router",
		Short: "Routes what is uploaded to ONLYOFFICE DocSpace rooms, by rules in a file",
		Long: `docspace-router receives DocSpace webhooks, decides by the rules in a file which
files and folders must go where, and copies or moves them there.

Start with demo, which needs nothing but this program. Then write a rules file, check
it with check and test, and serve.

Exit status: 0 fine, 1 findings or failure, 2 wrong usage or unreadable input.`,
		Version:       buildVersion(), // makes --version a flag
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(env.stderr)
			if err := cmd.Help(); err != nil {
				return err
			}
			return &statusError{code: exitUsage}
		},
	}
	root.SetVersionTemplate(versionText())
	root.SetArgs(env.args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	// Cobra shows a command that runs as one that needs no other word, and flags in one long line.
	root.SetUsageTemplate(strings.NewReplacer(
		"{{if .Runnable}}", "{{if and .Runnable .HasParent}}",
		"Flags.FlagUsages ", "Flags.FlagUsagesWrapped 96 ",
	).Replace(root.UsageTemplate()))
	root.AddCommand(
		newServe(env), newCheck(env), newRooms(env), newExplain(env), newTest(env),
		newWebhook(env), newCatchUp(env), newBackfill(env),
		newEvents(env), newTransfers(env), newPause(env), newResume(env),
		newSchema(env), newDemo(env), newVersion(env),
	)
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Describes a command and its flags",
		RunE: func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = noCommand(root, rest)
			}
			if err != nil {
				return unreadable(fmt.Errorf("%w (see %s --help)", err, root.CommandPath()))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	})
	return root
}

// noCommand refuses words that name no command.
func noCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q, did you mean %s?", args[0], near[0])
	}
	return fmt.Errorf("unknown command %q", args[0])
}
