package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"docspace-router/internal/config"
)

func newCheck(env environment) *cobra.Command {
	var rules rulesFlags
	var online onlineFlags
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validates a rules file, and with --online what it says about portals",
		Long: `check reads a rules file as serve would and prints everything that is wrong with it,
each problem with its line and column. The secrets that the file refers to must be there,
as for serve. Where they are not, such as in a check before a change is merged,
--without-secrets leaves them out.

With --online it also asks every portal whether it is as the rules take it to be: reachable,
with a key that works and has the scopes it needs, with the rooms and folders that the rules
name, the rights that their actions need, and a webhook that tells of their triggers. It
changes nothing there. --annotate then writes the present title of each room and folder
beside its id in the rules file, as in "room: 539564  # = Client Alpha", and leaves
everything else as it is, other comments included.

FILE may be a directory, whose *.yaml files belong together, or "-" for standard input;
without FILE the one named by --rules is checked. Warnings tell of what is allowed but
probably not meant: a rule that can never match, moves that compete, a portal not used.

Exit status: 0 all is well, warnings or not, 1 the file is invalid or something was found
online that keeps the gateway from working, 2 the file cannot be read.`,
		Example: `  docspace-router check rules.yaml
  docspace-router check --online --annotate
  docspace-router check --without-secrets rules.yaml
  docspace-router check -o json - < rules.yaml`,
		Args: atMostOne("file"),
	}
	rules.add(cmd)
	online.addAddress(cmd)
	withVariables(cmd)
	output := addOutput(cmd)
	online.add(cmd)
	cmd.Flags().BoolVar(&rules.withoutSecrets, "without-secrets", false, "do not look for the secrets that the file refers to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd, env); err != nil {
			return err
		}
		if len(args) == 1 {
			rules.path = args[0]
		}
		if err := online.agree(rules); err != nil {
			return err
		}
		rules.locations = online.online
		done := checked{path: rules.path, online: online.online}
		var err error
		if done.config, err = loadRules(env, rules); err != nil && !errors.As(err, &done.problems) {
			return unreadable(err)
		}
		if online.online && err == nil {
			if done.asked, err = online.run(cmd.Context(), done.config, rules.path, env.stderr); err != nil {
				return findings(err)
			}
		}
		return done.print(env.stdout, output.value)
	}
	return cmd
}

// atMostOne refuses a second argument.
func atMostOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("takes one %s, not %d", what, len(args))
		}
		return nil
	}
}

// loadRules reads the rules file, or standard input for "-".
func loadRules(env environment, rules rulesFlags) (*config.Config, error) {
	if rules.path != "-" {
		return config.Load(rules.options(env))
	}
	text, err := io.ReadAll(env.stdin)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return config.Parse("stdin", text, rules.options(env))
}

// problem is a problem as scripts see it.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func asProblems(list config.Problems) []problem {
	out := make([]problem, 0, len(list))
	for _, p := range list {
		out = append(out, problem(p))
	}
	return out
}

// checked is what a check led to.
type checked struct {
	path     string
	config   *config.Config // nil with problems
	problems config.Problems
	online   bool
	asked    *onlineCheck
}

func (c checked) print(w io.Writer, output string) error {
	var warnings config.Problems
	rules, portals := 0, 0
	if c.config != nil {
		warnings, rules, portals = c.config.Warnings, c.config.Rules.Len(), len(c.config.Portals)
	}
	valid := len(c.problems) == 0
	if output == "json" {
		err := writeJSON(w, struct {
			Valid    bool        `json:"valid"`
			Rules    int         `json:"rules"`
			Portals  int         `json:"portals"`
			Problems []problem   `json:"problems"`
			Warnings []problem   `json:"warnings"`
			Online   *onlineJSON `json:"online,omitempty"`
		}{valid, rules, portals, asProblems(c.problems), asProblems(warnings), c.asked.forScripts()})
		if err != nil {
			return err
		}
	} else {
		path := c.path
		if path == "-" {
			path = "stdin"
		}
		for _, p := range c.problems {
			fmt.Fprintln(w, p)
		}
		for _, p := range warnings {
			fmt.Fprintln(w, "warning:", p)
		}
		c.asked.printFindings(w)
		if valid {
			fmt.Fprintf(w, "%s: valid: %s, %s\n", path, count(rules, "rule"), count(portals, "portal"))
		} else {
			fmt.Fprintf(w, "%s: invalid: %s\n", path, count(len(c.problems), "problem"))
			if c.online {
				fmt.Fprintln(w, "the portals were not asked: mend the rules file first")
			}
		}
		c.asked.printPortals(w)
	}
	if !valid || c.asked.failed() {
		return found()
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // "a && b" should stay readable
	e.SetIndent("", "  ")
	return e.Encode(v)
}
